"""Hours and days, made of the minutes in the store whenever one of them was written: the same minutes give the same point."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any, Literal

from hub import Bar
from hub.flow import Store
from hub.market.interval import MINUTE_MS, to_ms
from plugins.influxdb.lines import LONG_BAR

HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
REMEMBERED = 2_000
"""Hours in memory, so that a day is not read whole for each of its hours: about half a megabyte."""


@dataclass(frozen=True, slots=True)
class Rollup:
    """A longer bar, and how many minutes it was made of."""

    open: float
    high: float
    low: float
    close: float
    volume: float | None
    quote_volume: float | None
    taker_buy_volume: float | None
    trades: int | None
    source: str
    quality: Literal["exact", "fallback"]
    minutes: int = 1


def rolled(parts: Sequence[Bar | Rollup]) -> Rollup | None:
    """One longer bar of shorter ones, ascending: of the exact ones only, unless there are none. A sum with an unknown part is unknown."""
    parts = [part for part in parts if part.quality == "exact"] or parts
    if not parts:
        return None
    return Rollup(
        open=parts[0].open,
        high=max([part.high for part in parts]),
        low=min([part.low for part in parts]),
        close=parts[-1].close,
        volume=_sum(fsum, [part.volume for part in parts]),
        quote_volume=_sum(fsum, [part.quote_volume for part in parts]),
        taker_buy_volume=_sum(fsum, [part.taker_buy_volume for part in parts]),
        trades=_sum(sum, [part.trades for part in parts]),
        source=parts[-1].source,
        quality=parts[-1].quality,
        minutes=sum([part.minutes if isinstance(part, Rollup) else 1 for part in parts]),
    )


def _sum(add: Callable[[Any], Any], amounts: Sequence[Any]) -> Any:
    return None if None in amounts else add(amounts)


class Rollups:
    """Which hours and days a batch of bars has changed, and what they are now."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._hours: OrderedDict[tuple[str, int], Rollup | None] = OrderedDict()

    def lines(self, batch: Iterable[Bar]) -> list[str]:
        """A point for every hour and day that is over and that these bars belong to or complete. Reads the store: use a thread."""
        found: dict[str, dict[int, dict[int, Bar]]] = {}
        for bar in batch:
            at = to_ms(bar.open_time)
            found.setdefault(bar.symbol, {}).setdefault(at - at % HOUR_MS, {})[at] = bar
        return [line for symbol, hours in found.items() for line in self._of_symbol(symbol, hours)]

    def _of_symbol(self, symbol: str, written: Mapping[int, Mapping[int, Bar]]) -> Iterator[str]:
        newest = self._store.newest_bar(symbol)
        end = 0 if newest is None else to_ms(newest.close_time)
        for hour, minutes in written.items():
            self._hours.pop((symbol, hour), None)
            if len(minutes) == 60:  # a whole hour in one batch need not be read again
                self._remember(symbol, hour, [minutes[at] for at in sorted(minutes)])
        hours = {*written, *self._completed(symbol, written)}
        days = {hour - hour % DAY_MS for hour in hours}
        over = [("1h", hour, self._hour(symbol, hour)) for hour in sorted(hours) if hour + HOUR_MS <= end]
        over += [("1d", day, self._day(symbol, day)) for day in sorted(days) if day + DAY_MS <= end]
        for interval, at, made in over:
            if made is not None and (line := LONG_BAR.line((symbol, interval), _fields(made), at * 1_000_000)):
                yield line

    def _completed(self, symbol: str, written: Mapping[int, Mapping[int, Bar]]) -> Iterator[int]:
        """The hour before each of these that begins with a bar of the batch, where it has ended without its last minute."""
        for hour, minutes in written.items():
            first = min(minutes)
            if hour - HOUR_MS in written or (first > hour and self._store.bars(symbol, first - MINUTE_MS, first - MINUTE_MS)):
                continue
            if (before := self._last_before(symbol, hour)) is not None:
                yield before - before % HOUR_MS

    def _last_before(self, symbol: str, hour: int) -> int | None:
        """Open time of the newest bar before the hour, within a month; None where it is the minute before, which completes its own hour."""
        if self._store.bars(symbol, hour - MINUTE_MS, hour - MINUTE_MS):
            return None
        for step in [HOUR_MS] * 24 + [DAY_MS] * 30:
            if found := self._store.bars(symbol, hour - step, hour - MINUTE_MS):
                return to_ms(found[-1].open_time)
            hour -= step
        return None

    def _hour(self, symbol: str, hour: int) -> Rollup | None:
        if (symbol, hour) in self._hours:
            self._hours.move_to_end((symbol, hour))
        else:
            self._remember(symbol, hour, self._store.bars(symbol, hour, hour + HOUR_MS - MINUTE_MS))
        return self._hours[symbol, hour]

    def _remember(self, symbol: str, hour: int, bars: Sequence[Bar]) -> None:
        self._hours[symbol, hour] = rolled(bars)
        if len(self._hours) > REMEMBERED:
            self._hours.popitem(last=False)

    def _day(self, symbol: str, day: int) -> Rollup | None:
        made = (self._hour(symbol, hour) for hour in range(day, day + DAY_MS, HOUR_MS))
        return rolled([hour for hour in made if hour is not None])


def _fields(made: Rollup) -> dict[str, Any]:
    return {name: getattr(made, name) for name in Rollup.__slots__}
