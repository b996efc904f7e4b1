"""`hub bars backfill`: the collector's own way to the past, with a progress bar."""

import asyncio
from importlib import import_module

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hub.errors import PermanentError, SettingsError
from hub.runtime.context import clock_for
from hub.runtime.interpreter import settle_in
from hub.runtime.lineup import STORE_FILE, line_up
from hub.runtime.store import SqliteStore
from hub.settings import Configuration


async def backfill_now(configuration: Configuration, days: int) -> None:
    """Fetch and record what is missing of the last `days`; beside a running hub, too. TransientError if the exchange does not answer."""
    clock = clock_for(configuration.settings.clock)
    members = await line_up(configuration, clock, ["collector"])
    configuration.raise_problems()
    settle_in()
    if not members:
        raise SettingsError(f"{configuration.source}: plugins.collector: is needed to fetch bars, and is missing")
    [member] = members
    store = await asyncio.to_thread(SqliteStore.open, configuration.data_dir / STORE_FILE, clock, owner=False)
    try:
        member.ready(clock, store, configuration)
        if member.failure or member.context is None or member.offer is None:
            raise PermanentError(f"collector: {member.failure or 'runs in a process of its own and cannot be asked'}")
        columns = (TextColumn("backfill"), BarColumn(), MofNCompleteColumn(), TextColumn("minutes"), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as shown:
            task = shown.add_task("backfill", total=None)
            batches = import_module(member.offer.target).backfill(
                member.context, member.settings, days, lambda done, total: shown.update(task, completed=done, total=total)
            )
            async for batch in batches:
                await asyncio.to_thread(store.record, batch)
    finally:
        await member.leave()
        store.close()
