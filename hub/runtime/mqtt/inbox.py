"""The way from paho's thread to the event loop."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

MOST_BYTES = 16 * 1024 * 1024
AT_A_TIME = 500


class Inbox:
    """Carries what one thread hears to the event loop, many things at a time, and never holds more than 16 MiB of it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.dropped = 0
        self._loop = loop
        self._waiting: deque[tuple[Callable[..., None], tuple[Any, ...], int]] = deque()
        self._put_bytes = 0
        self._taken_bytes = 0
        self._woken = False

    def put(self, handle: Callable[..., None], *what: Any, size: int = 0, wake: bool = True) -> None:
        """From the other thread: have `handle(*what)` called. Only messages have a size; they are dropped when the loop is far behind.

        Without `wake` it waits until something else is handed over: waking the loop costs more than all the rest.
        """
        if size and self._put_bytes - self._taken_bytes + size > MOST_BYTES:
            self.dropped += 1
            return
        self._put_bytes += size
        self._waiting.append((handle, what, size))
        if wake and not self._woken:
            self._woken = True
            with suppress(RuntimeError):  # the loop is closed: nobody listens any more
                self._loop.call_soon_threadsafe(self.hand_over)

    def hand_over(self) -> None:
        """On the event loop: handle what has arrived, and give way to others now and then."""
        self._woken = False
        try:
            for _ in range(min(len(self._waiting), AT_A_TIME)):
                handle, what, size = self._waiting.popleft()
                self._taken_bytes += size
                handle(*what)
        finally:
            if self._waiting and not self._woken:
                self._woken = True
                self._loop.call_soon(self.hand_over)
