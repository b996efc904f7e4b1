"""What many pages ask at the same moment is looked up once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from hub.clock import SystemClock


class Once:
    """Answers by key, each kept for some seconds; a failure is not kept."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[float, asyncio.Future[Any]]] = {}
        self._machine = SystemClock()

    async def get(self, key: str, make: Callable[[], Awaitable[Any]], kept_s: float) -> Any:
        """What `make` makes, for all who ask within `kept_s` real seconds of the first."""
        now = self._machine.monotonic()
        self._kept = {each: kept for each, kept in self._kept.items() if now < kept[0] or not kept[1].done()}
        _, making = self._kept.get(key, (0.0, None))
        if making is None or (making.done() and (making.cancelled() or making.exception() is not None)):
            making = asyncio.ensure_future(make())
            self._kept[key] = now + kept_s, making
        return await asyncio.shield(making)

    def forget(self) -> None:
        """Something was changed: all is looked up anew."""
        self._kept.clear()
