"""Whether a model in shadow takes the live one's place, by what both said about the same minutes; in words: docs/models.md."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hub.market.metrics import LEVELS, Numbers, mean_by_hours, pinball_losses

LEAST_PAIRS = 288
"""Forecasts of both, of all symbols and horizons together."""
LEAST_HOURS = 12
"""Hours that have some: fewer say nothing of the next day."""
MARGIN = 0.02
"""So much more loss than the live model's must be ruled out."""


@dataclass(frozen=True)
class Said:
    """What one model said; columns as long as the outcomes. Returns are logarithms."""

    expected: Numbers
    low: Numbers
    high: Numbers
    p_up: Numbers


@dataclass(frozen=True)
class Pairs:
    """Forecasts of two models about the same minutes, and what came."""

    open_time: NDArray[np.int64]
    """Of the last bar that both saw, ms."""
    series: NDArray[np.int64]
    """Which symbol and horizon, as a number: losses are only compared within one."""
    outcome: Numbers
    live: Said
    shadow: Said


@dataclass(frozen=True)
class Verdict:
    """What becomes of the model in shadow, and why."""

    choice: Literal["promote", "wait", "reject"]
    reason: str
    pairs: int
    hours: int
    change: float | None = None
    """Loss of the shadow less that of the live model, in parts of the latter: below 0, the shadow is better."""
    low: float | None = None
    high: float | None = None
    """Each end lies beyond the truth one time in twenty."""


def verdict(pairs: Pairs) -> Verdict:
    """Promote a model that was no worse on these minutes and is surely not worse by MARGIN; reject one that is surely worse."""
    hours = len(np.unique(pairs.open_time // 3_600_000))
    count = len(pairs.outcome)
    if count < LEAST_PAIRS or hours < LEAST_HOURS:
        reason = f"{count} forecasts of both in {hours} hours; {LEAST_PAIRS} in {LEAST_HOURS} are needed to tell"
        return Verdict("wait", reason, count, hours)
    change, low, high = mean_by_hours(_changes(pairs), pairs.open_time)
    words = f"loss {change:+.2%} beside the live model's ({low:+.2%} to {high:+.2%}), on {count} forecasts of both in {hours} hours"
    if low > 0.0:
        return Verdict("reject", f"worse than the live model: {words}", count, hours, change, low, high)
    if change <= 0.0 and high < MARGIN:
        return Verdict("promote", f"no worse than the live model: {words}", count, hours, change, low, high)
    return Verdict("wait", f"not yet clear: {words}", count, hours, change, low, high)


def _changes(pairs: Pairs) -> Numbers:
    """Per forecast: the shadow's loss less the live model's, in parts of the live model's mean of that symbol and horizon.

    Half of it is the pinball loss of low, price and high, half the squared error of P(up).
    """
    total = np.zeros(len(pairs.outcome))
    for loss in (_quantiles, _direction):
        live, shadow = loss(pairs.outcome, pairs.live), loss(pairs.outcome, pairs.shadow)
        usual = np.bincount(pairs.series, weights=live) / np.maximum(1, np.bincount(pairs.series))
        total += 0.5 * (shadow - live) / np.maximum(usual[pairs.series], np.finfo(np.float64).tiny)
    return total


def _quantiles(outcome: Numbers, said: Said) -> Numbers:
    low, high = (pinball_losses(outcome, end, level) for end, level in zip((said.low, said.high), LEVELS, strict=True))
    return (low + pinball_losses(outcome, said.expected, 0.5) + high) / 3.0


def _direction(outcome: Numbers, said: Said) -> Numbers:
    """An outcome of exactly 0 is neither up nor down."""
    return np.where(outcome == 0.0, 0.25, np.square(said.p_up - (outcome > 0.0)))
