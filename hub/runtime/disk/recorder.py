"""The way to disk: one writer, in order; and the news for those who forward what was recorded."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import ParamSpec, TypeVar

import structlog

from hub.clock import Clock
from hub.errors import TransientError
from hub.flow import Kinds
from hub.messages import Bar, Gap, Message
from hub.runtime.disk.ballast import Ballast
from hub.runtime.disk.disk_words import DiskFull, KeptForBars
from hub.runtime.disk.store import SqliteStore

FAILING_AFTER = 3
"""So many failures in a row are no hiccup."""

LOOK_AGAIN = 15.0
"""Seconds until a forwarder looks again without being told: another process may have recorded something."""
P = ParamSpec("P")
T = TypeVar("T")


class Recorder:
    """Takes facts to the store on a thread of its own, so that a slow card never stops the event loop."""

    def __init__(self, store: SqliteStore, clock: Clock, ballast: Ballast | None = None) -> None:
        self.store = store
        self.ballast = ballast or Ballast(store.path.with_name("ballast"))
        """Given up for bars when the disk is full."""
        self.recorded_at: float | None = None
        """Monotonic time of the last commit."""
        self.bars = 0
        """How many bars have been taken in since the start."""
        self.listeners: list[Callable[[], None]] = []
        """Told of every commit."""
        self.edition = 0
        """Grows with every commit."""
        self.failing: str | None = None
        """Why nothing can be recorded, in words; None while all is well."""
        self._failures = 0
        self._clock = clock
        self._log = structlog.get_logger().bind(part="recorder")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._news = asyncio.Event()

    async def record(self, messages: Sequence[Message]) -> None:
        """Returns once the messages are on disk, in one transaction. TransientError if they cannot be now; nothing is recorded then."""
        try:
            await self._write(self._take_in, messages)
        except KeptForBars:
            raise  # storage itself works
        except TransientError as error:
            self._failed(error)
            raise
        self._worked()
        self.recorded_at = self._clock.monotonic()
        self.bars += [*map(type, messages)].count(Bar)
        self.edition += 1
        self._news.set()
        self._news = asyncio.Event()
        for listener in self.listeners:
            listener()

    @property
    def trouble(self) -> str | None:
        """What is wrong with the way to disk, in words."""
        return self.failing or (str(KeptForBars(self.store.path)) if self.ballast.bars_only else None)

    async def facts_after(self, seq: int, kinds: Kinds, limit: int) -> list[tuple[int, Message]]:
        """Up to `limit` facts of these kinds that are newer than `seq`, in order."""
        return await asyncio.to_thread(self.store.facts_after, seq, kinds, limit)

    async def last_seq(self) -> int:
        """The newest `seq`."""
        return await asyncio.to_thread(self.store.last_seq)

    async def waiting(self, seq: int, kinds: Kinds) -> int:
        """How many facts of these kinds are newer than `seq`."""
        return await asyncio.to_thread(self.store.waiting, seq, kinds)

    async def cursor(self, name: str) -> int:
        """How far the reader of that name has come."""
        return await asyncio.to_thread(self.store.cursor, name)

    async def move_cursor(self, name: str, seq: int) -> None:
        """Remember on disk how far it has come."""
        await self._write(self.store.move_cursor, name, seq)

    async def wait_for_news(self, edition: int) -> None:
        """Returns when something may have been recorded since `self.edition` was `edition`: read that first, then look."""
        if self.edition != edition:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_AGAIN):  # not wait_for: it may lose a cancellation that comes with the news
                await self._news.wait()

    async def close(self) -> None:
        """Let the writer finish, then close the store."""
        await asyncio.to_thread(self._writer.shutdown, wait=True)
        await asyncio.to_thread(self.store.close)

    def _take_in(self, messages: Sequence[Message]) -> None:
        for_bars = any(isinstance(message, Bar | Gap) for message in messages)
        if not for_bars and self.ballast.bars_only:
            raise KeptForBars(self.store.path)
        try:
            self.store.record(messages)
        except DiskFull as error:
            if not for_bars or not self.ballast.release():
                raise
            self._log.error("the reserve on the disk is given up, for bars only", reason=str(error))
            self.store.record(messages)

    def _failed(self, error: TransientError) -> None:
        self.failing = str(error)
        self._failures += 1
        if self._failures == FAILING_AFTER:
            self._log.error("storage failing", reason=str(error), failures=self._failures)

    def _worked(self) -> None:
        if self._failures >= FAILING_AFTER:
            self._log.warning("storage works again", failures=self._failures)
        self.failing, self._failures = None, 0

    async def _write(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, lambda: call(*args, **kwargs))
