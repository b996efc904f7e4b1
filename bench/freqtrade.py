"""Two months of two symbols from one exchange to disk: `hub bars backfill` beside Freqtrade's `download-data`, both as a user types them.

Each is measured twice: the whole command, from its start to its end; and the stretch between its first and its last request for bars, as
the exchange sees it, which leaves out what the programs need to start and to end.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

from bench.history import BARS, END, SYMBOLS, write_history
from bench.peers import program
from bench.row import Row, interleaved, side_by_side
from hub.clock import FastClock
from plugins.collector.settings import SimulatedSettings
from plugins.collector.simulated import LoopbackServer, SimulatedExchange, open_books
from tests.hubs import ENVIRONMENT, HUB

DETAILS = {
    "baseAssetPrecision": 8,
    "quotePrecision": 8,
    "quoteAssetPrecision": 8,
    "orderTypes": ["LIMIT", "MARKET"],
    "isSpotTradingAllowed": True,
    "isMarginTradingAllowed": False,
    "permissions": ["SPOT"],
    "permissionSets": [["SPOT"]],
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
        {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
        {"filterType": "NOTIONAL", "minNotional": "1", "maxNotional": "9000000"},
    ],
}
"""What ccxt wants to know of a market before it asks for bars."""


class Watched(SimulatedExchange):
    """Notes when it is asked for bars."""

    asked: list[float]

    def answer(self, path: str, params: Mapping[str, str]) -> bytes:
        body = super().answer(path, params)
        if path.endswith("/exchangeInfo"):
            told = json.loads(body)
            return json.dumps(told | {"symbols": [symbol | DETAILS for symbol in told["symbols"]]}).encode()
        if path.endswith("/klines"):
            self.asked.append(time.perf_counter())
        return body


@contextmanager
def exchange(files: list[Path]) -> Iterator[tuple[Watched, str]]:
    """In a thread of this process, which does nothing else meanwhile."""
    made = Watched(FastClock(END + timedelta(seconds=30)), open_books(SimulatedSettings(file=tuple(files)), SYMBOLS))
    made.asked = []
    address: list[str] = []
    ready, over = Event(), Event()

    async def serve() -> None:
        async with LoopbackServer(made) as server:
            address.append(server.base_url)
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait()
    try:
        yield made, address[0]
    finally:
        over.set()
        thread.join()


def by_the_hub(url: str, folder: Path, bars: int) -> None:
    collector = {"backfill": "1m", "fallback": None, "binanceus": {"base_url": url}}
    clock = {"start": (END + timedelta(seconds=30)).isoformat(), "speed": 1}
    (folder / "config.yaml").write_text(json.dumps({"clock": clock, "plugins": {"collector": collector}}), encoding="utf-8")
    _run([*HUB, "bars", "backfill", "--days", str(bars // 1440)], folder)


def by_freqtrade(url: str, folder: Path, bars: int) -> None:
    """Its own concurrency, its own file format, no limit on its rate."""
    api = dict.fromkeys(("web", "sapi", "wapi", "dapiPublic", "fapiPublic"), url) | {"public": f"{url}/api/v3", "private": f"{url}/api/v3"}
    ccxt = {"enableRateLimit": False, "urls": {"api": api}}
    pairs = [symbol.replace("-", "/") for symbol in SYMBOLS]
    settings = {"name": "binanceus", "key": "", "secret": "", "pair_whitelist": pairs, "pair_blacklist": [], "ccxt_config": ccxt}
    price = {"price_side": "same", "use_order_book": False, "order_book_top": 1}
    config = {"exchange": settings, "stake_currency": "USDT", "dry_run": True, "pairlists": [{"method": "StaticPairList"}]}
    (folder / "config.json").write_text(json.dumps(config | {"entry_pricing": price, "exit_pricing": price}), encoding="utf-8")
    (folder / "user").mkdir()
    span = f"{int((END - timedelta(minutes=bars)).timestamp())}-{int(END.timestamp())}"
    _run(
        [program("freqtrade", "freqtrade"), "download-data", "--userdir", "user", "-c", "config.json", "-t", "1m", "--timerange", span],
        folder,
    )


def _run(command: list[object], folder: Path) -> None:
    done = subprocess.run([str(word) for word in command], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command[0]}: {done.stderr[-2000:]}")


def rows(bars: int = BARS, rounds: int = 3) -> list[Row]:
    """Bars a second."""
    with tempfile.TemporaryDirectory() as name, exchange(write_history(Path(name), bars)) as (seen, url):

        def measured(work: object) -> tuple[float, float]:
            with tempfile.TemporaryDirectory() as folder:
                seen.asked.clear()
                begun = time.perf_counter()
                work(url, Path(folder), bars)  # type: ignore[operator]
                took = time.perf_counter() - begun
            return 2 * bars / took, 2 * bars / (max(seen.asked) - min(seen.asked))

        found = interleaved(rounds, lambda: measured(by_the_hub), lambda: measured(by_freqtrade))  # type: ignore[arg-type, return-value]
    whole, asking = ([(mine[place], other[place]) for mine, other in found] for place in (0, 1))  # type: ignore[index]
    note = (
        f"2 x {bars:,} bars; ours are checked, committed and synced page by page, its are held in memory and written once, as feather;"
        " what leaves the same on disk without any check is bare in row backfill, and the limit"
    )
    return [
        side_by_side("history, the whole command", "bars/s", "Freqtrade download-data", whole, 10, note),
        side_by_side("history, while it is asked for", "bars/s", "Freqtrade download-data", asking, 10, "it asks for many pages at once"),
    ]
