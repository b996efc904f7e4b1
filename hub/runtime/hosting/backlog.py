"""How far a durable sink is behind the store, and for how long: told once a minute while it is, and once when it has caught up."""

from dataclasses import dataclass
from typing import Protocol

from hub.clock import Clock
from hub.flow import Kinds

MEASURED_EVERY = 60.0
WORTH_TELLING_AFTER = 30.0
STALE_AFTER = 900.0


class Counting(Protocol):
    """The part of the recorder that a backlog needs."""

    async def waiting(self, seq: int, kinds: Kinds) -> int:
        """How many facts of these kinds are newer than `seq`. TransientError if that cannot be read now."""


@dataclass(frozen=True)
class Lag:
    """What waits on disk for a sink, as last measured."""

    facts: int = 0
    seconds: float = 0.0

    @property
    def stale(self) -> bool:
        """Whether people should hear of it."""
        return self.seconds > STALE_AFTER

    @property
    def words(self) -> str:
        return f"{self.facts} facts and {self.seconds / 60:.0f} min behind"


class Backlog:
    """The facts that one durable sink has yet to deliver."""

    def __init__(self, kinds: Kinds, recorder: Counting, clock: Clock) -> None:
        self.seq = 0
        """Up to here all is delivered."""
        self.lag = Lag()
        self._kinds = kinds
        self._recorder = recorder
        self._clock = clock
        self._since: float | None = None

    @property
    def worth_telling(self) -> bool:
        """Whether it is more than the moment that every write takes."""
        return self._since is not None and self._clock.monotonic() - self._since > WORTH_TELLING_AFTER

    def begins(self) -> None:
        """There is something to deliver."""
        if self._since is None:
            self._since = self._clock.monotonic()

    def ends(self) -> None:
        """All is delivered."""
        self._since = None
        self.lag = Lag()

    async def measure(self) -> None:
        """Count what waits. TransientError if the store cannot be read now."""
        waiting = await self._recorder.waiting(self.seq, self._kinds)
        if self._since is not None:
            self.lag = Lag(waiting, self._clock.monotonic() - self._since)
