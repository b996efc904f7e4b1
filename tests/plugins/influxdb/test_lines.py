"""The encoder: every type fixed, everything escaped, nothing that InfluxDB would refuse or misread."""

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.market.interval import to_ms
from hub.messages import Message
from hub.testing import START
from plugins.influxdb.lines import LONG_BAR, MEASUREMENTS, Measurement, lines, nanoseconds
from tests.plugins.influxdb.examples import EVERY, alert, article, bar, forecast, health, read, score, state

T = to_ms(START) * 1_000_000
MINUTE = 60 * 10**9
BY_NAME = {each.name: each for each in MEASUREMENTS}
TYPES = {"floats": float, "ints": int, "strings": str}


def points(message: Message) -> list[tuple[str, dict[str, str], dict[str, Any], int]]:
    return [read(line) for line in lines(message, T)]


def test_a_bar_is_the_point_that_the_dashboards_expect() -> None:
    """Source and quality are fields: a corrected bar replaces the one it corrects."""
    expected = (
        "bar,symbol=BTC-USDT,interval=1m open=100.0,high=100.0,low=100.0,close=100.0,volume=2.0,quote_volume=200.0,"
        f'taker_buy_volume=0.5,trades=7i,source="test",quality="exact" {T}'
    )
    assert lines(bar(), 0) == [expected]
    [(_, tags, fields, at)] = points(bar(quality="fallback", volume=None, quote_volume=None, trades=None, taker_buy_volume=None))
    assert (tags, at) == ({"symbol": "BTC-USDT", "interval": "1m"}, T)
    assert fields == {"open": 100.0, "high": 100.0, "low": 100.0, "close": 100.0, "source": "test", "quality": "fallback"}


def test_a_forecast_stands_where_it_was_made_and_where_it_points_to() -> None:
    """The second point lets a panel lay a forecast over what came."""
    tags = {"symbol": "BTC-USDT", "horizon": "5", "model": "transformer", "role": "live"}
    prices = {"price": 101.0, "low": 99.5, "high": 102.0, "p_up": 0.625, "last_close": 100.0}
    more = {"confidence": 0.25, "direction": "up", "version": "1.2", "open_time": T // 10**6, "target_time": T // 10**6 + 360_000}
    assert points(forecast()) == [
        ("forecast", tags, prices | more, T + MINUTE + 250_000_000),
        ("forecast_target", tags, prices, T + 6 * MINUTE),
    ]
    assert points(forecast(role="shadow"))[0][1]["role"] == "shadow"


def test_a_score_without_a_time_of_its_own_stands_where_it_is_written() -> None:
    """Only one that was recorded before scores had a time."""
    [(_, tags, fields, at)] = points(score(skill=None, auc=None))
    assert at == T
    assert tags == {"symbol": "BTC-USDT", "horizon": "30", "model": "transformer", "role": "live"}
    assert fields == {
        "n": 288,
        "hit_rate": 0.5,
        "brier": 0.25,
        "coverage": 0.8,
        "last_outcome": 0.001,
        "window": "7d",
        "version": "1.2",
    }
    assert read(lines(score(scored_at=None), T + 5)[0])[3] == T + 5


def test_a_plugin_is_ok_while_it_runs_and_only_then() -> None:
    """An alert rule reads this number."""
    assert points(state())[0][2] == {"lag_s": 61.5, "ok": 0, "restarts": 2, "lag": 9, "state": "stale", "error": "behind"}
    [(_, tags, fields, at)] = points(state(state="running", error=None, lag=None, lag_s=None))
    assert (tags, fields, at) == ({"name": "influxdb"}, {"ok": 1, "restarts": 2, "state": "running"}, T)


def test_the_hub_has_no_tags_and_only_whole_numbers() -> None:
    """One series, however often the hub moves."""
    [(name, tags, fields, at)] = points(health())
    assert (name, tags, at) == ("hub", {}, T)
    assert fields["broker_connected"] == 1
    assert set(map(type, fields.values())) == {int}


def test_two_of_one_moment_stand_beside_each_other_and_one_of_them_twice_on_itself() -> None:
    """News come in heaps; a point with the same tags and time replaces the one before."""
    for make, different in ((article, {"title": "another"}), (article, {"url": "https://x"}), (alert, {"text": "another"})):
        first, again, other = (read(lines(message, 0)[0])[3] for message in (make(), make(), make(**different)))
        assert first == again != other
        assert max(first, other) - T < 1_000_000
        assert min(first, other) >= T
    assert points(alert(forecast=None))[0][2] == {"text": "it moved", "severity": "info"}
    assert points(alert())[0][2]["p_up"] == 0.625


@pytest.mark.parametrize("message", EVERY, ids=lambda message: type(message).__name__)
def test_every_field_has_the_type_that_the_table_says(message: Message) -> None:
    """A field keeps the type of its first value for ever: one int among floats, and the whole measurement is refused."""
    for name, tags, fields, _ in points(message):
        table = BY_NAME[name]
        assert tuple(tags) == table.tags
        assert not set(tags) & set(fields), "InfluxDB 3 wants them apart"
        expected = {field: kind for group, kind in TYPES.items() for field in getattr(table, group)}
        assert {field: type(value) for field, value in fields.items()} == expected


numbers = st.none() | st.floats() | st.integers(-(2**70), 2**70)
table = Measurement("m", ("a", "b"), ("f", "g"), ("i",), ("s", "t"))


@given(
    st.tuples(st.text(), st.text()),
    st.fixed_dictionaries({"f": numbers, "g": numbers, "i": st.none() | st.integers(-(2**70), 2**70)}),
    st.fixed_dictionaries({"s": st.none() | st.text(), "t": st.none() | st.text(alphabet='\\", =\n\r\0é')}),
    st.integers(0, 2**62),
)
def test_whatever_stands_in_it_comes_back_or_is_left_out(
    tags: tuple[str, str], values: dict[str, Any], texts: dict[str, str | None], at: int
) -> None:
    """NaN, infinity and numbers beyond 64 bits never reach the wire; text comes back to the letter."""
    line = table.line(tags, values | texts, at)
    kept = {name: float(value) for name, value in values.items() if name != "i" and value is not None and math.isfinite(value)}
    if values["i"] is not None and -(2**63) <= values["i"] < 2**63:
        kept["i"] = values["i"]
    kept |= {name: text for name, text in texts.items() if text is not None}
    if line is None:
        assert kept == {}
        return
    assert read(line) == ("m", _as_tags(tags), kept, at)


def _as_tags(tags: tuple[str, ...]) -> dict[str, str]:
    plain = [" ".join(tag.splitlines()).replace("\\", "/") for tag in tags]
    return {name: text for name, text in zip("ab", plain, strict=True) if text}


@given(st.datetimes().map(lambda at: at.replace(tzinfo=START.tzinfo)))
def test_times_are_exact_to_the_microsecond(at: Any) -> None:
    """A float in between would lose a quarter of a microsecond, and with it the identity of a point."""
    assert nanoseconds(at) % 1000 == 0
    assert START + timedelta(microseconds=(nanoseconds(at) - T) // 1000) == at


def test_an_hour_has_the_fields_of_a_minute_and_how_many_it_is_made_of() -> None:
    """One panel shows either."""
    assert LONG_BAR.tags == BY_NAME["bar"].tags
    assert {*LONG_BAR.ints} == {*BY_NAME["bar"].ints, "minutes"}
    assert (LONG_BAR.floats, LONG_BAR.strings) == (BY_NAME["bar"].floats, BY_NAME["bar"].strings)
