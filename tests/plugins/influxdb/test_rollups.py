"""Hours and days: made once they are over, of the best there is, and the same however the minutes came."""

import random
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hub.market.interval import MINUTE_MS, to_ms
from hub.messages import Bar
from hub.runtime.disk.store import SqliteStore
from hub.testing import START, FakeClock, bars
from plugins.influxdb.rollups import DAY_MS, HOUR_MS, Rollups
from tests.plugins.influxdb.examples import read

T = to_ms(START)
Point = tuple[str, str, int]


class Counting:
    """A store that counts the bars read from it."""

    def __init__(self, store: SqliteStore) -> None:
        self.read = 0
        self._store = store

    def bars(self, symbol: str, first: int, last: int) -> list[Bar]:
        found = self._store.bars(symbol, first, last)
        self.read += len(found)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class Database:
    """What stands in the long bucket after some batches from a real store."""

    def __init__(self, folder: Path) -> None:
        self.store = SqliteStore.open(folder / "tickerml.db", FakeClock())
        self.points: dict[Point, dict[str, Any]] = {}
        self.written = 0
        self._rollups = Rollups(self.store)

    def take(self, batch: Sequence[Bar]) -> set[tuple[str, int]]:
        """Forward a batch that is on disk; intervals and minutes since START of what was written."""
        made = [read(line) for line in self._rollups.lines(batch)]
        for _, tags, fields, at in made:
            self.points[tags["symbol"], tags["interval"], at // 10**6] = fields
        self.written += len(made)
        return {(tags["interval"], (at // 10**6 - T) // MINUTE_MS) for _, tags, _, at in made}

    def record(self, batch: Sequence[Bar]) -> set[tuple[str, int]]:
        self.store.record(batch)
        return self.take(batch)


def minutes(numbers: Iterable[int], symbol: str = "BTC-USDT", **fields: Any) -> list[Bar]:
    return [
        bar for number in numbers for bar in bars(100.0 + number % 997, symbol=symbol, start=START + timedelta(minutes=number), **fields)
    ]


def plain(store: SqliteStore, symbol: str, first: int, last: int) -> dict[str, Any] | None:
    """The longer bar as one would make it by hand."""
    found = store.bars(symbol, first, last)
    found = [bar for bar in found if bar.quality == "exact"] or found
    if not found:
        return None
    volumes = [bar.volume for bar in found if bar.volume is not None]
    values = {
        "open": found[0].open,
        "high": max(bar.high for bar in found),
        "low": min(bar.low for bar in found),
        "close": found[-1].close,
        "volume": sum(volumes) if len(volumes) == len(found) else None,
        "source": found[-1].source,
        "quality": found[-1].quality,
        "minutes": len(found),
    }
    return {name: value for name, value in values.items() if value is not None}


def test_an_hour_is_written_when_its_last_minute_is_and_a_day_likewise(tmp_path: Path) -> None:
    """Not before: a running hour would be wrong all the time."""
    database = Database(tmp_path)
    written = [database.record(minutes(stretch, trades=3)) for stretch in (range(59), [59], [60], range(61, 1439), [1439], [1440])]
    assert written == [set(), {("1h", 0)}, set(), {("1h", 60 * hour) for hour in range(1, 23)}, {("1h", 1380), ("1d", 0)}, set()]
    day = database.points["BTC-USDT", "1d", T]
    assert (day["open"], day["close"], day["volume"], day["trades"], day["minutes"]) == (100.0, 542.0, 1440.0, 4320, 1440)


def test_an_hour_that_ends_in_a_gap_is_written_with_the_first_bar_after_it(tmp_path: Path) -> None:
    """Its last minute will never come."""
    database = Database(tmp_path)
    assert database.record(minutes(range(50))) == set()
    assert database.record(minutes([200])) == {("1h", 0)}
    assert database.points["BTC-USDT", "1h", T]["minutes"] == 50
    assert database.record(minutes([201])) == set()
    assert database.record(minutes([3 * 1440])) == {("1h", 180), ("1d", 0)}


def test_a_corrected_minute_corrects_its_hour_and_its_day(tmp_path: Path) -> None:
    """Whenever it comes."""
    database = Database(tmp_path)
    database.record(minutes(range(3000)))
    assert database.record(minutes([61], volume=11.0)) == {("1h", 60), ("1d", 0)}
    assert database.points["BTC-USDT", "1h", T + HOUR_MS]["volume"] == 70.0
    assert database.points["BTC-USDT", "1d", T]["volume"] == 1450.0


def test_stand_in_bars_count_only_where_there_is_nothing_better(tmp_path: Path) -> None:
    """A last price is no high and no volume."""
    database = Database(tmp_path)
    database.record(minutes(range(60), quality="fallback", volume=None, source="coingecko"))
    only = database.points["BTC-USDT", "1h", T]
    assert (only["quality"], only["source"], only["minutes"], only.get("volume")) == ("fallback", "coingecko", 60, None)
    database.record(minutes(range(30)))
    better = database.points["BTC-USDT", "1h", T]
    assert (better["quality"], better["source"], better["minutes"], better["volume"]) == ("exact", "test", 30, 30.0)


def test_a_sum_with_an_unknown_part_is_unknown(tmp_path: Path) -> None:
    """Half a day's trades would look like a quiet day."""
    database = Database(tmp_path)
    database.record(minutes(range(59), trades=5))
    database.record(minutes([59]))
    assert "trades" not in database.points["BTC-USDT", "1h", T]
    assert database.points["BTC-USDT", "1h", T]["volume"] == 60.0


@pytest.mark.parametrize("seed", range(12))
def test_in_whatever_order_minutes_come_the_end_is_the_same(tmp_path: Path, seed: int) -> None:
    """Backfilled from both ends, with gaps, corrections and batches sent twice: hours and days equal those made by hand."""
    chance = random.Random(seed)
    symbols = ("BTC-USDT", "ETH-USDT")
    there = {symbol: [at for at in range(2 * 1440 + 700) if chance.random() > 0.02 and not 400 < at < 640] for symbol in symbols}
    queue = [bar for symbol in symbols for bar in minutes(there[symbol], symbol, quality=chance.choice(["exact", "fallback"]))]
    if seed % 3:
        chance.shuffle(queue)
    queue += [bar for symbol in symbols for bar in minutes(chance.sample(there[symbol], 200), symbol, volume=7.0)]
    database = Database(tmp_path)
    store = database.store
    ahead: list[list[Bar]] = []
    while queue or ahead:
        if queue:
            size = chance.randrange(1, 500)
            batch, queue = queue[:size], queue[size:]
            store.record(batch)
            ahead.append(batch)
        if not queue or chance.random() < 0.5:  # the sink lags behind the disk
            batch = ahead.pop(0)
            database.take(batch)
            if chance.random() < 0.2:
                database.take(batch)
            if chance.random() < 0.2:
                database._rollups = Rollups(store)  # a restart: nothing is remembered
    for symbol in symbols:
        newest = store.newest_bar(symbol)
        assert newest is not None
        for interval, length in (("1h", HOUR_MS), ("1d", DAY_MS)):
            for at in range(T, to_ms(newest.close_time) - length + 1, length):
                expected = plain(store, symbol, at, at + length - MINUTE_MS)
                found = database.points.get((symbol, interval, at))
                assert found == expected, (symbol, interval, (at - T) // HOUR_MS)


def test_a_backfill_reads_each_minute_about_once_more(tmp_path: Path) -> None:
    """Two symbols, a week: a day must not be read whole again with each of its hours."""
    series = [bar for chunk in range(0, 7 * 1440, 1000) for symbol in ("A-B", "C-D") for bar in minutes(range(chunk, chunk + 1000), symbol)]
    database = Database(tmp_path)
    database.store.record(series)
    counting = Counting(database.store)
    database._rollups = Rollups(counting)
    for first in range(0, len(series), 2000):
        database.take(series[first : first + 2000])
    assert counting.read < 1.5 * len(series)
    assert database.written < 3 * len(series) / 60
