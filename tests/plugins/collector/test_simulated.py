"""The exchange on this machine: the very same answers as the real one's, from a file or from chance."""

import asyncio
import gzip
import json
import math
import tracemalloc
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import correlation, pstdev
from typing import Any

import httpx
import pytest

from hub.clock import FastClock, SystemClock
from hub.errors import PermanentError, SettingsError
from hub.market.interval import MINUTE_MS, from_ms, to_ms
from hub.testing import START, FakeClock, FakeHub
from plugins import collector
from plugins.collector.bar_file import BarFile
from plugins.collector.klines import parse, read_rows
from plugins.collector.market_simulation import MarketSimulation
from plugins.collector.settings import SimulatedSettings
from plugins.collector.simulated import ApiError, LoopbackServer, SimulatedExchange, files_for, open_books

T = to_ms(START)
HEADER = "open_time_ms,open,high,low,close,volume"


def lines(count: int, skip: tuple[int, ...] = (), price: float = 100.0) -> list[str]:
    return [
        f"{T + minute * MINUTE_MS},{price + minute},{price + minute + 1.5},{price + minute - 0.25},{price + minute + 1},{minute}.50"
        for minute in range(count)
        if minute not in skip
    ]


def write(file: Path, rows: list[str], header: str = HEADER) -> Path:
    text = "\n".join([header, *rows]) + "\n"
    file.write_bytes(gzip.compress(text.encode()) if file.suffix == ".gz" else text.encode())
    return file


@pytest.fixture
def bar_file(tmp_path: Path) -> Path:
    return write(tmp_path / "spot_BTCUSDT_1m.csv.gz", lines(1500, skip=(700, 701)))


async def collected(settings: dict[str, Any], clock: Any, enough: int, tmp_path: Path, symbols: tuple[str, ...] = ("BTC-USDT",)) -> FakeHub:
    hub = FakeHub(settings | {"source": "simulated"}, clock=clock, symbols=symbols, data_dir=tmp_path)
    [made] = collector.register_sources(hub)
    async with aclosing(made.stream()) as stream:  # type: ignore[type-var]
        count = 0
        async for batch in stream:
            hub.store.record(list(batch))
            count += len(batch)  # type: ignore[arg-type]
            if count >= enough:
                break
    await hub.http.aclose()
    return hub


async def test_a_file_of_the_past_is_history_at_the_machines_own_time(bar_file: Path, tmp_path: Path) -> None:
    """Through the real server and the real loop; the missing minutes are a gap."""
    hub = await collected({"simulated": {"file": str(bar_file)}}, SystemClock(), 1499, tmp_path)
    bars = hub.store.bars("BTC-USDT", 0, 10**14)
    rows = [line.split(",") for line in lines(1500, skip=(700, 701))]
    assert [[to_ms(bar.open_time), bar.open, bar.high, bar.low, bar.close, bar.volume] for bar in bars] == [
        [int(row[0]), *map(float, row[1:])] for row in rows
    ]
    assert {(bar.quote_volume, bar.trades, bar.source) for bar in bars} == {(None, None, "simulated")}
    assert [(to_ms(gap.first_open_time), gap.minutes, gap.reason) for gap in hub.store.gaps()] == [
        (T + 700 * MINUTE_MS, 2, "exchange: no data")
    ]


async def test_a_fast_clock_inside_the_file_plays_on(bar_file: Path, tmp_path: Path) -> None:
    clock = FastClock(START + timedelta(minutes=600), 600.0)
    settings = {"backfill": "1h", "simulated": {"file": {"BTC/USDT": str(bar_file)}}}
    hub = await collected(settings, clock, 80, tmp_path)
    bars = hub.store.bars("BTC-USDT", 0, 10**14)
    assert START + timedelta(minutes=540) <= bars[0].open_time < START + timedelta(minutes=640)
    stored = {to_ms(bar.open_time): bar.close for bar in bars}
    assert all(close == 101 + (at - T) // MINUTE_MS for at, close in stored.items()), "no bar of a running minute"


async def test_the_end_of_the_file_is_no_gap(bar_file: Path, tmp_path: Path) -> None:
    """The exchange's time stands still there, whatever our clock says."""
    hub = FakeHub({"source": "simulated", "simulated": {"file": str(bar_file)}}, symbols=("BTC-USDT",), data_dir=tmp_path)
    hub.clock = FastClock(START + timedelta(minutes=1400), 80_000.0)
    [made] = collector.register_sources(hub)

    async def collect() -> None:
        async with aclosing(made.stream()) as stream:  # type: ignore[type-var]
            async for batch in stream:
                hub.store.record(list(batch))

    with suppress(TimeoutError):
        await asyncio.wait_for(collect(), 2)
    await hub.http.aclose()
    bars = hub.store.bars("BTC-USDT", 0, 10**14)
    assert bars[-1].open_time == START + timedelta(minutes=1499)
    assert all(bar.close == 101 + (bar.open_time - START) / timedelta(minutes=1) for bar in bars), "no bar of a running minute"
    assert [gap.minutes for gap in hub.store.gaps()] == [2]


async def test_an_explicit_backfill_limits_the_history_of_a_file(bar_file: Path, tmp_path: Path) -> None:
    hub = await collected({"backfill": "2h", "simulated": {"file": str(bar_file)}}, SystemClock(), 119, tmp_path)
    assert hub.store.oldest_open_time("BTC-USDT") == T + (1500 - 120) * MINUTE_MS


async def test_backfill_ends_and_tells_its_progress(bar_file: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    hub = FakeHub(
        {"source": "simulated", "simulated": {"file": str(bar_file)}}, clock=SystemClock(), symbols=("BTC-USDT",), data_dir=tmp_path
    )
    [source] = collector.register_sources(hub)
    assert source.backfill is not None
    async for batch in source.backfill(1, lambda done, total: told.append((done, total))):
        hub.store.record(batch)
    await hub.http.aclose()
    assert told[-1] == (1438, 1438)
    assert len(hub.store.bars("BTC-USDT", 0, 10**14)) == 1436


def exchange(books: dict[str, Any], at_minute: float) -> SimulatedExchange:
    return SimulatedExchange(FakeClock(START + timedelta(minutes=at_minute)), books)


def ask(made: SimulatedExchange, **params: str) -> list[list[Any]]:
    rows: list[list[Any]] = json.loads(made.answer("/api/v3/klines", {"symbol": "BTCUSDT", "interval": "1m", **params}))
    return rows


def test_rows_keep_the_files_digits(bar_file: Path) -> None:
    rows = ask(exchange({"BTC-USDT": BarFile([bar_file])}, 1500), startTime=str(T), limit="2")
    assert rows[1] == [T + MINUTE_MS, "101.0", "102.5", "100.75", "102.0", "1.50", T + 2 * MINUTE_MS - 1, None, None, None, None, "0"]


def test_pages_are_those_of_the_real_exchange(bar_file: Path) -> None:
    made = exchange({"BTC-USDT": BarFile([bar_file])}, 1500)
    assert len(ask(made)) == 500
    assert len(ask(made, limit="5000")) == 1000
    assert [row[0] for row in ask(made, limit="2")] == [T + 1498 * MINUTE_MS, T + 1499 * MINUTE_MS], "without a start: the newest"
    assert [row[0] for row in ask(made, startTime=str(T + 699 * MINUTE_MS), limit="2")] == [T + 699 * MINUTE_MS, T + 702 * MINUTE_MS]
    assert ask(made, startTime=str(T + 700 * MINUTE_MS), endTime=str(T + 701 * MINUTE_MS)) == []
    assert len(ask(made, startTime=str(T + 1), endTime=str(T + 3 * MINUTE_MS))) == 3


@pytest.mark.parametrize("chance", [False, True])
def test_the_running_minute_is_the_last_row_and_unfinished(chance: bool, bar_file: Path) -> None:
    """Whoever stores it stores a wrong bar; our own loop must not."""
    book: Any = MarketSimulation(1, "BTC-USDT") if chance else BarFile([bar_file])
    rows = ask(exchange({"BTC-USDT": book}, 10.5), limit="3")
    closed = ask(exchange({"BTC-USDT": book}, 12.5), limit="5")
    assert rows[-1][0] == T + 10 * MINUTE_MS
    assert rows[-1][1:6] != next(row for row in closed if row[0] == rows[-1][0])[1:6]
    assert rows[0] == next(row for row in closed if row[0] == rows[0][0])
    assert len(parse(json.dumps(rows).encode(), "BTC-USDT", "simulated", T + int(10.5 * MINUTE_MS)).bars) == 2


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        ("/api/v3/klines", {"symbol": "XXXUSDT", "interval": "1m"}, -1121),
        ("/api/v3/klines", {"interval": "1m"}, -1121),
        ("/api/v3/klines", {"symbol": "BTCUSDT", "interval": "5m"}, -1120),
        ("/api/v3/klines", {"symbol": "BTCUSDT", "interval": "1m", "startTime": "-1"}, -1100),
        ("/api/v3/klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": "x"}, -1100),
        ("/api/v3/exchangeInfo", {"symbol": "XXXUSDT"}, -1121),
        ("/api/v3/exchangeInfo", {"symbols": "["}, -1100),
        ("/elsewhere", {}, 0),
    ],
)
def test_wrong_requests_are_answered_with_binances_codes(path: str, params: dict[str, str], code: int) -> None:
    with pytest.raises(ApiError) as caught:
        exchange({"BTC-USDT": MarketSimulation(1, "BTC-USDT")}, 10).answer(path, params)
    assert json.loads(caught.value.body)["code"] == code


async def test_it_speaks_http_with_the_weight_header() -> None:
    made = SimulatedExchange(SystemClock(), {"BTC-USDT": MarketSimulation(1, "BTC-USDT")})
    async with LoopbackServer(made) as server, httpx.AsyncClient(base_url=server.base_url, trust_env=False) as http:
        assert (await http.get("/api/v3/ping")).json() == {}
        info = (await http.get("/api/v3/exchangeInfo", params={"symbols": '["BTCUSDT"]'})).json()
        assert info["symbols"][0]["status"] == "TRADING"
        answer = await http.get("/api/v3/klines", params={"symbol": "BTCUSDT", "interval": "1m", "limit": 10})
        assert len(answer.json()) == 10
        assert int(answer.headers["x-mbx-used-weight-1m"]) > 0
        assert (await http.get("/api/v3/klines", params={"symbol": "NOPE", "interval": "1m"})).status_code == 400


BAD_FILES = [
    (HEADER.replace("volume", "vol"), lines(3), "1: no column volume"),
    (HEADER, ["1,2,3"], "2: 3 columns, where the header has 6"),
    (HEADER, [*lines(2), f"{T + 9 * MINUTE_MS},1,2,nan,1,5"], "4: low is 'nan', not a plain number"),
    (HEADER, [*lines(2), f"{T + 9 * MINUTE_MS},1,2,1_0,1,5"], "4: low is '1_0', not a plain number"),
    (HEADER, [*lines(2), f"{T + 9 * MINUTE_MS},1,2,,1,5"], "4: low is '', not a plain number"),
    (HEADER, [*lines(2), f"{T + 1},1,2,1,1,5"], "4: open time .* not on a whole minute"),
    (HEADER, [*lines(2), lines(2)[1]], "4: rows must ascend"),
    (HEADER, [], "holds no bars"),
]


@pytest.mark.parametrize(("header", "rows", "words"), BAD_FILES)
def test_a_bad_file_is_named_with_its_line(header: str, rows: list[str], words: str, tmp_path: Path) -> None:
    file = write(tmp_path / "BTCUSDT.csv", rows, header)
    with pytest.raises(PermanentError, match=rf"BTCUSDT\.csv:? ?{words}"):
        BarFile([file])


def test_a_truncated_gzip_says_after_which_line(bar_file: Path) -> None:
    bar_file.write_bytes(bar_file.read_bytes()[:-5000])
    with pytest.raises(PermanentError, match=r"gzip ends early or is damaged after line \d+"):
        BarFile([bar_file])


def test_noise_is_not_taken_for_bars(tmp_path: Path) -> None:
    for name, content in (("BTCUSDT.csv", bytes(range(256))), ("BTCUSDT.csv.gz", b"\x1f\x8b" + bytes(50))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(PermanentError, match=name):
            BarFile([tmp_path / name])


def test_extra_columns_are_served_where_a_row_has_them(tmp_path: Path) -> None:
    header = f"{HEADER},quote_volume,trades,taker_buy_base,taker_buy_quote"
    file = write(tmp_path / "BTCUSDT.csv", [f"{T},1,2,1,1,5,,250,,", f"{T + MINUTE_MS},1,2,1,1,5,7.5,9,2.5,3.75"], header)
    first, second = json.loads(b"[" + BarFile([file]).page(T, T + MINUTE_MS, 10) + b"]")
    assert first[7:11] == [None, 250, None, None]
    assert second[7:11] == ["7.5", 9, "2.5", "3.75"]


def test_several_files_of_a_symbol_are_joined_in_time(tmp_path: Path) -> None:
    early, late = write(tmp_path / "a_BTCUSDT.csv", lines(3)), write(tmp_path / "b_BTCUSDT.csv", lines(9)[6:])
    assert len(BarFile([late, early])) == 6
    with pytest.raises(PermanentError, match="must ascend"):
        BarFile([early, early])


def test_the_symbol_comes_from_the_files_name(tmp_path: Path) -> None:
    btc, eth = write(tmp_path / "x_BTCUSDT_1m.csv", lines(2)), write(tmp_path / "ETH-USDT.csv", lines(2))
    assert files_for(SimulatedSettings(file=(btc, eth)), ("BTC-USDT", "ETH-USDT")) == {"BTC-USDT": [btc], "ETH-USDT": [eth]}
    with pytest.raises(SettingsError, match="no file for BTC-USD: put BTCUSD into its name"):
        files_for(SimulatedSettings(file=btc), ("BTC-USD",))
    with pytest.raises(SettingsError, match=r"gone\.csv: no such file"):
        files_for(SimulatedSettings(file={"BTC-USDT": tmp_path / "gone.csv"}), ("BTC-USDT",))


def test_a_wrong_file_is_refused_before_the_start(tmp_path: Path) -> None:
    hub = FakeHub({"source": "simulated", "simulated": {"file": str(tmp_path / "gone_BTCUSDT.csv")}}, data_dir=tmp_path)
    with pytest.raises(SettingsError):
        collector.register_sources(hub)


def test_eight_weeks_of_two_symbols_fit_into_thirty_megabytes(tmp_path: Path) -> None:
    row = "105573.73,105597.1,105554.31,105554.32,10.82647"
    for name in ("BTCUSDT", "ETHUSDT"):
        write(tmp_path / f"{name}.csv.gz", [f"{T + minute * MINUTE_MS},{row}" for minute in range(8_064)])
    tracemalloc.start()
    books = open_books(SimulatedSettings(file=(tmp_path / "BTCUSDT.csv.gz", tmp_path / "ETHUSDT.csv.gz")), ("BTC-USDT", "ETH-USDT"))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(books) == 2
    assert held < 30_000_000 / 10, "measured on a tenth"


DAY = to_ms(datetime(2025, 6, 1, tzinfo=UTC))


def day_of(seed: int, symbol: str, start: int = DAY, minutes: int = 1440) -> list[Any]:
    made = MarketSimulation(seed, symbol)
    body = b"[" + made.page(start, start + (minutes - 1) * MINUTE_MS, minutes) + b"]"
    page = parse(body, symbol, "simulated", start + minutes * MINUTE_MS + 5000)
    assert not page.rejected
    assert len(read_rows(body)) == minutes
    return page.bars


def test_the_simulated_market_is_the_same_for_the_same_seed() -> None:
    assert day_of(1, "BTC-USDT") == day_of(1, "BTC-USDT")
    assert day_of(1, "BTC-USDT") != day_of(2, "BTC-USDT")
    assert day_of(1, "BTC-USDT", DAY + 100 * MINUTE_MS, 7) == day_of(1, "BTC-USDT")[100:107], "any minute can be had alone"


def test_days_join_without_a_jump() -> None:
    bars = day_of(1, "BTC-USDT", DAY - 60 * MINUTE_MS, 120)
    assert [bar.open_time for bar in bars] == [from_ms(DAY + minute * MINUTE_MS) for minute in range(-60, 60)]
    assert all(abs(math.log(later.open / earlier.close)) < 1e-9 for earlier, later in pairwise(bars))


def test_the_simulated_market_is_plausible() -> None:
    """Levels, volumes, volatility that clusters, and two symbols that move together."""
    moves = {}
    for symbol, low, high in (("BTC-USDT", 40_000, 250_000), ("ETH-USDT", 1_000, 9_000)):
        bars = [bar for day in range(4) for bar in day_of(3, symbol, DAY + day * 1440 * MINUTE_MS)]
        assert all(low < bar.close < high for bar in bars)
        assert all(bar.volume and bar.taker_buy_volume and 0 < bar.taker_buy_volume < bar.volume for bar in bars)
        moves[symbol] = [math.log(bar.close / bar.open) for bar in bars]
        assert 0.0003 < pstdev(moves[symbol]) < 0.003
        sizes = [abs(move) for move in moves[symbol]]
        assert correlation(sizes[:-1], sizes[1:]) > 0.05
    assert 0.4 < correlation(*moves.values()) < 0.98


def test_levels_stay_plausible_for_a_decade() -> None:
    made = MarketSimulation(1, "BTC-USDT")
    closes = [float(json.loads(made.page(DAY + day * 86_400_000, DAY + day * 86_400_000, 1))[4]) for day in range(-3000, 600, 200)]
    assert 20_000 < min(closes) < max(closes) < 500_000
    assert max(closes) / min(closes) > 1.05


async def test_a_station_fills_a_week_from_the_simulated_market(tmp_path: Path) -> None:
    hub = await collected({}, FastClock(START, 1.0), 2 * 10_080 - 20, tmp_path, ("BTC-USDT", "ETH-USDT"))
    assert not hub.store.missing("BTC-USDT", T - 10_079 * MINUTE_MS, T - 10 * MINUTE_MS)
    assert not hub.store.gaps()
