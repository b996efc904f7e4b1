"""Dumps every day, when it is over, as CSV with a manifest, and brings it to where you want it."""

import asyncio
from functools import lru_cache
from typing import Any, cast

from hub import Dump, Hub, PluginSettings, Source, hookimpl
from hub.flow import Answer, Check
from hub.remote import Remote
from plugins.etl.daily import Daily
from plugins.etl.settings import EtlSettings


@hookimpl
def register_settings() -> type[PluginSettings]:
    return EtlSettings


@hookimpl
def register_sources(hub: Hub) -> list[Source]:
    return [Source("dumps", _daily(cast("Any", hub)).stream, produces=(Dump,))]


@hookimpl
def register_requests(hub: Hub) -> dict[str, Answer]:
    return {"dump": _daily(cast("Any", hub)).answer}


@hookimpl
def register_checks(hub: Hub) -> list[Check]:
    settings = hub.settings_for(EtlSettings)
    if (target := settings.target) is None:
        return []

    def names() -> int:
        with Remote(target, settings.login) as remote:
            return len(remote.names())

    async def look() -> str:
        return f"{target} is there, and holds {await asyncio.to_thread(names)} files and folders"

    return [Check("dump target", look, needed=False)]


@lru_cache(maxsize=1)
def _daily(hub: Any) -> Daily:
    """One for both hooks."""
    return Daily(hub, hub.settings_for(EtlSettings))
