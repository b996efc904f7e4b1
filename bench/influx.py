"""Points a second into a real influxd through our sink, beside influxdb-client's default batching API on the same bars; prints JSON.

python bench/influx.py [bars] [rounds]

`sink` is all that the sink does (it makes hours and days too, from the store), `minutes` the minutes alone. influxdb-client writes through
a proxy, since Debian's influxd does not speak v2; so in `proxied` ours does too, by v2 and the same library. Each writes to a database
of its own in every round, and all have stored the same points afterwards.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import structlog
from influxdb_client import InfluxDBClient, Point
from influxdb_client.client.write_api import WriteOptions

from bench.row import Row, side_by_side
from hub.clock import SystemClock
from hub.errors import Forgotten
from hub.messages import Bar
from hub.runtime.disk.store import SqliteStore
from hub.testing import FakeHub, bars
from plugins import influxdb
from plugins.influxdb.delivery import Delivery
from plugins.influxdb.lines import lines
from plugins.influxdb.settings import InfluxSettings
from tests.influx import Influx, speaking_v2


def point(bar: Bar) -> Point:
    """A bar as influxdb-client's own documentation would write it."""
    made = Point("bar").tag("symbol", bar.symbol).tag("interval", bar.interval)
    for name in ("open", "high", "low", "close", "volume", "quote_volume", "taker_buy_volume", "trades", "source", "quality"):
        made.field(name, getattr(bar, name))
    return made.time(bar.open_time)


def by_the_client(url: str, bucket: str, series: list[Bar]) -> None:
    with (
        InfluxDBClient(url, "secret", org="home") as client,
        client.write_api(write_options=WriteOptions()) as api,  # its defaults: batches of 1,000, flushed every second, in a thread
    ):
        for bar in series:
            api.write(bucket, record=point(bar))


def by_the_sink(url: str, bucket: str, series: list[Bar], store: SqliteStore) -> None:
    async def write() -> None:
        hub = FakeHub({"url": url, "bucket": bucket, "api": "v1"}, store=store)
        sink = influxdb.register_sinks(hub)[0]
        for first in range(0, len(series), sink.batch):
            try:
                await sink.write(series[first : first + sink.batch])
            except Forgotten:  # the first batch makes the databases; the supervisor would begin again
                await sink.write(series[first : first + sink.batch])
        await hub.http.aclose()

    asyncio.run(write())


def minutes_alone(url: str, bucket: str, series: list[Bar], api: str) -> None:
    async def write() -> None:
        hub = FakeHub({"url": url, "bucket": bucket, "api": api, "token": "secret"})
        delivery = Delivery(hub, hub.settings_for(InfluxSettings))
        for first in range(0, len(series), influxdb.BATCH):
            await delivery.bring(bucket, [line for bar in series[first : first + influxdb.BATCH] for line in lines(bar, 0)])
        await hub.http.aclose()

    asyncio.run(write())


def ready_lines(url: str, bucket: str, made: list[str]) -> None:
    """The limit: lines that were made before, and nothing but the request."""
    with httpx.Client(trust_env=False) as client:
        for first in range(0, len(made), influxdb.BATCH):
            body = "\n".join(made[first : first + influxdb.BATCH]).encode()
            assert client.post(f"{url}/write", params={"db": bucket, "precision": "ns"}, content=body).status_code == 204


def rows(count: int = 20_000, rounds: int = 5) -> list[Row]:
    structlog.configure(processors=[], logger_factory=structlog.ReturnLoggerFactory())
    series = bars(*(100 + number % 9973 / 100 for number in range(count)), quote_volume=123456.789, trades=421, taker_buy_volume=0.5)
    there = [f"proxied{number}{ending}" for number in range(rounds) for ending in ("", "_long")]
    with tempfile.TemporaryDirectory() as name, Influx(Path(name)) as influx, speaking_v2(influx, Path(name), buckets=there) as v2:
        store = SqliteStore.open(Path(name) / "tickerml.db", SystemClock())
        store.record(series)
        made = [line for bar in series for line in lines(bar, 0)]
        ways: dict[str, Callable[[str], None]] = {
            "influxdb_client": lambda bucket: by_the_client(v2, bucket, series),
            "sink": lambda bucket: by_the_sink(influx.url, bucket, series, store),
            "minutes": lambda bucket: minutes_alone(influx.url, bucket, series, "v1"),
            "proxied": lambda bucket: minutes_alone(v2, bucket, series, "v2"),
            "ready": lambda bucket: ready_lines(influx.url, bucket, made),
        }
        speeds: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(rounds):
            for way, write in ways.items():
                bucket = f"{way}{number}"
                influx.query(f'CREATE DATABASE "{bucket}"')
                begun = time.perf_counter()
                write(bucket)
                speeds[way].append(count / (time.perf_counter() - begun))
                stored = influx.query("SELECT count(close) FROM bar WHERE interval = '1m'", bucket)[0]["count"]
                assert stored == count, f"{way} stored {stored} of {count}"
        store.close()
    client = speeds["influxdb_client"]
    beside = "influxdb-client's batching API"
    most = statistics.median(mine / other for mine, other in zip(speeds["ready"], client, strict=True))
    note = f"lines that are made before, with nothing but the request: {most:.1f} times the client"
    return [
        side_by_side(
            "points into InfluxDB, with hours and days", "points/s", beside, list(zip(speeds["sink"], client, strict=True)), 5, note
        ),
        side_by_side("points into InfluxDB, minutes alone", "points/s", beside, list(zip(speeds["minutes"], client, strict=True)), 5, note),
        side_by_side(
            "points by the second API, minutes alone", "points/s", beside, list(zip(speeds["proxied"], client, strict=True)), 5, note
        ),
    ]
