"""Puts the collector together: the exchange chosen, the stand-in, and where the past begins."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta

from hub.flow import Hub, Progress
from plugins.collector.binance import Binance
from plugins.collector.coingecko import CoinGecko
from plugins.collector.collection import Batch, Collection
from plugins.collector.exchange_time import ExchangeTime
from plugins.collector.settings import CollectorSettings
from plugins.collector.simulated import LoopbackServer, SimulatedExchange, open_books


async def closed_bars(hub: Hub, settings: CollectorSettings) -> AsyncGenerator[Batch, None]:
    """Every closed minute of every symbol, once, for ever; and the gaps."""
    async with _collection(hub, settings) as collection, aclosing(collection.batches()) as batches:
        async for batch in batches:
            yield batch


async def backfill(hub: Hub, settings: CollectorSettings, days: int, progress: Progress | None = None) -> AsyncGenerator[Batch, None]:
    """What is missing of the last `days`, known gaps included, in batches to be recorded; then ends.

    `progress(done, total)` is told in minutes of bars. TransientError where the exchange does not answer.
    """
    async with _collection(hub, settings, progress) as collection, aclosing(collection.history(timedelta(days=days))) as batches:
        async for batch in batches:
            yield batch


@asynccontextmanager
async def _collection(hub: Hub, settings: CollectorSettings, progress: Progress | None = None) -> AsyncIterator[Collection]:
    simulated = settings.source == "simulated"
    time = ExchangeTime(hub.clock, hub.log, compare=not simulated)
    wants_fallback = settings.fallback is not None and (not simulated or "fallback" in settings.model_fields_set)
    fallback = CoinGecko(hub, settings.coingecko, time) if wants_fallback else None
    whole = simulated and settings.simulated.file is not None and "backfill" not in settings.model_fields_set
    span = None if whole else settings.backfill
    if not simulated:
        base_url = settings.binance.base_url if settings.source == "binance" else settings.binanceus.base_url
        yield Collection(hub, Binance(hub, settings.source, base_url, time), fallback, span, progress)
        return
    books = await asyncio.to_thread(open_books, settings.simulated, hub.symbols)
    async with LoopbackServer(SimulatedExchange(hub.clock, books)) as server:
        yield Collection(hub, Binance(hub, settings.source, server.base_url, time), fallback, span, progress)
