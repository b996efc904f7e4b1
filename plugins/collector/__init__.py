"""Collects closed minute bars from Binance.US, Binance, or an exchange simulated on this machine; CoinGecko stands in for a while."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from hub import Bar, Gap, Hub, PluginSettings, Source, hookimpl
from plugins.collector.settings import CollectorSettings

if TYPE_CHECKING:
    from plugins.collector.collection import Batch

STALE_AFTER = timedelta(minutes=5)


@hookimpl
def register_settings() -> type[PluginSettings]:
    return CollectorSettings


@hookimpl
def register_sources(hub: Hub) -> list[Source]:
    settings = hub.settings_for(CollectorSettings)
    if settings.source == "simulated":
        from plugins.collector.simulated import files_for  # a server is not needed to show the help

        files_for(settings.simulated, hub.symbols)
    return [Source("collector", lambda: _closed_bars(hub, settings), produces=(Bar, Gap), stale_after=STALE_AFTER)]


def backfill(
    hub: Hub, settings: CollectorSettings, days: int, progress: Callable[[int, int], None] | None = None
) -> "AsyncIterator[Batch]":
    """What is missing of the last `days`, in batches to be recorded; `progress` is told minutes done, and minutes in all."""
    from plugins.collector import source  # httpx takes a while to load

    return source.backfill(hub, settings, days, progress)


def _closed_bars(hub: Hub, settings: CollectorSettings) -> "AsyncIterator[Batch]":
    from plugins.collector import source  # httpx takes a while to load

    return source.closed_bars(hub, settings)
