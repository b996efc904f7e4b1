"""Collects closed minute bars from Binance.US, Binance, or an exchange simulated on this machine; CoinGecko stands in for a while."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING

from hub import Bar, Check, Gap, Hub, PluginSettings, Source, hookimpl
from hub.flow import Progress
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
    return [
        Source(
            "collector",
            lambda: _closed_bars(hub, settings),
            produces=(Bar, Gap),
            stale_after=STALE_AFTER,
            backfill=lambda days, progress: _backfill(hub, settings, days, progress),
        )
    ]


@hookimpl
def register_checks(hub: Hub) -> list[Check]:
    from plugins.collector import examination  # httpx takes a while to load

    return examination.checks(hub, hub.settings_for(CollectorSettings))


def _backfill(hub: Hub, settings: CollectorSettings, days: int, progress: Progress) -> "AsyncIterator[Batch]":
    from plugins.collector import source  # httpx takes a while to load

    return source.backfill(hub, settings, days, progress)


def _closed_bars(hub: Hub, settings: CollectorSettings) -> "AsyncIterator[Batch]":
    from plugins.collector import source  # httpx takes a while to load

    return source.closed_bars(hub, settings)
