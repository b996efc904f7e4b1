"""The pages that are open now: each hears that something is new, at its own pace, and a slow one holds up nobody."""

import asyncio
import json
from collections.abc import Sequence
from typing import Protocol

from hub.clock import SystemClock
from hub.messages import Message

REST_S = 0.5
"""Between two words to one page: a bar and its forecasts come together, and a page redraws for a while."""


class Line(Protocol):
    """To one open page."""

    async def send_text(self, data: str) -> None:
        """Raises when the page has gone."""


class Pages:
    """What is new since when, and who is told."""

    def __init__(self) -> None:
        self.version = 0
        """Grows with everything that is new."""
        self._kinds: dict[str, int] = {}
        self._waiting: set[asyncio.Event] = set()
        self._machine = SystemClock()

    @property
    def open(self) -> int:
        """How many pages listen."""
        return len(self._waiting)

    async def write(self, messages: Sequence[Message]) -> None:
        """Something has happened."""
        self.version += 1
        for message in messages:
            self._kinds[type(message).__name__.lower()] = self.version
        for event in self._waiting:
            event.set()

    async def tell(self, line: Line) -> None:
        """Tell one page for ever what kinds of things are new; what comes while it is slow is told together."""
        told, event = self.version, asyncio.Event()
        self._waiting.add(event)
        try:
            while True:
                await event.wait()
                event.clear()
                kinds = sorted(kind for kind, version in self._kinds.items() if version > told)
                told = self.version
                await line.send_text(json.dumps({"changed": kinds}))
                await self._machine.sleep(REST_S)
        finally:
            self._waiting.discard(event)
