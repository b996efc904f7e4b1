"""How long to wait before the next try, and how often to complain: a broker in trouble is not helped by a storm."""

import random
from collections import deque

from hub.clock import Clock

LONGEST_WAIT_S = 120.0
STABLE_S = 30.0
"""A connection that held this long was a good one: the next wait is short again."""
EARLY_ENDS, WINDOW_S = 5, 60.0
LONGEST_ASKED_S = 3 * 86_400.0
PAUSE_S = 300.0
"""How long we give way to another client with our id."""
COMPLAIN_EVERY_S = 60.0
COMPLAINTS_REMEMBERED = 1_000


def asked_wait(error: BaseException) -> float:
    """Seconds that the other side asked us to wait, as far as that is a number one can wait for: three days at most."""
    asked = getattr(error, "retry_after", None)
    if not isinstance(asked, int | float) or not asked > 0:
        return 0.0
    return min(float(asked), LONGEST_ASKED_S)


class Reconnection:
    """Waits between connections: 1 s, doubling up to 120 s, jittered; five minutes where another client keeps throwing us out."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tries = 0
        self._early: deque[float] = deque(maxlen=EARLY_ENDS)

    def wait(self, lasted: float) -> float:
        """Seconds until the next try, after a connection that was up for `lasted` seconds (0: there was none)."""
        if lasted >= STABLE_S:
            self._tries = 0
        longest = min(LONGEST_WAIT_S, 2.0 ** min(self._tries, 10))
        self._tries += 1
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, keeps no secret

    def ended_early(self) -> bool:
        """Count a connection that did not hold; True at the fifth within a minute."""
        now = self._clock.monotonic()
        self._early.append(now)
        if len(self._early) < EARLY_ENDS or now - self._early[0] > WINDOW_S:
            return False
        self._early.clear()
        return True


class Allowance:
    """Meters a flow's commits: bursts of a minute are fine, a flood is slowed down until it is none."""

    per_second = 50
    burst = 60 * 50

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left = float(self.burst)
        self._at = clock.monotonic()
        self._complaints = Complaints(clock)

    def spent(self) -> bool:
        """Whether the next commit has to wait, and that has not been said for a minute."""
        self._refill()
        return self._left < 1 and self._complaints.due("flood")

    async def take(self) -> None:
        """Wait until the next commit is due."""
        self._refill()
        if self._left < 1:
            await self._clock.sleep((1 - self._left) / self.per_second)
            self._refill()
        self._left -= 1

    def _refill(self) -> None:
        now = self._clock.monotonic()
        self._left = min(self.burst, self._left + (now - self._at) * self.per_second)
        self._at = now


class Complaints:
    """Says whether something may be complained about again: once a minute for each thing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: dict[str, float] = {}

    def due(self, about: str) -> bool:
        """True at most once a minute for the same `about`."""
        now = self._clock.monotonic()
        if now - self._last.get(about, float("-inf")) < COMPLAIN_EVERY_S:
            return False
        if len(self._last) >= COMPLAINTS_REMEMBERED:
            self._last.clear()
        self._last[about] = now
        return True
