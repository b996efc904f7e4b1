"""Rows into bars: what is right is kept to the digit, what is wrong costs itself only."""

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.market.interval import MINUTE_MS, from_ms, to_ms
from hub.messages import Bar
from hub.topics import encode
from plugins.collector.klines import Page, parse, read_rows
from tests.exchanges import page, row

T = to_ms(datetime(2025, 5, 20, tzinfo=UTC))
LATER = T + 100 * MINUTE_MS


def parsed(rows: Any, now: int = LATER) -> Page:
    """As the exchange writes them: without a space."""
    return parse(json.dumps(rows, separators=(",", ":")).encode(), "BTC-USDT", "test", now)


def test_a_row_becomes_a_bar_with_every_field() -> None:
    [bar] = parse(page(T), "BTC-USDT", "binanceus", LATER).bars
    assert (bar.symbol, to_ms(bar.open_time), bar.source, bar.quality) == ("BTC-USDT", T, "binanceus", "exact")
    assert (bar.volume, bar.quote_volume, bar.trades, bar.taker_buy_volume) == (2.5, 250.0, 7, 1.25)


def test_unknown_extras_stay_unknown() -> None:
    """Null is not zero."""
    [bar] = parsed([row(T, quote_volume=None, trades=None, taker_base=None, taker_quote=None)]).bars
    assert (bar.quote_volume, bar.trades, bar.taker_buy_volume) == (None, None, None)


def test_a_bar_without_trades_is_legal() -> None:
    """Thin markets have minutes in which nobody trades."""
    flat = dict.fromkeys(("open", "high", "low", "close"), "5.00") | {"volume": "0.00000000", "quote_volume": "0.00000000", "trades": 0}
    [bar] = parsed([row(T, **flat)]).bars
    assert bar.volume == 0


def test_the_running_minute_is_left_out_until_a_second_after_its_close() -> None:
    assert [len(parse(page(T), "BTC-USDT", "test", T + MINUTE_MS + late).bars) for late in (-1, 0, 999, 1000, 1001)] == [0, 0, 0, 1, 1]


def test_rows_are_sorted_and_the_last_of_a_minute_wins() -> None:
    rows = [row(T + 2 * MINUTE_MS), row(T), row(T + MINUTE_MS), row(T, close="109.00")]
    bars = parsed(rows).bars
    assert [to_ms(bar.open_time) for bar in bars] == [T, T + MINUTE_MS, T + 2 * MINUTE_MS]
    assert bars[0].close == 109.0


@pytest.mark.parametrize("scale", [1, 1000])
def test_milliseconds_and_microseconds_mean_the_same(scale: int) -> None:
    """Binance's spot data changed units on 2025-01-01."""
    minutes = (T, T + MINUTE_MS)
    rows = [row(at * scale, close_time=(at + MINUTE_MS) * scale - 1) for at in minutes]
    assert [to_ms(bar.open_time) for bar in parsed(rows).bars] == list(minutes)


BAD: dict[str, dict[str, Any]] = {
    "high below low": {"high": "98.0", "low": "99.0"},
    "open above high": {"open": "500"},
    "close below low": {"close": "1.0"},
    "zero price": {"low": "0", "open": "0"},
    "negative price": {"low": "-1"},
    "nan": {"close": "nan"},
    "Infinity": {"high": "Infinity"},
    "1e308": {"high": "1e308"},
    "sixteen digits": {"high": "1" * 16},
    "underscore": {"close": "1_000"},
    "true": {"close": True},
    "a number instead of a string": {"close": 100.0},
    "empty": {"close": ""},
    "null price": {"open": None},
    "a trailing newline": {"open": "100\n"},
    "Arabic digits": {"open": "\u0661\u0660\u0660"},
    "negative volume": {"volume": "-2"},
    "null volume": {"volume": None},
    "float trades": {"trades": 1.5},
    "text trades": {"trades": "7"},
    "negative trades": {"trades": -1},
    "true trades": {"trades": True},
    "too many trades": {"trades": 2**63},
    "off the grid": {"open_time": T + 1, "close_time": T + MINUTE_MS},
    "in the future": {"open_time": T + 10**9 * 60, "close_time": T + 10**9 * 60 + MINUTE_MS - 1},
    "an hour long": {"close_time": T + 60 * MINUTE_MS - 1},
    "before 2017": {"open_time": 0, "close_time": MINUTE_MS - 1},
    "text time": {"open_time": str(T)},
    "huge time": {"open_time": 10**30},
    "true time": {"open_time": True},
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_costs_itself_only(name: str) -> None:
    """It is quarantined with its reason and its raw text; its neighbours are kept."""
    result = parsed([row(T - MINUTE_MS), row(T, **BAD[name]), row(T + MINUTE_MS)])
    assert [to_ms(bar.open_time) for bar in result.bars] == [T - MINUTE_MS, T + MINUTE_MS]
    [rejected] = result.rejected
    assert rejected.reason
    assert len(rejected.raw) <= 200
    if "open_time" not in BAD[name]:
        assert rejected.open_time == T


@pytest.mark.parametrize("raw", [None, 1, "x", {}, [], [T], row(T)[:11], [*row(T), "13th"], [row(T)]])
def test_what_is_no_row_is_rejected(raw: Any) -> None:
    result = parsed([raw, row(T)])
    assert (len(result.bars), len(result.rejected)) == (1, 1)


@pytest.mark.parametrize("body", [b"", b"null", b"{}", b'"x"', b"<html>", b"[", b"[" * 100_000, b"\xff\xfe", b"[1e999999]x"])
def test_what_is_no_list_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse(body, "BTC-USDT", "test", LATER)


anything = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([[], {}, [[]], [T], {"a": 1}, 10**40, "9" * 16])
)
cells = (
    st.sampled_from(
        ["0", "1", "99.5", "100", "1e5", "nan", "-3", "1_0", "", "999999999999999.9", T, T + MINUTE_MS - 1, T * 1000, T // 1000]
    )
    | anything
)
swaps = st.lists(st.tuples(st.integers(0, 11), cells), min_size=1, max_size=3)


def spoilt(minute: int, changes: list[tuple[int, Any]]) -> list[Any]:
    cells = row(T + minute * MINUTE_MS)
    for place, value in changes:
        cells[place] = value
    return cells


hostile = st.builds(spoilt, st.integers(0, 5), swaps) | anything


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(hostile, min_size=20, max_size=24))
def test_ten_thousand_hostile_rows_never_make_an_impossible_bar(rows: list[Any]) -> None:
    for bar in parsed(rows).bars:
        assert Bar.model_validate_json(bar.model_dump_json(), strict=True) == bar
        assert 0 < bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high < 1e16
        assert bar.volume is not None
        assert bar.volume >= 0
        assert to_ms(bar.open_time) % MINUTE_MS == 0
        assert to_ms(bar.close_time) < LATER


@settings(max_examples=1_000, deadline=None)
@given(st.binary(max_size=300) | st.binary(max_size=100).map(lambda noise: page(T)[:80] + noise))
def test_hostile_bodies_are_refused_in_one_way(body: bytes) -> None:
    try:
        parse(body, "BTC-USDT", "test", LATER)
    except ValueError:
        return


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=60), st.integers(0, 50 * MINUTE_MS))
def test_no_bar_is_ever_taken_before_its_minute_is_over(minutes: list[int], now: int) -> None:
    result = parse(page(*(T + minute * MINUTE_MS for minute in minutes)), "BTC-USDT", "test", T + now)
    assert all(to_ms(bar.open_time) + MINUTE_MS <= T + now - 1000 for bar in result.bars)
    expected = {T + minute * MINUTE_MS for minute in minutes if (minute + 1) * MINUTE_MS <= now - 1000}
    assert {to_ms(bar.open_time) for bar in result.bars} == expected


def test_the_fast_path_and_the_slow_path_agree() -> None:
    good = [row(T + minute * MINUTE_MS) for minute in range(50)]
    assert read_rows(page(*(T + minute * MINUTE_MS for minute in range(50))))
    assert parsed(good).bars == parsed([*good, "bad"]).bars


@settings(deadline=None, max_examples=500)
@given(st.lists(st.text('0123456789.,"[] \n-+eEnaifx_\u0661', max_size=12) | st.floats().map(str), min_size=1, max_size=3))
def test_what_is_quickly_read_is_what_is_slowly_read(texts: list[str]) -> None:
    """An answer of plain numbers is not looked at number by number; it must come to the same."""
    rows = [row(T + minute * MINUTE_MS, volume=text) for minute, text in enumerate(texts)]
    quick, slow = parsed(rows).bars, parse(json.dumps(rows).encode(), "BTC-USDT", "test", LATER).bars
    dotted = [text for text in texts if text.startswith(".") or text.endswith(".")]  # read quickly as Python reads them
    assert quick == slow or dotted


def test_numbers_are_read_as_python_reads_them() -> None:
    """To the last bit: a bar here and the same bar read from a file elsewhere must be equal."""
    texts = ["0.1", "66973.26", "0.000000000001", "123456789012345.123456789012", "900719925474099.3", "2.50000000"]
    for text in texts:
        [row_read] = read_rows(page(T, volume=text))
        assert row_read[5] == float(text)


def test_a_bar_from_a_row_is_one_that_validation_would_make() -> None:
    """The parser makes bars without pydantic's checks; this says that it has made them all itself."""
    rows = [row(T + minute * MINUTE_MS, **extras) for minute, extras in enumerate(({}, {"trades": None}, {"quote_volume": None}))]
    for bar in parsed(rows).bars:
        assert Bar.model_validate_json(bar.model_dump_json(), strict=True) == bar
        assert encode(Bar.model_validate(dict(bar))) == encode(bar)


@pytest.fixture(params=["America/New_York", "Asia/Kathmandu", "UTC"])
def zone(request: pytest.FixtureRequest) -> Iterator[str]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
    time.tzset()


@pytest.mark.parametrize(
    "around",
    [
        datetime(2025, 3, 9, 7, tzinfo=UTC),  # DST begins in New York
        datetime(2025, 11, 2, 6, tzinfo=UTC),  # and ends
        datetime(2017, 1, 1, tzinfo=UTC),  # a leap second came before
        datetime(2025, 1, 1, tzinfo=UTC),
        datetime(2028, 2, 29, tzinfo=UTC),
        datetime(2025, 5, 20, tzinfo=UTC),
    ],
)
def test_neither_zone_nor_calendar_moves_the_grid(zone: str, around: datetime) -> None:
    """K7: times are integers in UTC, whatever the machine's zone."""
    first = max(to_ms(around) - 90 * MINUTE_MS, to_ms(datetime(2017, 1, 1, tzinfo=UTC)))
    minutes = [first + step * MINUTE_MS for step in range(180)]
    bars = parse(page(*minutes), "BTC-USDT", "test", minutes[-1] + 2 * MINUTE_MS).bars
    assert [bar.open_time for bar in bars] == [from_ms(minute) for minute in minutes]
    assert all(later.open_time == earlier.close_time for earlier, later in pairwise(bars))
