"""A dump where no hub runs: the plugin is loaded alone, and asked."""

import asyncio
from datetime import date
from typing import Any

from hub.configuration import Configuration
from hub.errors import PermanentError
from hub.messages import Request
from hub.runtime.disk.store import SqliteStore
from hub.runtime.hosting.context import clock_for
from hub.runtime.hosting.lineup import STORE_FILE, line_up

PLUGIN = "etl"


async def dump_now(configuration: Configuration, day: date | None) -> Any:
    """What the plugin answers. Without a section of its own it has its defaults."""
    clock = clock_for(configuration.settings.clock)
    configuration.ensure_section(PLUGIN)
    members = await line_up(configuration, clock, [PLUGIN])
    try:
        configuration.raise_problems()
        store = await asyncio.to_thread(SqliteStore.open, configuration.data_dir / STORE_FILE, clock, read_only=True)
        try:
            [member] = members
            member.ready(clock, store, configuration)
            configuration.raise_problems()
            if (answer := member.declared.answers.get("dump")) is None:
                raise PermanentError(f"plugin {PLUGIN}: {member.failure or 'cannot dump'}")
            return await answer(Request.model_validate({} if day is None else {"day": day.isoformat()}))
        finally:
            store.close()
    finally:
        await asyncio.gather(*(member.leave() for member in members))
