"""Two months of a market made by chance, as files that the simulated exchange plays; and that exchange in a process of its own."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hub.market.interval import MINUTE_MS, to_ms
from plugins.collector.market_simulation import MarketSimulation

SYMBOLS = ("BTC-USDT", "ETH-USDT")
BARS = 80_640
"""Minutes in 56 days."""
END = datetime(2025, 5, 20, tzinfo=UTC)
HEADER = ("open_time_ms", "open", "high", "low", "close", "volume", "quote_volume", "trades", "taker_buy_base", "taker_buy_quote")
_FIELDS = (0, 1, 2, 3, 4, 5, 7, 8, 9, 10)


def write_history(folder: Path, bars: int = BARS) -> list[Path]:
    """A file for each symbol with the `bars` minutes before END."""
    return [_write(folder / f"{symbol.replace('-', '')}.csv", symbol, bars) for symbol in SYMBOLS]


def _write(file: Path, symbol: str, bars: int) -> Path:
    market, last = MarketSimulation(1, symbol), to_ms(END) - MINUTE_MS
    with file.open("w", newline="", encoding="utf-8") as stream:
        out = csv.writer(stream)
        out.writerow(HEADER)
        for first in range(last - (bars - 1) * MINUTE_MS, last + 1, 1000 * MINUTE_MS):
            rows = json.loads(b"[" + market.page(first, last, 1000) + b"]")
            out.writerows([row[field] for field in _FIELDS] for row in rows)
    return file


@contextmanager
def exchange(files: list[Path]) -> Iterator[str]:
    """The address of an exchange that plays `files`, at a moment when all their bars have just closed."""
    start = (END + timedelta(seconds=30)).isoformat()
    command = [sys.executable, "-u", "-m", "plugins.collector.simulated", "--start", start]
    for file in files:
        command += ["--file", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.terminate()
