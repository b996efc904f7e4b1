"""What time it is at the exchange: its last answer, counted on by our monotonic clock, so that no jump of the wall clock matters."""

from typing import Any

from hub.clock import Clock
from hub.errors import TransientError
from hub.market.interval import last_closed, to_ms

SETTLING_MS = 1_000
"""A bar counts as closed when its minute has been over for this long."""
JUMP_S = 2.0
FAR_OFF_S = 300.0


def newest_closed(server_ms: int) -> int:
    """Open time of the newest bar that can be had for good at `server_ms`."""
    return last_closed(server_ms - SETTLING_MS)


class ExchangeTime:
    """Never ahead of the exchange: its answer counts from the moment we had it in hand."""

    def __init__(self, clock: Clock, log: Any, *, compare: bool = True) -> None:
        """`compare`: say so where this machine's clock is off."""
        self._clock = clock
        self._log = log
        self._compare = compare
        self._server_ms: int | None = None
        self._noted = 0.0
        self._wall_offset = 0.0
        self.skew_s = 0.0
        """How far this machine's clock was ahead of the exchange's when that last told us."""
        self.standing_still = 0
        """How many answers in a row were no later than the one before: an exchange that plays a file has come to its end."""

    @property
    def known(self) -> bool:
        """Whether the exchange, or anybody we trust, has told us the time yet."""
        return self._server_ms is not None

    def now_ms(self) -> int:
        """Milliseconds since the epoch at the exchange, as far as we can tell. TransientError before it has told us."""
        return self.stated_ms + int((self._clock.monotonic() - self._noted) * 1000)

    @property
    def stated_ms(self) -> int:
        """What the exchange itself said last; a minute that is over by this time is over for certain."""
        if self._server_ms is None:
            raise TransientError("the exchange has not told us its time yet")
        return self._server_ms

    def note(self, server_ms: int) -> None:
        """The exchange has just said that it is `server_ms`."""
        self.standing_still = self.standing_still + 1 if server_ms == self._server_ms else 0
        self._server_ms, self._noted = server_ms, self._clock.monotonic()
        self._wall_offset = self._local_s() - self._noted
        self.skew_s = self._local_s() - server_ms / 1000
        if self._compare:
            self._say_skew(self.skew_s)

    @property
    def doubtful(self) -> bool:
        """The wall clock was set, or the machine slept, since the exchange told us: better ask again."""
        return abs(self._local_s() - self._clock.monotonic() - self._wall_offset) > JUMP_S

    def _local_s(self) -> float:
        return to_ms(self._clock.now()) / 1000

    def _say_skew(self, skew_s: float) -> None:
        if abs(skew_s) <= JUMP_S:
            return
        self._compare = False
        direction = "ahead of" if skew_s > 0 else "behind"
        text = f"this machine's clock is {abs(skew_s):.0f} s {direction} the exchange's; bars go by the exchange's"
        if abs(skew_s) > FAR_OFF_S:
            self._log.warning(f"{text}, everything else does not: set this clock (timedatectl set-ntp true)", skew_s=round(skew_s, 1))
        else:
            self._log.info(text, skew_s=round(skew_s, 1))
