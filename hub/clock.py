"""The only home of time: everything else asks a clock, so a test or a demo can set its own."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What time it is, and how to wait."""

    def now(self) -> datetime:
        """Wall time, UTC. It can jump: NTP, a dead battery, a careless hand."""

    def monotonic(self) -> float:
        """Seconds of this clock that never go backwards; schedules use these."""

    async def sleep(self, seconds: float) -> None:
        """Wait that many of this clock's seconds."""


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class FastClock:
    """Time that began at `start` and runs `speed` times as fast as the machine's; for the demo and for replays.

    Clocks made with the same three values agree with each other, in other processes of this machine too.
    """

    def __init__(self, start: datetime, speed: float = 1.0, *, begun: float | None = None) -> None:
        """`begun`: the machine's monotonic time at which this clock showed `start` (default: now)."""
        self.start = start
        self.speed = speed
        self.begun = time.monotonic() if begun is None else begun

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return (time.monotonic() - self.begun) * self.speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds) / self.speed)
