"""The rolling scoreboard: what became of every forecast of the last days, model by model.

It is made from forecasts and bars on disk alone, and made again from them after a restart.
"""

import asyncio
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from itertools import takewhile

from hub import Bar, Forecast, Hub, Score
from hub.ledger import PATIENCE, Line, Roles, line_of, numbers, outcome_minute, outcome_of
from hub.market.interval import to_ms


class Record:
    """One model's forecasts of one symbol and horizon within the window."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        """Those that are scored, by open time."""
        self.waiting: dict[int, Forecast] = {}
        """Those that have no outcome yet, or never will, by open time (ms)."""
        self.newest: Forecast | None = None

    def take_in(self, forecast: Forecast) -> None:
        self.waiting[to_ms(forecast.open_time)] = forecast
        if self.newest is None or forecast.made_at >= self.newest.made_at:
            self.newest = forecast

    def settle(self, closes: dict[int, float]) -> bool:
        """Score what has an outcome now; whether there was something."""
        due = [at for at, forecast in self.waiting.items() if outcome_minute(forecast) in closes]
        for at in due:
            forecast = self.waiting.pop(at)
            insort(self.lines, line_of(forecast, outcome_of(forecast, closes[outcome_minute(forecast)])))
        return len(due) > 0

    def forget(self, before: int) -> None:
        """Let go of what lies before the window."""
        del self.lines[: bisect_left(self.lines, before, key=lambda line: line.open_time)]
        self.waiting = {at: forecast for at, forecast in self.waiting.items() if at >= before}

    def missing(self, now: datetime) -> int:
        """How many forecasts have had their time, and no bar came."""
        return sum(now >= forecast.target_time + PATIENCE for forecast in self.waiting.values())


class Scoreboard:
    """All records, kept up bar by bar."""

    def __init__(self, hub: Hub, window: timedelta) -> None:
        self._hub = hub
        self._window = window
        self._records: dict[tuple[str, int, str], Record] = defaultdict(Record)
        self._seen: dict[tuple[str, int, Roles], int] = {}
        self._told_missing: dict[tuple[str, int, str], int] = {}

    async def score(self, bar: Bar) -> AsyncIterator[Score]:
        """The scores that this bar changes."""
        for score in await asyncio.to_thread(self._look, bar):
            yield score

    def _look(self, bar: Bar) -> list[Score]:
        current = {}
        for forecast in self._hub.store.newest(Forecast):
            if forecast.symbol == bar.symbol:
                current[forecast.horizon_minutes, forecast.role] = forecast.model.sha256
        for horizon, role in current:
            for forecast in self._new(bar, horizon, role):
                self._records[bar.symbol, horizon, forecast.model.sha256].take_in(forecast)
        told = {(horizon, sha256) for (horizon, _), sha256 in current.items()}
        return [
            self._score_of(key, record, bar)
            for key, record in sorted(self._records.items())
            if key[0] == bar.symbol and self._has_changed(key, record, bar) and key[1:] in told
        ]

    def _new(self, bar: Bar, horizon: int, role: Roles) -> Iterator[Forecast]:
        """Forecasts since the last look; at first, those of the whole window."""
        place = (bar.symbol, horizon, role)
        begin = max(self._seen.get(place, 0), to_ms(bar.close_time - self._window))
        made = self._hub.store.newest_first(Forecast, role, symbol=bar.symbol, horizon_minutes=horizon)
        found = list(takewhile(lambda forecast: to_ms(forecast.open_time) > begin, made))
        if found:
            self._seen[place] = to_ms(found[0].open_time)
        return reversed(found)

    def _has_changed(self, key: tuple[str, int, str], record: Record, bar: Bar) -> bool:
        """Whether something has an outcome now, or will have none."""
        record.forget(to_ms(bar.close_time - self._window))
        minutes = [outcome_minute(forecast) for forecast in record.waiting.values()]
        minutes = [minute for minute in minutes if minute <= to_ms(bar.open_time)]
        settled = bool(minutes) and record.settle(dict(self._hub.store.closes(bar.symbol, min(minutes), max(minutes))))
        missing = record.missing(bar.close_time)
        before, self._told_missing[key] = self._told_missing.get(key, 0), missing
        return settled or missing > before

    def _score_of(self, key: tuple[str, int, str], record: Record, bar: Bar) -> Score:
        newest = record.newest
        if newest is None:
            raise LookupError(f"no forecast in the record of {key}")
        return Score(
            symbol=key[0],
            horizon_minutes=key[1],
            window=in_words(self._window),
            model=newest.model,
            role=newest.role,
            last_outcome=record.lines[-1].outcome if record.lines else None,
            missing=record.missing(bar.close_time),
            **numbers(record.lines),
        )


def in_words(window: timedelta) -> str:
    """`7d`, `12h`, `90m`: as the configuration says it."""
    minutes = window // timedelta(minutes=1)
    for unit, size in (("d", 1440), ("h", 60)):
        if minutes % size == 0:
            return f"{minutes // size}{unit}"
    return f"{minutes}m"
