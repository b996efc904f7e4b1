"""Every forecast on disk beside what came of it: looked up in the bars each time, so a bar that is filled in late scores its forecasts."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import takewhile
from math import log
from typing import Any, Literal, NamedTuple

import numpy as np

from hub.flow import Store
from hub.market import metrics
from hub.market.interval import MINUTE_MS, to_ms
from hub.market.metrics import Numbers
from hub.market.verdict import Pairs, Said, Verdict, verdict
from hub.messages import Forecast, Score

PATIENCE = timedelta(minutes=5)
"""So long after its target a forecast waits for its bar, before it is called missing."""

Roles = Literal["live", "shadow"]


class Line(NamedTuple):
    """One forecast in numbers: what it takes to score it. Returns are logarithms, seen from the last close."""

    open_time: int
    outcome: float
    expected: float
    low: float
    high: float
    p_up: float


class Entry(NamedTuple):
    """One forecast in the ledger."""

    forecast: Forecast
    state: Literal["open", "scored", "missing"]
    """open: its time has not come. missing: its minute has no bar of the exchange."""
    outcome: float | None
    """Log return from the last bar seen to the horizon's end."""


def outcome_minute(forecast: Forecast) -> int:
    """Open time (ms) of the bar whose close is the outcome."""
    return to_ms(forecast.target_time) - MINUTE_MS


def outcome_of(forecast: Forecast, close: float) -> float:
    """Log return from the last close that was seen to that of the target's minute."""
    return log(close / forecast.last_close)


def line_of(forecast: Forecast, outcome: float) -> Line:
    """The forecast and its outcome, a log return."""
    expected, low, high = (log(price / forecast.last_close) for price in (forecast.price, forecast.low, forecast.high))
    return Line(to_ms(forecast.open_time), outcome, expected, low, high, forecast.p_up)


def entry_of(forecast: Forecast, close: float | None, now: datetime) -> Entry:
    """The forecast as the ledger has it now; `close`: of its target's minute, None where there is no bar."""
    if close is not None:
        return Entry(forecast, "scored", outcome_of(forecast, close))
    return Entry(forecast, "open" if now < forecast.target_time + PATIENCE else "missing", None)


def forecasts_since(store: Store, since: datetime, role: Roles, symbol: str, horizon: int) -> list[Forecast]:
    """Made since then, the newest first."""
    made = store.newest_first(Forecast, role, symbol=symbol, horizon_minutes=horizon)
    return list(takewhile(lambda forecast: forecast.made_at >= since, made))


def series_of(store: Store) -> list[tuple[str, int, Roles]]:
    """Symbol, horizon and role of all that was ever forecast."""
    return sorted((forecast.symbol, forecast.horizon_minutes, forecast.role) for forecast in store.newest(Forecast))


def closes_of(store: Store, forecasts: Sequence[Forecast]) -> dict[int, float]:
    """The closes that these forecasts of one symbol are scored by, by open time."""
    if not forecasts:
        return {}
    minutes = [outcome_minute(forecast) for forecast in forecasts]
    return dict(store.closes(forecasts[0].symbol, min(minutes), max(minutes)))


def entries(store: Store, since: datetime, now: datetime, role: Roles, symbol: str, horizon: int) -> list[Entry]:
    """The ledger of one symbol and horizon, the newest first."""
    forecasts = forecasts_since(store, since, role, symbol, horizon)
    closes = closes_of(store, forecasts)
    return [entry_of(forecast, closes.get(outcome_minute(forecast)), now) for forecast in forecasts]


def numbers(lines: Sequence[Line]) -> dict[str, Any]:
    """The numbers of a Score: the model's, and those of persistence beside them; None where there are too few forecasts to tell."""
    if not lines:
        return {"n": 0, "skill": None, "auc": None, "hit_rate": None, "brier": None, "coverage": None}
    open_time, outcome, expected, low, high, p_up = np.array(lines, np.float64).T
    moved = outcome != 0.0  # exactly 0 is neither up nor down
    up, said = outcome[moved] > 0.0, p_up[moved]
    gain, gain_low, _ = metrics.mean_by_hours(np.square(outcome) - np.square(outcome - expected), open_time.astype(np.int64))
    usual = float(np.square(outcome).mean())
    found = {
        "skill": metrics.share(gain, usual),
        "skill_low": metrics.share(gain_low, usual),
        "auc": metrics.auc(up, said),
        "hit_rate": metrics.hit_rate(up, said) if len(up) else None,
        "brier": metrics.brier(up, said) if len(up) else None,
        "coverage": metrics.coverage(outcome, low, high),
        "error": float(np.sqrt(np.square(outcome - expected).mean())),
        "baseline_error": float(np.sqrt(usual)),
    }
    return {"n": len(lines), **{name: None if value is None or np.isnan(value) else value for name, value in found.items()}}


def accuracy(store: Store, since: datetime, now: datetime, window: str) -> list[Score]:
    """Of every symbol, horizon and model: how its forecasts since then have done. What it said in shadow counts as what it said live."""
    return [score for _, _, both in ledgers(store, since, now) for score in scores_of(both, window)]


def ledgers(store: Store, since: datetime, now: datetime) -> Iterator[tuple[str, int, list[Entry]]]:
    """Symbol, horizon, and all that was said of them since then, live and in shadow: one after the other, for each is large."""
    for symbol, horizon in sorted({(symbol, horizon) for symbol, horizon, _ in series_of(store)}):
        roles: tuple[Roles, ...] = ("live", "shadow")
        yield symbol, horizon, [entry for role in roles for entry in entries(store, since, now, role, symbol, horizon)]


def scores_of(ledger: Iterable[Entry], window: str) -> list[Score]:
    """One for each model, of one symbol and horizon."""
    found: dict[str, list[Entry]] = {}
    for entry in ledger:
        found.setdefault(entry.forecast.model.sha256, []).append(entry)
    return [_score(each, window) for _, each in sorted(found.items())]


def _score(ledger: Sequence[Entry], window: str) -> Score:
    newest = max((entry.forecast for entry in ledger), key=lambda forecast: forecast.made_at)
    scored = sorted((entry for entry in ledger if entry.state == "scored"), key=lambda entry: entry.forecast.open_time)
    lines = _lines(scored)
    return Score(
        symbol=newest.symbol,
        horizon_minutes=newest.horizon_minutes,
        window=window,
        model=newest.model,
        role=newest.role,
        last_outcome=lines[-1].outcome if lines else None,
        missing=sum(entry.state == "missing" for entry in ledger),
        **numbers(lines),
    )


def compare(store: Store, live: str, shadow: str, since: datetime, now: datetime) -> Verdict:
    """What becomes of the model in shadow (digests), from the minutes since then that both have forecast and that have an outcome."""
    lines: list[tuple[int, Line, Line]] = []
    names = sorted({(symbol, horizon) for symbol, horizon, _ in series_of(store)})
    for series, (symbol, horizon) in enumerate(names):
        said: list[dict[int, Line]] = []
        roles: tuple[tuple[Roles, str], ...] = (("live", live), ("shadow", shadow))
        for role, sha256 in roles:
            ledger = entries(store, since, now, role, symbol, horizon)
            said.append({line.open_time: line for line in _lines(entry for entry in ledger if entry.forecast.model.sha256 == sha256)})
        lines += [(series, line, said[1][at]) for at, line in sorted(said[0].items()) if at in said[1]]
    return verdict(_pairs(lines))


def _lines(ledger: Iterable[Entry]) -> list[Line]:
    return [line_of(entry.forecast, entry.outcome) for entry in ledger if entry.outcome is not None]


def _pairs(lines: Sequence[tuple[int, Line, Line]]) -> Pairs:
    series = np.array([number for number, _, _ in lines], np.int64)
    live, shadow = (np.array([pair[place] for pair in lines], np.float64).reshape(-1, len(Line._fields)) for place in (1, 2))
    return Pairs(live[:, 0].astype(np.int64), series, live[:, 1], _said(live), _said(shadow))


def _said(rows: Numbers) -> Said:
    return Said(rows[:, 2], rows[:, 3], rows[:, 4], rows[:, 5])
