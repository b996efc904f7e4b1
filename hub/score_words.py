"""Scores for people, and honest: a few forecasts prove nothing, and most models are no better than 'nothing changes'."""

from hub.messages import Score

ENOUGH = 100
"""Fewer forecasts than these say nothing."""
HEADER = f"{'symbol':<10} {'ahead':>6} {'n':>6} {'missing':>7} {'skill':>8} {'AUC':>6} {'hits':>6} {'Brier':>6} {'80 % cover':>10}  model"


def verdict_of(score: Score) -> str:
    """What the numbers amount to."""
    if score.n < ENOUGH:
        return f"too few to tell, {ENOUGH} are needed"
    if score.skill_low is not None and score.skill_low > 0.0:
        return "better than 'nothing changes'"
    return "no better than 'nothing changes'"


def score_row(score: Score) -> str:
    """One row under HEADER."""
    shares = (
        _share(score.skill, 8, 3),
        _number(score.auc),
        _share(score.hit_rate, 6, 1),
        _number(score.brier),
        _share(score.coverage, 10, 1),
    )
    numbers = " ".join(shares)
    model = f"{score.model.name} {score.model.version}{'' if score.role == 'live' else ' (shadow)'}"
    return f"{score.symbol:<10} {score.horizon_minutes:>2} min {score.n:>6} {score.missing:>7} {numbers}  {model}: {verdict_of(score)}"


def _share(value: float | None, width: int, digits: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:>{width}.{digits}%}"


def _number(value: float | None) -> str:
    return "     -" if value is None else f"{value:6.3f}"
