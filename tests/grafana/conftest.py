"""A real InfluxDB with a day in it, one for each process of the tests; and a Grafana of each test's own."""

import time
from collections.abc import Iterator

import pytest

from tests.grafana import day
from tests.grafana.asking import fill
from tests.grafana.server import FakeGrafana, serving
from tests.influx import Influx


@pytest.fixture(scope="session")
def now() -> int:
    """When the simulated day ends: this minute."""
    return int(time.time()) // 60 * day.MINUTE


@pytest.fixture(scope="session")
def influx(tmp_path_factory: pytest.TempPathFactory, now: int) -> Iterator[Influx]:
    """`full`: a day of a hub with every plugin. `young`: a hub an hour old, with a collector only."""
    with Influx(tmp_path_factory.mktemp("day")) as running:
        fill(running, "full", day.written(day.day(now)))
        fill(running, "full_long", list(day.long_bars(now)))
        fill(running, "young", day.written(day.first_hour(now)))
        fill(running, "young_long", [])
        yield running


@pytest.fixture
def grafana() -> Iterator[FakeGrafana]:
    with serving(FakeGrafana()) as running:
        yield running
