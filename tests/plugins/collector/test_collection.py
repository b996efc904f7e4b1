"""The collector against an exchange in memory, by a clock that moves when told."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from hub.market.interval import MINUTE_MS, from_ms, to_ms
from hub.messages import Bar, Gap
from hub.testing import START, FakeClock, MemoryStore
from tests.exchanges import LISTED, FakeExchange, Station, row, station

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
T = to_ms(START)


def exact(made: Station, symbol: str = "BTC-USDT") -> list[Bar]:
    return [bar for bar in made.store.bars(symbol, 0, 10**14) if bar.quality == "exact"]


def assert_true_bars(made: Station) -> None:
    """Every stored exact bar has the numbers of the closed minute, never those of a running one."""
    for symbol in made.hub.symbols:
        for bar in exact(made, symbol):
            expected = row(to_ms(bar.open_time))
            assert [bar.open, bar.high, bar.low, bar.close] == [float(cell) for cell in expected[1:5]]


async def test_an_empty_store_is_filled_and_then_followed() -> None:
    async with station() as made:
        await made.run_for(600)
    for symbol in made.hub.symbols:
        opened = [bar.open_time for bar in exact(made, symbol)]
        assert opened == [START - HOUR + MINUTE * minute for minute in range(60 + 9 + 1)][: len(opened)]
        assert opened[-1] >= START + 8 * MINUTE
    assert not made.store.gaps()
    assert_true_bars(made)


async def test_all_symbols_of_a_minute_come_in_one_batch() -> None:
    """One commit a minute."""
    async with station() as made:
        await made.run_for(30)
        made.batches.clear()
        await made.run_for(300)
    assert [sorted(bar.symbol for bar in batch) for batch in made.batches] == [["BTC-USDT", "ETH-USDT"]] * 5


async def test_no_partial_bar_is_stored_in_a_day_of_polls() -> None:
    """X1: the last row is the minute still running, and its numbers differ at every poll."""
    async with station() as made:
        await made.run_for(86_400)
    assert len(exact(made)) >= 1440
    assert_true_bars(made)
    assert not made.unaccounted(START - HOUR, START + timedelta(hours=23))


@pytest.mark.torture
@pytest.mark.timeout(1800)
async def test_no_partial_bar_is_stored_in_100000_polls() -> None:
    """The same, for five weeks."""
    async with station() as made:
        for _ in range(36):
            await made.run_for(86_400)
            made.exchange.asked.clear()
            made.batches.clear()
    assert made.exchange._polls >= 100_000
    assert_true_bars(made)


async def test_nothing_is_asked_in_the_first_two_seconds_of_a_minute() -> None:
    """X12: everybody asks at :00."""
    random.seed(1)
    clock = FakeClock(START + 30 * SECOND)
    exchange = FakeExchange(clock)
    exchange.ahead_ms = 30_000
    async with station(clock=clock, exchange=exchange) as made:
        await made.run_for(4 * 3600)
    seconds = Counter(at // 1000 % 60 for at, _ in exchange.asked[1:])
    assert not seconds[0]
    assert not seconds[1]
    live = [at // 1000 % 60 for at, request in exchange.asked if request.url.params.get("limit") == "1"]
    assert set(live) <= set(range(2, 9))
    assert len(set(live)) >= 5, "spread, not at one second"


async def test_a_restart_asks_only_for_what_is_missing() -> None:
    clock = FakeClock()
    exchange = FakeExchange(clock)
    async with station(clock=clock, exchange=exchange) as first:
        await first.run_for(300)
    await clock.advance(1200)
    exchange.asked.clear()
    async with station(clock=clock, exchange=exchange, store=first.store) as second:
        await second.run_for(20)
    recorded = [bar for batch in second.batches for bar in batch if bar.symbol == "BTC-USDT"]
    assert recorded[0].open_time == START + 4 * MINUTE
    assert len({bar.open_time for bar in recorded}) == len(recorded), "none twice"
    assert not second.unaccounted(START - HOUR, START + 24 * MINUTE)


async def test_filling_in_resumes_at_the_first_hole() -> None:
    clock = FakeClock()
    exchange = FakeExchange(clock)
    async with station(clock=clock, exchange=exchange, backfill="2d") as whole:
        await whole.run_for(20)
    kept = [bar for bar in exact(whole) if not START - 30 * HOUR <= bar.open_time < START - 29 * HOUR]
    async with station(clock=clock, exchange=exchange, store=MemoryStore(kept), backfill="2d") as again:
        await again.run_for(20)
    btc = [bar for batch in again.batches for bar in batch if bar.symbol == "BTC-USDT"]
    assert [btc[0].open_time, btc[59].open_time] == [START - 30 * HOUR, START - 29 * HOUR - MINUTE]
    assert len(btc) == 60


async def test_a_halt_is_a_gap_asked_for_again_after_an_hour_a_day_and_a_week() -> None:
    """X5: never filled in, and not asked for at every repair."""
    clock = FakeClock()
    exchange = FakeExchange(clock)
    halt = {T - 40 * MINUTE_MS + minute * MINUTE_MS for minute in range(10)}
    exchange.absent = set(halt)
    async with station(clock=clock, exchange=exchange) as made:
        await made.run_for(20)
    tries = made.store.gaps("BTC-USDT")
    while (again_at := tries[-1].next_try_at) is not None:
        await clock.advance((to_ms(again_at) - exchange.now_ms()) / 1000 - 90)
        async with station(clock=clock, exchange=exchange, store=made.store) as again:
            await again.run_for(20)
            assert made.store.gaps("BTC-USDT") == [tries[-1]], "not before its time"
            await again.run_for(700)
        tries += made.store.gaps("BTC-USDT")
        assert len(tries) < 6
    waits = [
        (later.next_try_at - earlier.next_try_at) / HOUR for earlier, later in pairwise(tries) if later.next_try_at and earlier.next_try_at
    ]
    assert [round(wait) for wait in waits] == [24, 168]
    assert [gap.tries for gap in tries] == [1, 2, 3, 4]
    assert {(to_ms(gap.first_open_time), gap.minutes, gap.reason) for gap in tries} == {(min(halt), 10, "exchange: no data")}
    asked = len([1 for _, request in exchange.asked if request.url.params.get("startTime") == str(min(halt))])
    await clock.advance(30 * 86_400)
    async with station(clock=clock, exchange=exchange, store=made.store) as again:
        await again.run_for(700)
    assert made.store.gaps("BTC-USDT") == [tries[-1]]
    assert len([1 for _, request in exchange.asked if request.url.params.get("startTime") == str(min(halt))]) == asked


async def test_a_gap_that_the_exchange_fills_later_is_closed() -> None:
    clock = FakeClock()
    exchange = FakeExchange(clock)
    exchange.absent = {T - 10 * MINUTE_MS, T - 9 * MINUTE_MS}
    async with station(clock=clock, exchange=exchange) as made:
        await made.run_for(20)
        assert [gap.minutes for gap in made.store.gaps("BTC-USDT")] == [2]
        exchange.absent = {T - 9 * MINUTE_MS}
        await made.run_for(4300)
        assert [(to_ms(gap.first_open_time), gap.minutes) for gap in made.store.gaps("BTC-USDT")] == [(T - 9 * MINUTE_MS, 1)]
        assert not made.unaccounted(START - HOUR, START + 70 * MINUTE)


async def test_a_halt_now_is_one_growing_gap_and_the_others_go_on() -> None:
    clock = FakeClock()
    exchange = FakeExchange(clock)
    async with station(clock=clock, exchange=exchange) as made:
        await made.run_for(130)
        exchange.absent = {T + minute * MINUTE_MS for minute in range(2, 32)}
        await made.run_for(1800)
        [gap] = made.store.gaps("ETH-USDT")
        assert gap.first_open_time == START + 2 * MINUTE
        assert gap.minutes >= 28
        assert gap.tries == 1
        await made.run_for(600)
        assert [gap.minutes for gap in made.store.gaps("ETH-USDT")] == [30]
        assert not made.unaccounted(START - HOUR, START + 40 * MINUTE)


async def test_a_minute_that_comes_a_little_late_is_no_gap() -> None:
    clock = FakeClock()
    exchange = FakeExchange(clock)
    exchange.lateness_ms = 9_000
    async with station(clock=clock, exchange=exchange) as made:
        await made.run_for(3600)
    assert not [fact for batch in made.batches for fact in batch if isinstance(fact, Gap)]
    assert len(exact(made)) >= 60 + 58


async def test_what_lies_before_the_first_bar_of_all_is_no_gap() -> None:
    """A symbol that was listed three days ago lacks nothing of the week before."""
    async with station(backfill="7d") as made:
        await made.run_for(60)
    assert made.store.oldest_open_time("BTC-USDT") == LISTED
    assert not made.store.gaps()


async def test_an_unknown_symbol_is_named_and_the_others_go_on() -> None:
    """X11."""
    clock = FakeClock()
    exchange = FakeExchange(clock, symbols=("BTCUSDT",))
    async with station(clock=clock, exchange=exchange) as made:
        await made.run_for(900)
        assert [text for text in made.said("warning") if "ETHUSDT is unknown to exchange.test" in text].__len__() == 1
        assert len(exact(made)) >= 70
        assert {gap.reason for gap in made.store.gaps("ETH-USDT")} == {
            "ETHUSDT is unknown to exchange.test; correct or remove it in `symbols`"
        }
        polls = [request for _, request in exchange.asked if request.url.params.get("symbol") == "ETHUSDT"]
        assert len(polls) <= 2, "asked for hourly, not at every minute"


async def test_a_symbol_on_break_is_said_with_its_last_bar() -> None:
    clock = FakeClock()
    exchange = FakeExchange(clock)
    exchange.status = "BREAK"
    async with station(clock=clock, exchange=exchange) as made:
        await made.run_for(60)
    assert any(text.startswith("ETH-USDT is BREAK at exchange.test") for text in made.said("warning"))


async def test_one_symbol_in_trouble_does_not_hold_up_the_other() -> None:
    clock = FakeClock()
    exchange = FakeExchange(clock)
    exchange.script = lambda request: httpx.Response(200, text="<html>") if request.url.params.get("symbol") == "ETHUSDT" else None
    async with station(clock=clock, exchange=exchange) as made:
        await made.run_for(1800)
        assert len(exact(made)) >= 85
        assert len([text for text in made.said("warning") if "web page" in text]) == 1
        [gap] = made.store.gaps("ETH-USDT")
        assert "web page" in gap.reason
        exchange.script = lambda _: None
        await made.run_for(720)
        assert not made.store.gaps()
        assert len(exact(made, "ETH-USDT")) == len(exact(made))


def down_between(exchange: FakeExchange, first: float, last: float, answer: Any) -> None:
    def script(request: httpx.Request) -> httpx.Response | None:
        if request.url.host != "exchange.test" or not first <= exchange.clock.monotonic() < last:
            return None
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=dict(answer.headers))

    exchange.script = script


@pytest.mark.parametrize("fallback", [None, "coingecko"])
async def test_an_outage_becomes_a_gap_with_words_and_is_repaired(fallback: str | None) -> None:
    """X8: nothing is lost, and no fallback bar outlives the outage."""
    clock = FakeClock()
    exchange = FakeExchange(clock)
    down_between(exchange, 300, 300 + 3600, httpx.ConnectError("refused"))
    async with station(clock=clock, exchange=exchange, fallback=fallback) as made:
        await made.run_for(300 + 3000)
        gaps = made.store.gaps("BTC-USDT")
        stood_in = [bar for bar in made.store.bars("BTC-USDT", 0, 10**14) if bar.quality == "fallback"]
        if fallback:
            assert len(stood_in) >= 45
            assert {(bar.volume, bar.source, bar.close) for bar in stood_in} == {(None, "coingecko", 111.5)}
        else:
            assert not stood_in
            assert gaps[0].reason == "exchange.test: refused"
            assert len([fact for batch in made.batches for fact in batch if isinstance(fact, Gap)]) <= 20, "sparingly"
        await made.run_for(1200)
        assert not made.store.gaps()
        assert not [bar for symbol in made.hub.symbols for bar in made.store.bars(symbol, 0, 10**14) if bar.quality == "fallback"]
        assert not made.unaccounted(START - HOUR, START + 73 * MINUTE)
    assert len([text for text in made.said("warning") if text.startswith("exchange.test: refused")]) == 1
    assert made.said("info").count("exchange.test answers again") == 1


async def test_a_fallback_bar_never_replaces_an_exact_one() -> None:
    clock = FakeClock()
    exchange = FakeExchange(clock)
    async with station(clock=clock, exchange=exchange) as before:
        await before.run_for(3600)
    down_between(exchange, 0, 10**9, httpx.ConnectError("refused"))
    async with station(clock=clock, exchange=exchange, store=before.store, fallback="coingecko") as made:
        await made.run_for(1200)
    facts = [fact for batch in made.batches for fact in batch if isinstance(fact, Bar)]
    assert facts
    assert min(fact.open_time for fact in facts) >= START + 59 * MINUTE
    assert_true_bars(before)


RETRY_AFTER: list[tuple[dict[str, str], float]] = [
    ({"retry-after": "600"}, 600),
    ({}, 60),
    ({"retry-after": "-1"}, 60),
    ({"retry-after": "nonsense"}, 60),
    ({"retry-after": "1000000000"}, 3 * 86_400),
    ({"retry-after": "Tue, 20 May 2025 01:05:00 GMT", "date": "Tue, 20 May 2025 00:05:00 GMT"}, 3600),
]


@pytest.mark.parametrize("status", [429, 418])
@pytest.mark.parametrize(("headers", "wait"), RETRY_AFTER)
async def test_a_ban_means_no_request_at_all_over_a_restart_too(status: int, headers: dict[str, str], wait: float, tmp_path: Path) -> None:
    """X2. Two restarts within the ban, one of them with a wall clock that jumped a day ahead."""
    clock = FakeClock()
    exchange = FakeExchange(clock)
    async with station(clock=clock, exchange=exchange, data_dir=tmp_path) as first:
        await first.run_for(130)
        down_between(exchange, 0, 10**9, httpx.Response(status, headers=headers))
        await first.run_for(60)
        assert any("nothing is asked of it" in text for text in first.said("warning"))
    began = max(at for at, _ in exchange.asked)
    exchange.script = lambda _: None
    async with station(clock=clock, exchange=exchange, data_dir=tmp_path, store=first.store) as second:
        await second.run_for(10)
        clock.jump(timedelta(days=1))
        await second.run_for(wait * 0.5)
    async with station(clock=clock, exchange=exchange, data_dir=tmp_path, store=first.store) as third:
        await third.run_for(wait * 0.5 + 180)
    after = [at for at, _ in exchange.asked if at > began]
    assert min(after) >= began + wait * 1000 - 1
    assert min(after) <= began + wait * 1000 + 130_000
    assert not third.unaccounted(START - HOUR, from_ms(exchange.now_ms()) - 5 * MINUTE)


async def test_coingecko_stands_in_while_we_are_banned_and_only_once_a_minute() -> None:
    clock = FakeClock()
    exchange = FakeExchange(clock)
    down_between(exchange, 100, 200, httpx.Response(429, headers={"retry-after": "1200"}))
    async with station(clock=clock, exchange=exchange, fallback="coingecko") as made:
        await made.run_for(1200)
        calls = exchange.asked_of("gecko.test")
        assert 15 <= len(calls) <= 20
        assert {request.url.params["ids"] for _, request in calls} == {"bitcoin,ethereum"}
        assert len([bar for bar in made.store.bars("ETH-USDT", 0, 10**14) if bar.quality == "fallback"]) == len(calls)
        await made.run_for(900)
        assert not [bar for bar in made.store.bars("ETH-USDT", 0, 10**14) if bar.quality == "fallback"]


async def test_coingecko_has_a_ban_of_its_own() -> None:
    clock = FakeClock()
    exchange = FakeExchange(clock)

    def script(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(503) if request.url.host == "exchange.test" else httpx.Response(429, headers={"retry-after": "900"})

    exchange.script = script
    async with station(clock=clock, exchange=exchange, fallback="coingecko") as made:
        exchange.script = lambda _: None
        await made.run_for(60)
        exchange.script = script
        await made.run_for(840)
        assert len(exchange.asked_of("gecko.test")) == 1
        assert len([text for text in made.said("warning") if "no stand-in either" in text]) == 1


async def test_at_a_start_without_the_exchange_the_time_comes_from_the_stand_in() -> None:
    """Never from this machine's own clock, which may be years off."""
    clock = FakeClock(datetime(1999, 1, 1, tzinfo=UTC))
    exchange = FakeExchange(clock)

    def script(request: httpx.Request) -> httpx.Response | None:
        if request.url.host == "exchange.test":
            raise httpx.ConnectError("refused")
        return None

    exchange.script = script
    async with station(clock=clock, exchange=exchange, fallback="coingecko") as made:
        await made.run_for(600)
        bars = made.store.bars("BTC-USDT", 0, 10**14)
        assert len(bars) >= 8
        assert all(START - 2 * MINUTE <= bar.open_time <= START + 10 * MINUTE for bar in bars)
        assert not made.unaccounted(START - HOUR, START)


@pytest.mark.parametrize("jump", [timedelta(days=-1), timedelta(days=1), timedelta(days=-9000), timedelta(hours=1), timedelta(seconds=-3)])
async def test_a_jump_of_the_wall_clock_changes_nothing(jump: timedelta) -> None:
    """K6: a Raspberry Pi starts in the past and is corrected later."""
    clock = FakeClock()
    exchange = FakeExchange(clock)
    async with station(clock=clock, exchange=exchange) as made:
        await made.run_for(330)
        clock.jump(jump)
        await made.run_for(1500)
        assert_true_bars(made)
        assert not made.store.gaps()
        assert [bar.open_time for bar in exact(made)] == [START - HOUR + MINUTE * minute for minute in range(len(exact(made)))]
        assert len(exact(made)) >= 60 + 29


async def test_a_wrong_clock_is_said_once_and_far_off_clearly() -> None:
    clock = FakeClock(datetime(1970, 1, 2, tzinfo=UTC))
    async with station(clock=clock) as made:
        await made.run_for(3600)
        [text] = [text for text in made.said() if "clock is" in text]
        assert "behind the exchange's" in text
        assert "timedatectl" in text
        assert len(exact(made)) >= 118


async def test_a_rejected_row_becomes_a_gap_with_the_reason() -> None:
    """X7: quarantined with its text; the neighbours are kept."""
    clock = FakeClock()
    exchange = FakeExchange(clock)
    bad = T - 5 * MINUTE_MS

    def script(request: httpx.Request) -> httpx.Response | None:
        if request.url.path != "/api/v3/klines":
            return None
        rows = exchange._rows(request.url.params)
        return httpx.Response(200, json=[row(bad, high="1.0") if cells[0] == bad else cells for cells in rows])

    exchange.script = script
    async with station(clock=clock, exchange=exchange) as made:
        await made.run_for(60)
        [gap] = made.store.gaps("BTC-USDT")
        assert (to_ms(gap.first_open_time), gap.minutes) == (bad, 1)
        assert gap.reason.startswith("rejected: impossible bar")
        assert any("cannot be a bar" in text for text in made.said("warning"))
        assert len(exact(made)) >= 58
        exchange.script = lambda _: None
        await made.run_for(4500)
        assert not made.store.gaps()


async def test_a_spike_is_flagged_and_kept() -> None:
    clock = FakeClock()
    exchange = FakeExchange(clock)
    odd = T - 5 * MINUTE_MS
    high = dict.fromkeys(("open", "high", "low", "close"), "10900.0")
    exchange.script = lambda request: (
        httpx.Response(200, json=[row(odd, **high) if cells[0] == odd else cells for cells in exchange._rows(request.url.params)])
        if request.url.path == "/api/v3/klines"
        else None
    )
    async with station(clock=clock, exchange=exchange) as made:
        await made.run_for(60)
        assert made.store.bars("BTC-USDT", odd, odd)[0].close == 10900
        assert any("price jumped" in text for text in made.said("warning"))


async def test_ten_equal_bars_are_said_once() -> None:
    clock = FakeClock()
    exchange = FakeExchange(clock)
    same = dict.fromkeys(("open", "high", "low", "close"), "5.0") | {"volume": "0.0"}
    exchange.script = lambda request: (
        httpx.Response(200, json=[row(cells[0], **same) for cells in exchange._rows(request.url.params)])
        if request.url.path == "/api/v3/klines"
        else None
    )
    async with station(clock=clock, exchange=exchange) as made:
        await made.run_for(60)
        assert len([text for text in made.said("warning") if "equal bars in a row" in text]) == 2, "once for each symbol"


async def test_history_waits_when_the_weight_is_used_up_and_live_minutes_do_not() -> None:
    clock = FakeClock()
    exchange = FakeExchange(clock)

    def script(request: httpx.Request) -> httpx.Response | None:
        if request.url.path != "/api/v3/klines":
            return None
        return httpx.Response(200, headers={"x-mbx-used-weight-1m": "1100"}, json=exchange._rows(request.url.params))

    exchange.script = script
    async with station(clock=clock, exchange=exchange, backfill="3d") as made:
        await made.run_for(290)
        per_minute = Counter(at // MINUTE_MS for at, request in exchange.asked if int(request.url.params.get("limit", 0)) == 1000)
        assert max(per_minute.values()) <= 4
        assert exact(made)[-1].open_time >= START + 2 * MINUTE, "the newest minute is there although the past is not"
        await made.run_for(600)
        assert not made.unaccounted(START - timedelta(days=3), START)


@pytest.mark.parametrize("seed", range(4))
async def test_after_a_day_of_random_faults_every_minute_is_a_bar_or_a_gap(seed: int) -> None:
    """Property: no partial bar, nothing unaccounted for, nothing invented."""
    chance = random.Random(seed)
    clock = FakeClock()
    exchange = FakeExchange(clock)
    exchange.absent = {T + chance.randrange(-60, 1440) * MINUTE_MS for _ in range(60)}
    bad: list[Any] = [500, 502, 403, 451, 404]

    def script(request: httpx.Request) -> httpx.Response | None:
        if request.url.host != "exchange.test" or chance.random() > 0.3:
            return None
        if (kind := chance.randrange(6)) == 0:
            raise httpx.ReadError("")
        if kind == 1:
            return httpx.Response(200, text=chance.choice(["", "<html>", "{}", "[[]]", "[1", '{"code":-1121}', '{"code":-1003,"msg":"x"}']))
        return httpx.Response(chance.choice(bad))

    exchange.script = script
    async with station(clock=clock, exchange=exchange, fallback=chance.choice([None, "coingecko"])) as made:
        await made.run_for(30_000)
        exchange.script = lambda _: None
        await made.run_for(6_000)
        first = made.store.oldest_open_time("BTC-USDT") or 0
        assert not made.unaccounted(from_ms(first), START + timedelta(seconds=35_700))
        assert_true_bars(made)
        fallback = [bar for bar in made.store.bars("BTC-USDT", 0, 10**14) if bar.quality == "fallback"]
        assert not [bar for bar in fallback if to_ms(bar.open_time) not in exchange.absent]
        assert not {to_ms(bar.open_time) for bar in exact(made)} & exchange.absent
        assert len(exact(made)) > 540
