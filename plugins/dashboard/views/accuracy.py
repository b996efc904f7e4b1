"""How good the forecasts are, beside "nothing changes": now, by week, and whether what is called likely is likely."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from hub.flow import Store
from hub.ledger import Entry, accuracy, entries, line_of, numbers, series_of
from hub.market.interval import to_ms
from hub.score_words import verdict_of

WINDOW, WEEKS = timedelta(days=7), 8
BINS = 10
FEWEST_IN_A_BIN = 10
"""Fewer forecasts than these are no share."""


def scoreboard(store: Store, now: datetime) -> list[dict[str, Any]]:
    """One row for each symbol, horizon and model of the last seven days."""
    return [
        {
            **score.model_dump(
                mode="json",
                include={"symbol", "n", "missing", "skill", "skill_low", "auc", "hit_rate", "brier", "coverage", "error", "baseline_error"},
            ),
            "horizon": score.horizon_minutes,
            "model": f"{score.model.name} {score.model.version}",
            "sha256": score.model.sha256[:12],
            "role": score.role,
            "verdict": verdict_of(score),
            "better": verdict_of(score).startswith("better"),
        }
        for score in accuracy(store, now - WINDOW, now, "7d")
    ]


def ledger(store: Store, now: datetime) -> dict[tuple[str, int, str], list[Entry]]:
    """Every scored forecast of the last weeks, by symbol, horizon and role; the oldest first."""
    since = now - WEEKS * WINDOW
    return {
        (symbol, horizon, role): [
            entry for entry in reversed(entries(store, since, now, role, symbol, horizon)) if entry.outcome is not None
        ]
        for symbol, horizon, role in series_of(store)
    }


def by_week(found: dict[tuple[str, int, str], list[Entry]], now: datetime) -> list[dict[str, Any]]:
    """Skill, hits and coverage of each seven days that end now, a week before, and so on; live forecasts only."""
    rows = []
    for (symbol, horizon, role), made in sorted(found.items()):
        if role != "live":
            continue
        for back in range(WEEKS):
            end = now - back * WINDOW
            week = [entry for entry in made if end - WINDOW <= entry.forecast.made_at < end]
            if week:
                told = numbers([line_of(entry.forecast, entry.outcome) for entry in week if entry.outcome is not None])
                kept = {name: told[name] for name in ("n", "skill", "hit_rate", "coverage")}
                models = list(dict.fromkeys(f"{entry.forecast.model.name} {entry.forecast.model.version}" for entry in week))
                rows.append({"symbol": symbol, "horizon": horizon, "from": to_ms(end - WINDOW), "models": models, **kept})
    return rows


def reliability(found: dict[tuple[str, int, str], list[Entry]], now: datetime) -> list[dict[str, Any]]:
    """Of each horizon and role, all symbols together: what was said to go up with this probability, and how often it did."""
    together: dict[tuple[int, str], list[Entry]] = {}
    for (_, horizon, role), made in found.items():
        together.setdefault((horizon, role), []).extend(entry for entry in made if entry.forecast.made_at >= now - WINDOW)
    return [{"horizon": horizon, "role": role, **_bins(made)} for (horizon, role), made in sorted(together.items()) if made]


def _bins(made: Sequence[Entry]) -> dict[str, list[Any]]:
    moved = [(entry.forecast.p_up, entry.outcome > 0.0) for entry in made if entry.outcome]  # exactly 0 is neither up nor down
    said, came = np.array([p_up for p_up, _ in moved]), np.array([up for _, up in moved], bool)
    place = np.minimum((said * BINS).astype(int), BINS - 1)
    bins = [(place == number).nonzero()[0] for number in range(BINS)]
    kept = [inside for inside in bins if len(inside) >= FEWEST_IN_A_BIN]
    return {
        "said": [float(said[inside].mean()) for inside in kept],
        "came": [float(came[inside].mean()) for inside in kept],
        "n": [len(inside) for inside in kept],
    }
