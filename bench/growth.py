"""What more symbols cost: seconds from the close of a minute until every symbol's bar is on disk and published, and memory."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from bench.row import Row
from bench.station import bars_in, hub, mosquitto, published_by, resident_mb, wait_until
from hub.clock import SystemClock
from hub.market.interval import MINUTE_MS, floor_minute, to_ms
from hub.runtime.disk.store import SqliteStore
from hub.runtime.mqtt.outbox import CURSOR
from tests.hubs import ENVIRONMENT

COUNTS = (2, 20, 200, 1_000)
MINUTES = 2
WITHIN_S, MOST_MB = 20.0, 400.0


def names(count: int) -> list[str]:
    """So many symbols, as `AAX-USDT`."""
    letters = [chr(65 + number) for number in range(26)]
    return (
        [f"{first}{second}X-USDT" for first in letters for second in letters][:count]
        if count <= 676
        else [f"{first}{second}{third}-USDT" for first in letters[:2] for second in letters for third in letters][:count]
    )


@contextmanager
def exchange(symbols: list[str]) -> Iterator[str]:
    """In a process of its own, at the machine's own time."""
    command = [sys.executable, "-m", "plugins.collector.simulated", *(word for symbol in symbols for word in ("--symbol", symbol))]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def watched(folder: Path, symbols: list[str], minutes: int) -> list[tuple[float, float]]:
    """Of each minute: seconds after its close until all bars are on disk, and until all are published."""
    found = []
    with closing(SqliteStore.open(folder / "data" / "tickerml.db", SystemClock(), read_only=True)) as store:
        for _ in range(minutes):
            opened = floor_minute(to_ms(datetime.now(UTC)))
            closed = (opened + MINUTE_MS) / 1000
            time.sleep(max(0.0, closed - time.time()))
            wait_until(lambda opened=opened: all(len(store.bars(symbol, opened, opened)) for symbol in symbols), "bars", 0.2)  # type: ignore[misc]
            recorded, newest = time.time() - closed, store.last_seq()
            wait_until(lambda newest=newest: store.cursor(CURSOR) >= newest, "published", 0.05)  # type: ignore[misc]
            found.append((recorded, time.time() - closed))
    return found


def grown(count: int, minutes: int) -> tuple[float, float, float]:
    """Seconds to disk, seconds to the broker, MB."""
    symbols = names(count)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with mosquitto(folder) as port, exchange(symbols) as url:
            collector = {"backfill": "3m", "fallback": None, "binanceus": {"base_url": url}}
            with hub(folder, port, collector, symbols=[symbol.replace("-", "/") for symbol in symbols]) as process:
                wait_until(lambda: bars_in(folder) >= 2 * count, "the first bars", 0.5)
                wait_until(lambda: published_by(folder) >= 2 * count, "the first bars published", 0.5)
                seen = watched(folder, symbols, minutes)
                return median(on_disk for on_disk, _ in seen), median(said for _, said in seen), resident_mb(process)


def rows(counts: tuple[int, ...] = COUNTS, minutes: int = MINUTES) -> list[Row]:
    """One for each number of symbols."""
    found = []
    for count in counts:
        recorded, published, memory = grown(count, minutes)
        most = count == max(COUNTS)
        note = f"on disk after {recorded:.1f} s; asked for between :02 and :08"
        found.append(Row(f"{count:,} symbols, a minute", published, "s", at_most=WITHIN_S if most else None, note=note))
        found.append(Row(f"{count:,} symbols, memory", memory, "MB", at_most=MOST_MB if most else None))
    return found
