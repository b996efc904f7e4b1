"""`trainer fetch`: history from the exchange, by the hub's own collector: its patience, its bans and its gaps are the same here."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hub.clock import SystemClock
from hub.configuration import Configuration
from hub.errors import HubError
from hub.market.interval import MINUTE_MS, to_ms
from hub.messages import Bar
from hub.runtime.backfill import backfill_now
from hub.runtime.disk.store import SqliteStore
from hub.runtime.hosting.lineup import STORE_FILE
from hub.runtime.logs import configure_logs
from trainer.intake import Intake, Origin
from trainer.month import NUMBERS, Minutes
from trainer.series import gaps_in
from trainer.shelf import Shelf, only_writer

FOLDER = "exchange"
"""What was fetched stays in a store here, so that the next call asks only for what is missing; and so does the memory of a ban."""
AT_ONCE_MS = 10_000 * MINUTE_MS


async def fetch(configuration: Configuration, data_dir: Path, symbols: list[str], days: int) -> Intake:
    """Bring the last `days` of the symbols. TransientError where the exchange does not answer; the next call goes on from there."""
    section: dict[str, Any] = {"source": "binanceus"} | configuration.sections.get("collector", {}) | {"fallback": None, "isolated": False}
    exchange = str(section["source"])
    store_dir = (data_dir / FOLDER / exchange).absolute()
    collecting = replace(
        configuration,
        values=configuration.values | {"plugins": {"collector": section}},
        settings=configuration.settings.model_copy(update={"symbols": tuple(symbols), "data_dir": store_dir}),
    )
    log = configuration.settings.log
    configure_logs("warning" if log.level == "info" else log.level, log.format)
    with only_writer(data_dir):
        await backfill_now(collecting, days)
        return await asyncio.to_thread(_to_shelves, store_dir / STORE_FILE, exchange, data_dir, symbols)


def _to_shelves(file: Path, exchange: str, data_dir: Path, symbols: list[str]) -> Intake:
    store = SqliteStore.open(file, SystemClock(), read_only=True)
    intake = Intake()
    try:
        for symbol in symbols:
            origin = Origin(name=exchange, symbol=symbol, kind="exchange")
            intake.origins.append(origin)
            shelf = Shelf(data_dir, symbol, "spot")
            if shelf.market not in {None, "spot"}:
                raise HubError(f"{shelf.folder}: holds bars of the market {shelf.market!r}; choose another --data for {exchange}")
            _take(store, shelf, origin)
            shelf.save()
            if not origin.error:
                intake.gaps[symbol] = gaps_in(shelf.times())
    finally:
        store.close()
    return intake


def _take(store: SqliteStore, shelf: Shelf, origin: Origin) -> None:
    """All that the store has of one symbol; what stands in for a bar is left out."""
    symbol = origin.symbol or ""
    first, newest = store.oldest_open_time(symbol), store.newest_bar(symbol)
    if first is None or newest is None:
        origin.error = f"{symbol}: no bar came from {origin.name}; is it traded there?"
        return
    for start in range(first, to_ms(newest.open_time) + 1, AT_ONCE_MS):
        bars = store.bars(symbol, start, start + AT_ONCE_MS - MINUTE_MS)
        exact = [bar for bar in bars if bar.quality == "exact"]
        tally = shelf.merge(_minutes(exact))
        origin.rows += len(bars)
        origin.fallback += len(bars) - len(exact)
        origin.kept, origin.completed = origin.kept + tally.new, origin.completed + tally.completed
        origin.duplicates, origin.revisions = origin.duplicates + tally.duplicates, origin.revisions + tally.revisions
        origin.sources.update(bar.source for bar in exact)


def _minutes(bars: list[Bar]) -> Minutes:
    times = np.array([to_ms(bar.open_time) for bar in bars], np.int64)
    return Minutes(times, np.array([[getattr(bar, name) for bar in bars] for name in NUMBERS], np.float64).reshape(len(NUMBERS), -1))
