"""More of the past: asks every source that can fetch it, and records what it brings."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

import structlog

from hub.configuration import Configuration
from hub.errors import HubError, PermanentError
from hub.flow import Source
from hub.messages import Message
from hub.runtime.disk.store import SqliteStore
from hub.runtime.hosting.context import clock_for
from hub.runtime.hosting.interpreter import settle_in
from hub.runtime.hosting.lineup import STORE_FILE, Member, line_up
from hub.runtime.hosting.streams import batch_of, iterate
from hub.runtime.words import describe, reason_of

ANSWER_S = 20.0
"""How long whoever asked over MQTT waits for the end before being told that it goes on, in real seconds."""

Record = Callable[[Sequence[Message]], Awaitable[Any]]
Tell = Callable[[int, int], None]


async def fetch_past(sources: Sequence[Source], days: int, record: Record, tell: Tell) -> None:
    """One source after the other; `tell` hears minutes done and minutes in all. TransientError where one cannot be asked now."""
    for source in sources:
        if source.backfill is not None:
            async with aclosing(iterate(source.backfill(days, tell))) as batches:
                async for item in batches:
                    await record(batch_of(source, item))


def sources_with_a_past(members: Sequence[Member]) -> list[Source]:
    """The sources that can fetch it. HubError, in words, where there is none."""
    found = [flow for member in members for flow in member.declared.flows if isinstance(flow, Source) and flow.backfill]
    if not found:
        failed = "; ".join(f"{member.name}: {member.failure}" for member in members if member.failure)
        raise PermanentError(f"no plugin here can fetch the past{f' ({failed})' if failed else ''}; add `collector: {{}}` under `plugins`")
    return found


async def backfill_now(configuration: Configuration, days: int) -> None:
    """`hub bars backfill`: with a progress bar on stderr; beside a running hub, too."""
    from rich.console import Console  # a running hub, which this module serves too, shows no bar
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    clock = clock_for(configuration.settings.clock)
    members = await line_up(configuration, clock)
    settle_in()
    try:
        configuration.raise_problems()
        store = await asyncio.to_thread(SqliteStore.open, configuration.data_dir / STORE_FILE, clock, owner=False)
        try:
            for member in members:
                member.ready(clock, store, configuration)
            configuration.raise_problems()
            columns = (TextColumn("backfill"), BarColumn(), MofNCompleteColumn(), TextColumn("minutes"), TimeRemainingColumn())
            with Progress(*columns, console=Console(stderr=True)) as shown:
                task = shown.add_task("backfill", total=None)
                await fetch_past(
                    sources_with_a_past(members),
                    days,
                    lambda batch: asyncio.to_thread(store.record, batch),
                    lambda done, total: shown.update(task, completed=done, total=total),
                )
        finally:
            store.close()
    finally:
        await asyncio.gather(*(member.leave() for member in members))


class Backfill:
    """The backfill of a running hub: one at a time, asked for over MQTT."""

    def __init__(self, record: Record) -> None:
        self.done = 0
        self.total = 0
        """Minutes of bars."""
        self._record = record
        self._task: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> bool:
        """Somebody has asked, and it has not ended."""
        return self._task is not None and not self._task.done()

    async def begin(self, members: Sequence[Member], days: int) -> dict[str, Any]:
        """Fetch the last `days`; the answer comes at the end, or after 20 s while it goes on. HubError where one is under way."""
        if self.under_way:
            raise HubError(f"a backfill is under way: {self.done} of {self.total} minutes")
        sources = sources_with_a_past(members)
        self.done = self.total = 0
        self._task = asyncio.create_task(self._run(sources, days), name="backfill")
        await asyncio.wait([self._task], timeout=ANSWER_S)
        if self._task.done():
            self._task.result()
        return {"finished": self._task.done(), "done": self.done, "total": self.total, "sources": [source.name for source in sources]}

    async def stop(self) -> None:
        """Give up what is under way; what has come is on disk."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=2.0)

    def _tell(self, done: int, total: int) -> None:
        self.done, self.total = done, total

    async def _run(self, sources: Sequence[Source], days: int) -> None:
        log = structlog.get_logger().bind(part="backfill")
        try:
            await fetch_past(sources, days, self._record, self._tell)
        except (HubError, OSError) as error:
            log.warning("backfill ended early", reason=reason_of(error), done=self.done, total=self.total)
            raise
        except Exception as error:
            log.exception("backfill ended early", done=self.done, total=self.total)
            raise PermanentError(describe(error)) from error
        log.info("backfill done", minutes=self.done, days=days)
