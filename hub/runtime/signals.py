"""SIGTERM and SIGINT stop the hub, SIGHUP lets it read its configuration again; from the first moment on."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import structlog

T = TypeVar("T")


class Signals:
    """What this process has been told to do."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.on_reload: Callable[[], Awaitable[None]] | None = None
        """Set while there is something to reload; a SIGHUP before that is of no consequence."""
        self._reloads: set[asyncio.Task[None]] = set()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._read_again)

    async def unless_stopped(self, work: Coroutine[Any, Any, T]) -> T | None:
        """The outcome of `work`, or None where the hub is to stop before it is done."""
        task, stopped = asyncio.create_task(work), asyncio.create_task(self.stop.wait())
        await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.wait([task])
        return None

    def _read_again(self) -> None:
        task = asyncio.create_task(self._reload())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _reload(self) -> None:
        try:
            if self.on_reload is not None:
                await self.on_reload()
        except Exception:  # noqa: BLE001 - a bug here must not pass in silence, and not end the hub
            structlog.get_logger().exception("the configuration was not reloaded")
