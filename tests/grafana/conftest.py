"""A real InfluxDB with a day in it, one for each process of the tests."""

import time
from collections.abc import Iterator

import pytest

from tests.grafana import day, influxd
from tests.grafana.influxd import Influx


@pytest.fixture(scope="session")
def now() -> int:
    """When the simulated day ends: this minute."""
    return int(time.time()) // 60 * day.MINUTE


@pytest.fixture(scope="session")
def influx(tmp_path_factory: pytest.TempPathFactory, now: int) -> Iterator[Influx]:
    """`full`: a day of a hub with every plugin. `young`: a hub an hour old, with a collector only."""
    with influxd.running(tmp_path_factory.mktemp("influxd")) as running:
        running.write("full", [row.line() for row in day.day(now)])
        running.write("full_long", [row.line() for row in day.long_bars(now)])
        running.write("young", [row.line() for row in day.first_hour(now)])
        running.write("young_long", [])
        yield running
