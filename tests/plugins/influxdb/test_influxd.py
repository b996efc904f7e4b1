"""The plugin against a real InfluxDB 1.6.7, the one that Debian and Raspberry Pi OS ship; and by v2 through a proxy before it."""

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.clock import SystemClock
from hub.market.interval import to_ms
from hub.messages import Message
from hub.testing import START, bars
from plugins.influxdb.lines import MEASUREMENTS, Measurement, lines
from tests.forwarding import forwarding, identities
from tests.influx import Influx, speaking_v2
from tests.plugins.influxdb.examples import EVERY, alert, article, forecast, health, score, sentiment, state

T = to_ms(START) * 1_000_000
INFLUX_TYPES = {"floats": "float", "ints": "integer", "strings": "string"}


@pytest.fixture
def influx(tmp_path: Path) -> Iterator[Influx]:
    with Influx(tmp_path) as database:
        yield database


def stored(influx: Influx, interval: str = "1m", bucket: str = "tickerml") -> list[dict[str, Any]]:
    return influx.query(f"SELECT * FROM bar WHERE interval = '{interval}' GROUP BY symbol", bucket)


async def test_everything_that_is_recorded_arrives_once(tmp_path: Path, influx: Influx) -> None:
    """Every kind of fact, some of them sent three times: each is one point."""
    facts: list[Message] = [
        forecast(),
        forecast(role="shadow"),
        score(),
        sentiment(),
        article(),
        article(title="b"),
        alert(),
        alert(text="b"),
    ]
    async with forwarding(tmp_path, url=influx.url) as plugin:
        series = [*bars(*range(1, 131)), *bars(*range(1, 131), symbol="ETH-USDT")]
        await plugin.record([*series, *facts])
        await plugin.drained()
        for _ in range(2):
            await plugin.sinks[0].write([*series, *facts])
    rows = stored(influx)
    assert {(row["symbol"], row["time"]) for row in rows} == identities(series)
    assert len(rows) == 260
    counts = {"forecast": 2, "forecast_target": 2, "score": 1, "sentiment": 1, "article": 2, "alert": 2}
    assert {name: len(influx.query(f"SELECT * FROM {name}")) for name in counts} == counts
    hours = stored(influx, "1h", "tickerml_long")
    assert sorted((row["symbol"], (row["time"] - T) // 10**9 // 3600, row["minutes"]) for row in hours) == [
        *(("BTC-USDT", 0, 60), ("BTC-USDT", 1, 60), ("ETH-USDT", 0, 60), ("ETH-USDT", 1, 60)),
    ]


async def test_a_corrected_bar_replaces_the_one_it_corrects(tmp_path: Path, influx: Influx) -> None:
    """Were source a tag, the last price that stood in would stay for ever beside the real bar."""
    async with forwarding(tmp_path, url=influx.url) as plugin:
        await plugin.record(bars(*[5.0] * 60, quality="fallback", volume=None, source="coingecko"))
        await plugin.drained()
        assert {row["quality"] for row in [*stored(influx), *stored(influx, "1h", "tickerml_long")]} == {"fallback"}
        await plugin.record(bars(*[6.0] * 60, volume=2.0, source="binanceus"))
        await plugin.drained()
    for row in [*stored(influx), *stored(influx, "1h", "tickerml_long")]:
        assert (row["close"], row["quality"], row["source"]) == (6.0, "exact", "binanceus")
    assert len(stored(influx)) == 60
    assert [row["volume"] for row in stored(influx, "1h", "tickerml_long")] == [120.0]


async def test_the_types_in_influxdb_are_those_of_the_table_whatever_comes_first(tmp_path: Path, influx: Influx) -> None:
    """The first write of a field decides for ever: whole prices and empty fields come first here, and nothing is refused later."""
    whole = [fact.model_copy(update={"published_at": None}) if fact.__class__.__name__ == "Article" else fact for fact in EVERY[:6]]
    async with forwarding(tmp_path, url=influx.url) as plugin:
        await plugin.record([*bars(5, volume=1, source="a"), *whole])
        await plugin.drained()
        for message in (state(lag_s=3.0), health()):
            await plugin.bus.publish(message)
        await plugin.record([*bars(5.5, 1e-8, 1e300, quote_volume=1, trades=2**62, taker_buy_volume=0), *EVERY[:6]])
        await plugin.drained()
        await plugin.until(lambda: influx.query("SELECT * FROM hub"))
        assert not (tmp_path / "influxdb" / "set_aside.jsonl").exists()
    for table in MEASUREMENTS:
        expected = {name: kind for group, kind in INFLUX_TYPES.items() for name in getattr(table, group)}
        found = {row["fieldKey"]: row["fieldType"] for row in influx.query(f"SHOW FIELD KEYS FROM {table.name}")}
        assert found == expected, table.name
        tags = {row["tagKey"] for row in influx.query(f"SHOW TAG KEYS FROM {table.name}")}
        assert tags == set(table.tags), table.name


async def test_a_type_that_somebody_else_wrote_first_costs_only_those_points(tmp_path: Path, influx: Influx) -> None:
    """An int before the first float, in one shard: InfluxDB refuses ours there. The rest goes on, and these can be sent later."""
    influx.query("CREATE DATABASE tickerml")
    assert influx.write(f"bar,symbol=BTC-USDT,interval=1m close=1i {T}").status_code == 204
    async with forwarding(tmp_path, url=influx.url) as plugin:
        series = bars(*range(1, 101))
        other = bars(1, 2, 3, symbol="ETH-USDT", start=START + timedelta(days=30))  # another shard
        await plugin.record([*series, *other, sentiment()])
        await plugin.drained()
        rows = [json.loads(line) for line in (tmp_path / "influxdb" / "set_aside.jsonl").read_text().splitlines()]
        assert {row["line"] for row in rows} == {line for bar in series for line in lines(bar, 0)}
        assert "field type conflict" in rows[0]["reason"]
        assert "100 points that InfluxDB refused are set aside" in (plugin.state.error or "")
        assert len(influx.query("SELECT * FROM sentiment")) == 1
        assert len(influx.query("SELECT close FROM bar WHERE symbol = 'ETH-USDT'")) == 3
    influx.query("DROP MEASUREMENT bar")
    assert influx.write("\n".join(row["line"] for row in rows)).status_code == 204
    assert len(stored(influx)) == 100


async def test_an_outage_of_influxdb_is_made_up_for(tmp_path: Path, influx: Influx) -> None:
    """Killed in the middle, back again, and dropped in the middle: nothing is missing."""
    series = bars(*range(1, 3001))
    async with forwarding(tmp_path, url=influx.url) as plugin:
        await plugin.record(series[:1000])
        await plugin.drained()
        influx.kill()
        await plugin.record(series[1000:2000])
        await plugin.until(lambda: plugin.state.state == "retrying")
        assert f"{influx.url} cannot be reached" in (plugin.state.error or "")
        influx.start()
        await plugin.drained()
        assert len(stored(influx)) == 2000
        influx.query("DROP DATABASE tickerml_long")
        influx.query("DROP DATABASE tickerml")
        await plugin.record(series[2000:])
        await plugin.until(lambda: {"name": "tickerml_long"} in influx.query("SHOW DATABASES"))
        await plugin.drained()
    assert {(row["symbol"], row["time"]) for row in stored(influx)} == identities(series)
    assert len(stored(influx, "1h", "tickerml_long")) == 50
    assert len(stored(influx, "1d", "tickerml_long")) == 2


async def test_another_database_gets_everything_from_the_beginning(tmp_path: Path, influx: Influx) -> None:
    """Who moves to another bucket or server expects the past there."""
    for number, bucket in enumerate(("first", "second", "second")):
        async with forwarding(tmp_path, url=influx.url, bucket=bucket) as plugin:
            await plugin.record(bars(1.0, 2.0, start=START + timedelta(minutes=2 * number)))
            await plugin.drained()
            begun = sum("begins again" in event for event in plugin.said("warning"))
            assert begun == (number < 2)
    assert (len(stored(influx, bucket="first")), len(stored(influx, bucket="second"))) == (2, 6)


async def test_how_long_minutes_are_kept_follows_the_settings(tmp_path: Path, influx: Influx) -> None:
    """Made so, changed when the setting changes, longer and shorter; hours and days are kept for ever."""
    for number, (retention, policy, shard) in enumerate(
        (("30d", "720h0m0s", "24h0m0s"), ("365d", "8760h0m0s", "168h0m0s"), ("36h", "36h0m0s", "1h0m0s"), (None, "0s", "168h0m0s"))
    ):
        async with forwarding(tmp_path, url=influx.url, retention=retention) as plugin:
            await plugin.record(bars(1.0, start=START + timedelta(minutes=number)))
            await plugin.drained()
        [row] = influx.query("SHOW RETENTION POLICIES ON tickerml")
        assert (row["duration"], row["shardGroupDuration"], row["default"]) == (policy, shard, True)
        [row] = influx.query("SHOW RETENTION POLICIES ON tickerml_long")
        assert row["duration"] == "0s"


async def test_minutes_older_than_what_is_kept_do_not_stop_the_others(tmp_path: Path, influx: Influx) -> None:
    """A week is kept, and a year is filled in: InfluxDB answers 400, and means that it did as it was told."""
    now = SystemClock().now().replace(second=0, microsecond=0) - timedelta(hours=1)  # InfluxDB's clock is the machine's own
    async with forwarding(tmp_path, url=influx.url, retention="7d") as plugin:
        await plugin.record([*bars(1, 2, 3), *bars(4, 5, 6, start=now)])
        await plugin.drained()
        assert plugin.state.error is None
        assert not (tmp_path / "influxdb" / "set_aside.jsonl").exists()
    assert [row["close"] for row in stored(influx)] == [4, 5, 6]


async def test_with_users_on_wrong_ones_wait_and_lesser_ones_are_told_what_to_type(tmp_path: Path) -> None:
    """401 and 403 from a real server, and all goes on when somebody has typed it."""
    with Influx(tmp_path, auth=True) as influx:
        influx.query("CREATE USER boss WITH PASSWORD 'b' WITH ALL PRIVILEGES")
        influx.log_in("boss", "b")
        influx.query("CREATE USER hub WITH PASSWORD 'h'")
        async with forwarding(tmp_path, url=influx.url, username="hub", password="wrong") as plugin:
            await plugin.record(bars(*range(1, 61)))
            await plugin.until(lambda: "does not let us in" in (plugin.state.error or ""))
            assert "check plugins.influxdb.username ('hub') and password" in (plugin.state.error or "")
        async with forwarding(tmp_path, 1000.0, url=influx.url, username="hub", password="h", retention="3650d") as plugin:
            for bucket in ("tickerml", "tickerml_long"):
                wanted = f'CREATE DATABASE "{bucket}"'
                await plugin.until(lambda: wanted in (plugin.state.error or ""))  # noqa: B023 - it is awaited here
                assert f"type, with the name of InfluxDB's administrator: curl -u ADMIN {influx.url}/query" in (plugin.state.error or "")
                influx.query((plugin.state.error or "").split("'q=")[1].rstrip("'"))
            await plugin.drained()
        assert (len(stored(influx)), len(stored(influx, "1h", "tickerml_long"))) == (60, 1)
        assert influx.query("SHOW RETENTION POLICIES ON tickerml")[0]["duration"] == "87600h0m0s"


async def test_by_v2_the_same_points_arrive(tmp_path: Path, influx: Influx) -> None:
    """influxdb-client, a wire and a real storage; only the path is rewritten on the way."""
    influx.query("CREATE DATABASE tickerml")
    influx.query("CREATE DATABASE tickerml_long")
    series = [*bars(*range(1, 1441)), *bars(*range(1, 1441), symbol="ETH-USDT")]
    with speaking_v2(influx, tmp_path, token="right", max_body="100k", buckets=["tickerml", "tickerml_long"]) as url:
        async with forwarding(tmp_path, url=url, token="wrong", org="home") as plugin:
            await plugin.record([*series, *EVERY[1:6]])
            await plugin.until(lambda: "check plugins.influxdb.token" in (plugin.state.error or ""))
        async with forwarding(tmp_path, url=url, token="right", org="home") as plugin:
            await plugin.drained()
            assert plugin.state.error is None
    rows = stored(influx)
    assert len(rows) == len({(row["symbol"], row["time"]) for row in rows}) == len(series)
    assert len(stored(influx, "1h", "tickerml_long")) == 48
    assert len(stored(influx, "1d", "tickerml_long")) == 2
    assert len(influx.query("SELECT * FROM article")) == 1


async def test_how_the_hub_and_its_plugins_are_doing_never_looks_dead(tmp_path: Path, influx: Influx) -> None:
    """Every state when it changes, and all of them again every minute; a stopped plugin once."""
    async with forwarding(tmp_path, 1.0, url=influx.url) as plugin:
        await plugin.record(bars(1))
        await plugin.drained()
        for message in (state(name="collector", state="running", error=None), state(name="old", state="stopped"), health()):
            await plugin.bus.publish(message)
        await plugin.until(lambda: len(influx.query("SELECT * FROM hub")) == 1)
        influx.kill()
        for minute in (1, 2):
            await plugin.bus.publish(health(at=START + timedelta(minutes=minute)))
        await asyncio.sleep(0.5)  # if this is not enough, the test is only easier to pass
        influx.start()
        await plugin.bus.publish(health(at=START + timedelta(minutes=3)))
        await plugin.until(lambda: len(influx.query("SELECT * FROM hub")) == 4)
        counted = {row["name"]: row["count"] for row in influx.query('SELECT count(ok) FROM plugin GROUP BY "name"')}
        assert counted == {"collector": 5, "old": 1}
        [row] = influx.query("SELECT * FROM hub LIMIT 1")
        assert (row["time"], row["broker_connected"], row["memory_bytes"]) == (T, 1, 1)


row = st.tuples(
    st.text(max_size=60),
    st.text(alphabet='\\", =\n\ré', max_size=20),
    st.text(max_size=10),
    st.floats(allow_nan=False, allow_infinity=False),
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(row, min_size=30, max_size=60))
def test_any_text_and_number_comes_back_from_influxdb_to_the_letter(influx: Influx, rows: list[tuple[str, str, str, float]]) -> None:
    """A headline is untrusted text: it must not end its field, its line or its batch."""
    table = Measurement("words", ("tag",), ("number",), (), ("text", "hard"))
    influx.query("CREATE DATABASE words")
    influx.query("DROP MEASUREMENT words", "words")
    made = [table.line((tag,), {"number": number, "text": text, "hard": hard}, T + at) for at, (text, hard, tag, number) in enumerate(rows)]
    answer = influx.write("\n".join(line for line in made if line), "words")
    assert answer.status_code == 204, answer.text
    found = influx.query("SELECT number, text, hard FROM words", "words")
    assert [(each["text"], each["hard"], float(each["number"])) for each in found] == [
        (text, hard, number) for text, hard, _, number in rows
    ]
