"""Where in the hour, the day and the week a row lies, where calendars are odd."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from math import atan2, pi

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.market.features import feature_columns
from hub.market.interval import MINUTE_MS, to_ms
from tests.markets import market


@pytest.fixture(params=["UTC", "America/New_York", "Europe/Berlin"])
def _zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine, somewhere else."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@settings(max_examples=200, deadline=None)
@given(minute=st.integers(to_ms(datetime(2017, 1, 1, tzinfo=UTC)) // MINUTE_MS, to_ms(datetime(2099, 1, 1, tzinfo=UTC)) // MINUTE_MS))
def test_times_are_the_minute_after_the_bar(minute: int) -> None:
    """A bar is known when it closes."""
    _check_times(datetime.fromtimestamp(minute * 60, UTC))


@pytest.mark.usefixtures("_zone")
@pytest.mark.parametrize(
    "close",
    [
        "2024-03-10T07:00Z",  # New York skips an hour
        "2024-11-03T06:00Z",  # New York repeats one
        "2025-03-30T01:00Z",  # Berlin skips an hour
        "2024-02-29T00:00Z",
        "2024-03-01T00:00Z",
        "2100-02-28T23:59Z",  # 2100 is no leap year
        "2016-12-31T23:59Z",  # a leap second follows
        "2025-01-01T00:00Z",
        "1970-01-01T00:00Z",
    ],
)
def test_times_are_right_where_calendars_are_odd(close: str) -> None:
    """Midnight belongs to the new day, a leap day shifts nothing, and summer time is none of our business wherever the hub stands."""
    _check_times(datetime.fromisoformat(close))


def _check_times(close: datetime) -> None:
    """Reads the time back from its circles."""
    found = feature_columns(replace(market(1), open_time=np.array([to_ms(close) - MINUTE_MS])))

    def turn(name: str) -> float:
        sine, cosine = found[f"{name}_sin"][0], found[f"{name}_cos"][0]
        assert sine**2 + cosine**2 == pytest.approx(1.0)
        return atan2(sine, cosine) / (2 * pi) % 1.0

    of_day = close.hour * 60 + close.minute
    of_week = (close.weekday() - 3) % 7 * 1440 + of_day
    for name, minutes, period in (("hour", of_day, 60), ("half_day", of_day, 720), ("day", of_day, 1440), ("week", of_week, 10080)):
        assert round(turn(name) * period, 6) % period == minutes % period
