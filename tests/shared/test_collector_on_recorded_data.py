"""The collector on real bars: what comes out of the store is what the file says, to the digit."""

import csv
import gzip
import json
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from hub.clock import SystemClock
from hub.market.interval import MINUTE_MS, missing_ranges, to_ms
from hub.messages import Bar, Gap
from hub.testing import FakeHub
from plugins import collector
from plugins.collector.coingecko import IDS
from plugins.collector.klines import parse, read_rows

FAR = 10**13
NUMBERS = tuple[int, float, float, float, float, float]


class Ledger:
    """A store of bare numbers: quick, and small enough for two months of two symbols."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[int, NUMBERS]] = {}
        self.known: list[Gap] = []
        self.batches = 0

    def record(self, batch: list[Bar | Gap]) -> None:
        self.batches += 1
        for fact in batch:
            if isinstance(fact, Gap):
                self.known.append(fact)
                continue
            at = to_ms(fact.open_time)
            series = self.rows.setdefault(fact.symbol, {})
            assert at not in series, "a bar comes once"
            series[at] = (at, fact.open, fact.high, fact.low, fact.close, fact.volume if fact.volume is not None else -1.0)

    def missing(self, symbol: str, first: int, last: int) -> list[tuple[int, int]]:
        return list(missing_ranges(self.rows.get(symbol, {}), first, last))

    def fallback(self, *_: object) -> list[tuple[int, int]]:
        return []

    def gaps(self, symbol: str | None = None) -> list[Gap]:
        return [gap for gap in self.known if symbol in (None, gap.symbol)]

    def oldest_open_time(self, symbol: str) -> int | None:
        return min(self.rows.get(symbol, {}), default=None)

    def newest_bar(self, _: str) -> Bar | None:
        return None


def rows_of(file: Path) -> Iterator[NUMBERS]:
    with gzip.open(file, "rt") as lines:
        for row in csv.DictReader(lines):
            at, opened, high, low, close, volume = (row[name] for name in ("open_time_ms", "open", "high", "low", "close", "volume"))
            yield int(at), float(opened), float(high), float(low), float(close), float(volume)


async def replayed(files: dict[str, Path], tmp_path: Path) -> Ledger:
    ledger = Ledger()
    settings = {"source": "simulated", "simulated": {"file": {symbol: str(file) for symbol, file in files.items()}}}
    hub = FakeHub(settings, store=ledger, symbols=tuple(files), data_dir=tmp_path)
    hub.clock = SystemClock()
    ends = {symbol: max(at for at, *_ in rows_of(file)) for symbol, file in files.items()}
    [source] = collector.register_sources(hub)
    async with aclosing(source.stream()) as stream:  # type: ignore[type-var]
        async for batch in stream:
            ledger.record(list(batch))  # type: ignore[arg-type]
            if all(end in ledger.rows.get(symbol, {}) for symbol, end in ends.items()):
                break
    await hub.http.aclose()
    return ledger


async def test_eight_weeks_of_two_symbols_come_through_to_the_digit(shared_data: Path, tmp_path: Path) -> None:
    market = shared_data / "market"
    files = {f"{base}-USDT": market / f"binance_spot_{base}USDT_1m_20250520_20250714.csv.gz" for base in ("BTC", "ETH")}
    ledger = await replayed(files, tmp_path)
    for symbol, file in files.items():
        assert list(ledger.rows[symbol].values()) == list(rows_of(file)), "in order, each once, every digit"
    assert not ledger.known


@pytest.mark.parametrize(
    "name",
    [
        "binance_spot_BTCUSDT_1m_20210326_20210520.csv.gz",
        "binance_spot_ETHUSDT_1m_20210809_20210913.csv.gz",
        "binance_spot_BTCUSDT_1m_20210917_20211017.csv.gz",
        "binance_spot_ETHUSDT_1m_20230316_20230501.csv.gz",
    ],
)
async def test_halts_are_exactly_the_known_gaps_and_stay_unfilled(name: str, shared_data: Path, tmp_path: Path) -> None:
    symbol = "BTC-USDT" if "BTC" in name else "ETH-USDT"
    ledger = await replayed({symbol: shared_data / "market" / name}, tmp_path)
    with (shared_data / "market" / "gaps.csv").open() as lines:
        expected = [(row["first_missing_utc"], row["last_missing_utc"]) for row in csv.DictReader(lines) if row["file"] == name]
    found = sorted((f"{gap.first_open_time:%Y-%m-%d %H:%M:%S}", f"{gap.last_open_time:%Y-%m-%d %H:%M:%S}") for gap in ledger.known)
    assert found == expected
    assert {gap.reason for gap in ledger.known} == {"exchange: no data"}
    assert list(ledger.rows[symbol].values()) == list(rows_of(shared_data / "market" / name))


@pytest.mark.parametrize("name", ["BTCUSDT_1h_202505", "ETHUSDT_1h_202505", "BTCUSDT_15m_20250602", "ETHUSDT_15m_20250602"], ids=str)
def test_recorded_answers_are_read_strictly_and_in_full(name: str, shared_data: Path) -> None:
    """Other intervals than ours: their rows are right, but none of them may become a minute's bar."""
    body = (shared_data / "api" / f"binance_rest_klines_{name}.json").read_bytes()
    rows = read_rows(body)
    assert [list(row) for row in rows] == [
        [float(cell) if isinstance(cell, str) and place < 11 else cell for place, cell in enumerate(row)] for row in json.loads(body)
    ]
    page = parse(body, "BTC-USDT", "binance", FAR)
    assert not page.bars
    assert len(page.rejected) == len(rows)


def test_what_ccxt_expects_of_binance_us_is_what_we_read(shared_data: Path) -> None:
    [case] = json.loads((shared_data / "api" / "ccxt_binanceus_response.json").read_text())["methods"]["fetchOHLCV"]
    minute = [[*row[:6], row[0] + MINUTE_MS - 1, *row[7:]] for row in case["httpResponse"]]
    [bar] = parse(json.dumps(minute).encode(), "BTC-USDT", "binanceus", FAR).bars
    assert [[to_ms(bar.open_time), bar.open, bar.high, bar.low, bar.close, bar.volume]] == case["parsedResponse"]
    assert (bar.quote_volume, bar.trades, bar.taker_buy_volume) == (17296.8930754, 55, 0.22048)


def test_our_ids_are_coingeckos(shared_data: Path) -> None:
    coins = json.loads((shared_data / "api" / "coingecko_coins_markets_top100.json").read_text())
    listed: dict[str, set[str]] = {}
    for coin in coins:
        listed.setdefault(coin["symbol"].upper(), set()).add(coin["id"])
    assert [asset for asset, name in IDS.items() if asset in listed and name not in listed[asset]] == []
    assert sum(asset in listed for asset in IDS) >= 25
