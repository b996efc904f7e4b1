"""Now: price, the fan of forecasts ahead, what earlier ones said, mood and last alert."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from hub.flow import Store
from hub.headline.plain_text import plain_text
from hub.ledger import Entry, entries, line_of, series_of
from hub.market.interval import MINUTE_MS, to_ms
from hub.messages import Alert, Bar, Forecast, Score, Sentiment
from hub.score_words import verdict_of

MINUTES = 120
MOST_CHARTS = 4
"""Beyond, symbols stand in the table, and the one that is chosen has a chart."""
DAY = timedelta(days=1)
_TOLD = re.compile(r"\b(minutes|of|percent)=(\d{1,9})\b")


def overview(store: Store, symbols: Sequence[str], chosen: str | None, now: datetime) -> dict[str, Any]:
    """All symbols in words and numbers; those that have a chart with their bars. Times in ms since 1970, prices in the quote asset."""
    drawn = [chosen] if chosen in symbols else list(symbols[:MOST_CHARTS])
    horizons: dict[str, list[int]] = {}
    for symbol, horizon, role in series_of(store):
        if role == "live":
            horizons.setdefault(symbol, []).append(horizon)
    scores = {(score.symbol, score.horizon_minutes): score for score in store.newest(Score) if score.role == "live"}
    shown = [_symbol(store, symbol, horizons.get(symbol, []), scores, now, drawn=symbol in drawn) for symbol in symbols]
    return {"now": to_ms(now), "symbols": shown, "starts": all(row["price"] is None for row in shown)}


def filled(lines: Sequence[dict[str, str]]) -> dict[str, int] | None:
    """How far the collector has come in filling in the past (minutes, of, percent), by what it has logged; None when it is through."""
    for line in reversed(lines):
        if line["text"].startswith("filling in the past"):
            told = {name: int(value) for name, value in _TOLD.findall(line["text"])}
            return told if told.keys() == {"minutes", "of", "percent"} and told["percent"] < 100 else None
    return None


def _symbol(
    store: Store, symbol: str, horizons: Sequence[int], scores: dict[tuple[str, int], Score], now: datetime, *, drawn: bool
) -> dict[str, Any]:
    newest = store.newest_bar(symbol)
    found: dict[str, Any] = {"symbol": symbol, "price": None, "change": None, "at": None, "quality": None, "source": None}
    if newest is not None:
        last = to_ms(newest.open_time)
        before = store.closes(symbol, last - 1440 * MINUTE_MS, last - 1435 * MINUTE_MS)
        found |= {
            "price": newest.close,
            "change": newest.close / before[0][1] - 1.0 if before else None,
            "at": to_ms(newest.close_time),
            "quality": newest.quality,
            "source": newest.source,
        }
    found["forecasts"] = [
        _forecast(made, scores.get((symbol, horizon)))
        for horizon in horizons
        if (made := next(store.newest_first(Forecast, symbol=symbol, horizon_minutes=horizon), None)) and made.target_time > now
    ]
    found["sentiment"] = _mood(store, symbol.partition("-")[0], now)
    found["alert"] = _alert(store, symbol)
    if drawn and newest is not None:
        last = to_ms(newest.open_time)
        found["bars"] = _bars(store.bars(symbol, last - (MINUTES - 1) * MINUTE_MS, last))
        since = newest.close_time - timedelta(minutes=MINUTES)
        found["past"] = [_past(store, symbol, horizon, since, now) for horizon in horizons]
    return found


def _bars(bars: Sequence[Bar]) -> dict[str, list[float]]:
    columns = ("open", "high", "low", "close")
    return {"at": [to_ms(bar.open_time) for bar in bars], **{name: [getattr(bar, name) for bar in bars] for name in columns}}


def _forecast(made: Forecast, score: Score | None) -> dict[str, Any]:
    return {
        **made.model_dump(mode="json", include={"price", "low", "high", "p_up", "direction", "confidence", "last_close"}),
        "horizon": made.horizon_minutes,
        "target": to_ms(made.target_time),
        "made": to_ms(made.made_at),
        "model": f"{made.model.name} {made.model.version}",
        "proven": score is not None and score.model == made.model and verdict_of(score).startswith("better"),
        "verdict": verdict_of(score) if score is not None and score.model == made.model else "not scored yet",
    }


def _past(store: Store, symbol: str, horizon: int, since: datetime, now: datetime) -> dict[str, Any]:
    """Forecasts whose time has come since then: what they said, at the minute they spoke of."""
    lasts = timedelta(minutes=horizon)
    found = [entry for entry in entries(store, since - lasts, now, "live", symbol, horizon) if since < entry.forecast.target_time <= now]
    found.reverse()
    return {
        "horizon": horizon,
        "at": [to_ms(entry.forecast.target_time) for entry in found],
        "price": [entry.forecast.price for entry in found],
        "inside": [_came_inside(entry) for entry in found],
    }


def _came_inside(entry: Entry) -> bool | None:
    """Whether the outcome lies in the 80 % interval; None where there is no outcome."""
    if entry.outcome is None:
        return None
    line = line_of(entry.forecast, entry.outcome)
    return line.low <= line.outcome <= line.high


def _mood(store: Store, asset: str, now: datetime) -> dict[str, Any] | None:
    newest = next(store.newest_first(Sentiment, asset=asset), None)
    if newest is None or newest.hour < now - DAY:
        return None
    return {"score": newest.score, "articles": newest.articles, "scorer": newest.scorer, "hour": to_ms(newest.hour)}


def _alert(store: Store, symbol: str) -> dict[str, Any] | None:
    newest = next(store.newest_first(Alert, symbol=symbol), None)
    if newest is None:
        return None
    raised = None if newest.raised_at is None else to_ms(newest.raised_at)
    return {"text": plain_text(newest.text, 500), "severity": newest.severity, "source": newest.source, "at": raised}
