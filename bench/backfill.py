"""Bars a second from an exchange to disk, beside a bare loop that only downloads the same pages and inserts them."""

import asyncio
import http.client
import json
import sqlite3
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from bench.history import BARS, END, SYMBOLS, exchange, write_history
from bench.row import Row, interleaved, side_by_side
from hub.clock import FastClock
from hub.configuration import load_configuration
from hub.flow import Source
from hub.market.interval import MINUTE_MS, to_ms
from hub.runtime.disk.connection import PAGE_BYTES, PRAGMAS
from hub.runtime.disk.recorder import Recorder
from hub.runtime.disk.store import SqliteStore
from hub.runtime.hosting.interpreter import settle_in
from hub.runtime.hosting.lineup import STORE_FILE, line_up
from hub.runtime.hosting.supervisor import PluginWatch, Supervisor
from hub.testing import MemoryBus

PAGE = 1000
TABLE = """
CREATE TABLE bar (symbol TEXT NOT NULL, open_time INTEGER NOT NULL, open REAL, high REAL, low REAL, close REAL, volume REAL,
  quote_volume REAL, trades INTEGER, taker_buy_volume REAL, PRIMARY KEY (symbol, open_time))
"""


def bare_loop(url: str, folder: Path, bars: int) -> float:
    """The shortest program that leaves the same numbers on disk as safely: a page, a transaction; nothing is checked."""
    address, last = urlsplit(url), to_ms(END) - MINUTE_MS
    first = last - (bars - 1) * MINUTE_MS
    with closing(sqlite3.connect(folder / "bare.db", isolation_level=None)) as database:
        for pragma in (f"PRAGMA page_size={PAGE_BYTES}", "PRAGMA journal_mode=WAL", *PRAGMAS):
            database.execute(pragma)
        database.execute(TABLE)
        begun = time.perf_counter()
        with closing(http.client.HTTPConnection(address.hostname or "", address.port)) as server:
            for start in range(first, last + 1, PAGE * MINUTE_MS):
                for symbol in SYMBOLS:
                    name = symbol.replace("-", "")
                    server.request("GET", f"/api/v3/klines?symbol={name}&interval=1m&startTime={start}&endTime={last}&limit={PAGE}")
                    rows = [(symbol, *row[:6], row[7], row[8], row[9]) for row in json.loads(server.getresponse().read())]
                    database.execute("BEGIN")
                    database.executemany("INSERT OR REPLACE INTO bar VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
                    database.execute("COMMIT")
        took = time.perf_counter() - begun
        [(stored,)] = database.execute("SELECT count(*) FROM bar")
    assert stored == 2 * bars, stored
    return float(stored / took)


async def through_the_hub(url: str, folder: Path, bars: int) -> float:
    """The collector's own source, supervised and recorded as in a running hub; only the bus is missing."""
    file = folder / "config.yaml"
    file.write_text(f"plugins: {{collector: {{backfill: {bars}m, fallback: null, binanceus: {{base_url: '{url}'}}}}}}\n", encoding="utf-8")
    clock, configuration = FastClock(END), load_configuration(file, {})
    [member] = await line_up(configuration, clock)
    settle_in()
    recorder = Recorder(SqliteStore.open(configuration.data_dir / STORE_FILE, clock), clock)
    member.ready(clock, recorder.store, configuration)
    [source] = member.declared.flows
    assert isinstance(source, Source)
    supervisor = Supervisor(clock, recorder, MemoryBus())
    watch = PluginWatch("collector", clock, lambda _: None)
    done = asyncio.Event()
    recorder.listeners.append(lambda: done.set() if recorder.bars >= 2 * bars else None)
    begun = time.perf_counter()
    running = asyncio.create_task(supervisor.keep_running(source, watch, structlog.get_logger()))
    await done.wait()
    took = time.perf_counter() - begun
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await member.leave()
    await recorder.close()
    with closing(sqlite3.connect(configuration.data_dir / STORE_FILE)) as database:
        [(stored,)] = database.execute("SELECT count(*) FROM bar")
    assert stored == 2 * bars, stored
    return float(stored / took)


def rows(bars: int = BARS, rounds: int = 5) -> list[Row]:
    """The backfill."""
    structlog.configure(processors=[], logger_factory=structlog.ReturnLoggerFactory())

    def ours() -> float:
        with tempfile.TemporaryDirectory() as folder:
            return asyncio.run(through_the_hub(url, Path(folder), bars))

    def bare() -> float:
        with tempfile.TemporaryDirectory() as folder:
            return bare_loop(url, Path(folder), bars)

    with tempfile.TemporaryDirectory() as files, exchange(write_history(Path(files), bars)) as url:
        measured = interleaved(rounds, ours, bare)
    note = (
        f"2 x {bars:,} bars to disk; of a bar's 8 us, by parts measured alone, reading and checking takes 1.7, its row 1.0,"
        " httpx by what is left about 2, one after the other under Python's lock, and 2.0 SQLite beside them;"
        " the bare loop does nothing but 2 us of JSON and the same SQLite"
    )
    return [side_by_side("backfill", "bars/s", "bare download and insert", measured, 0.8, note)]
