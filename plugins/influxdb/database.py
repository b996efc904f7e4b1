"""What is asked of InfluxDB, whichever way it is spoken to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol


@dataclass
class Found:
    """A bucket that is there."""

    name: str
    keep: timedelta | None = None
    """How long it keeps what it gets; None is for ever."""
    known: bool = True
    """False: it may not be asked how long."""
    handle: Any = None
    """What the API needs to change it."""


class Database(Protocol):
    """InfluxDB, by either of its APIs. Whatever it raises is translated: see `answers`."""

    async def write(self, bucket: str, lines: Sequence[str]) -> None:
        """Returns when they are stored. PointsRefused, TooLarge, BucketMissing, TransientError."""

    async def look(self, bucket: str) -> Found | None:
        """The bucket, or None where there is none that we can see."""

    async def make(self, bucket: str, keep: timedelta | None) -> None:
        """MayNot, with what to type, where we may not."""

    async def change(self, found: Found, keep: timedelta | None) -> None:
        """Have it keep things that long from now on. MayNot, with what to type, where we may not."""
