"""How good the forecasts of the last seven days were, beside "nothing changes", and whether what was called likely was likely."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from hub.flow import Store
from hub.ledger import ledgers, scores_of
from hub.messages import Score
from hub.score_words import verdict_of

WINDOW = timedelta(days=7)
BINS = 10
FEWEST_IN_A_BIN = 10
"""Fewer forecasts than these are no share."""
_NUMBERS = {"symbol", "n", "missing", "skill", "skill_low", "auc", "hit_rate", "brier", "coverage", "error", "baseline_error"}


def recent(store: Store, now: datetime) -> dict[str, list[dict[str, Any]]]:
    """`rows`: one for each symbol, horizon and model. `reliability`: one for each horizon and role, all symbols together."""
    rows, said = list[dict[str, Any]](), dict[tuple[int, str], list[tuple[float, bool]]]()
    for _, horizon, both in ledgers(store, now - WINDOW, now):
        rows += map(_row, scores_of(both, "7d"))
        for entry in both:
            if entry.outcome:  # exactly 0 is neither up nor down
                said.setdefault((horizon, entry.forecast.role), []).append((entry.forecast.p_up, entry.outcome > 0.0))
    return {
        "rows": rows,
        "reliability": [{"horizon": horizon, "role": role, **bins(made)} for (horizon, role), made in sorted(said.items())],
    }


def bins(made: Sequence[tuple[float, bool]]) -> dict[str, list[Any]]:
    """Of (probability of up that was said, whether it went up): the mean of each tenth, and the share that came."""
    said, came = np.array([p_up for p_up, _ in made]), np.array([up for _, up in made], bool)
    place = np.minimum((said * BINS).astype(int), BINS - 1)
    kept = [inside for number in range(BINS) if len(inside := (place == number).nonzero()[0]) >= FEWEST_IN_A_BIN]
    return {
        "said": [float(said[inside].mean()) for inside in kept],
        "came": [float(came[inside].mean()) for inside in kept],
        "n": [len(inside) for inside in kept],
    }


def _row(score: Score) -> dict[str, Any]:
    verdict = verdict_of(score)
    return {
        **score.model_dump(mode="json", include=_NUMBERS),
        "horizon": score.horizon_minutes,
        "model": f"{score.model.name} {score.model.version}",
        "sha256": score.model.sha256[:12],
        "role": score.role,
        "verdict": verdict,
        "better": verdict.startswith("better"),
    }
