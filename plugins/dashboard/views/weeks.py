"""How good the live forecasts of each week were. A week that is over is counted once, and its numbers are kept."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any

from hub.errors import TransientError
from hub.flow import Store
from hub.ledger import PATIENCE, closes_of, entry_of, line_of, numbers, outcome_minute, series_of
from hub.market.interval import MINUTE_MS, to_ms
from hub.messages import Forecast
from hub.whole_file import note_down

WEEKS = 8
WEEK_MS = 7 * 1440 * MINUTE_MS
MONDAY_MS = 4 * 1440 * MINUTE_MS
"""1970 began on a Thursday."""
LONGEST_HORIZON = timedelta(days=1)

Row = dict[str, Any]


class Weeks:
    """The last weeks, from Monday 00:00 UTC, the newest first."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "weeks.json"
        self._over: dict[int, list[Row]] = {}
        with suppress(OSError, ValueError, TypeError, AttributeError):  # then they are counted again
            told = json.loads(self._file.read_text(encoding="utf-8"))
            self._over = {int(week): rows for week, rows in told.items() if isinstance(rows, list)}

    def rows(self, store: Store, now: datetime) -> list[Row]:
        """One for each symbol, horizon and week that has forecasts: from (ms), n, skill, hit_rate, coverage, models."""
        this = week_of(now)
        wanted = [this - back * WEEK_MS for back in range(WEEKS)]
        unknown = [week for week in wanted if week not in self._over]
        counted = _counted(store, min(unknown), now)
        settled = now - LONGEST_HORIZON - PATIENCE
        known = {week: self._over.get(week, counted.get(week, [])) for week in wanted}
        over = {week: rows for week, rows in known.items() if week + WEEK_MS <= to_ms(settled)}
        if over != self._over:
            self._over = over
            with suppress(TransientError):  # on a full disk they are counted again after a restart
                note_down(self._file, json.dumps(over))
        return sorted((row for rows in known.values() for row in rows), key=lambda row: (row["symbol"], row["horizon"], -row["from"]))


def week_of(at: datetime) -> int:
    """When its week began, in ms."""
    return (to_ms(at.astimezone(UTC)) - MONDAY_MS) // WEEK_MS * WEEK_MS + MONDAY_MS


def _counted(store: Store, first: int, now: datetime) -> dict[int, list[Row]]:
    """Every week from that one on; a week of one series in memory at a time, for a forecast takes some kilobytes."""
    found: dict[int, list[Row]] = {}
    for symbol, horizon, role in series_of(store):
        if role != "live":
            continue
        week, made = None, list[Forecast]()
        for forecast in takewhile(
            lambda each: week_of(each.made_at) >= first, store.newest_first(Forecast, symbol=symbol, horizon_minutes=horizon)
        ):
            if (its := week_of(forecast.made_at)) != week and made:
                found.setdefault(week or its, []).append(_row(store, made, now))
                made = []
            week = its
            made.append(forecast)
        if made and week is not None:
            found.setdefault(week, []).append(_row(store, made, now))
    return found


def _row(store: Store, made: list[Forecast], now: datetime) -> Row:
    closes = closes_of(store, made)
    ledger = [entry_of(forecast, closes.get(outcome_minute(forecast)), now) for forecast in reversed(made)]
    told = numbers([line_of(entry.forecast, entry.outcome) for entry in ledger if entry.outcome is not None])
    return {
        "symbol": made[0].symbol,
        "horizon": made[0].horizon_minutes,
        "from": week_of(made[0].made_at),
        "models": list(dict.fromkeys(f"{forecast.model.name} {forecast.model.version}" for forecast in made)),
        **{name: told[name] for name in ("n", "skill", "hit_rate", "coverage")},
    }
