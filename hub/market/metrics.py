"""How good forecasts were: the numbers that the Pi's scorecard and the PC's evaluation share. Returns are logarithms."""

import numpy as np
from numpy.typing import NDArray

from hub.market.interval import MINUTE_MS

Numbers = NDArray[np.float64]
LEVELS = (0.1, 0.9)
"""Quantiles that an interval's ends stand for."""
HOUR_MS = 60 * MINUTE_MS
ONE_SIDED = 1.6449
"""Standard deviations beyond which a twentieth lies, on one side."""


def auc(up: NDArray[np.bool_], score: Numbers) -> float:
    """Chance that an up scores above a down, ties half (Mann & Whitney 1947); NaN where there is only one kind."""
    ups, downs = int(up.sum()), int((~up).sum())
    if not ups or not downs:
        return float("nan")
    return float((ranks(score)[up].sum() - ups * (ups + 1) / 2) / (ups * downs))


def mse_skill(outcome: Numbers, expected: Numbers) -> float:
    """1 - MSE / MSE of persistence, which expects 0 (Murphy 1988)."""
    return 1.0 - share(np.square(outcome - expected).mean(), np.square(outcome).mean())


def brier(up: NDArray[np.bool_], p_up: Numbers) -> float:
    """Mean squared distance of P(up) from what came, 0 to 1 (Brier 1950); 0.25 is what 'fifty-fifty' gets."""
    return float(np.square(p_up - up).mean())


def coverage(outcome: Numbers, low: Numbers, high: Numbers) -> float:
    """Share of outcomes inside their interval."""
    return float(((outcome >= low) & (outcome <= high)).mean())


def hit_rate(up: NDArray[np.bool_], p_up: Numbers) -> float:
    """Share of forecasts whose direction came."""
    return float(((p_up > 0.5) == up).mean())


def pinball_losses(outcome: Numbers, quantile: Numbers, level: float) -> Numbers:
    """Of each forecast quantile (Koenker & Bassett 1978)."""
    return np.maximum(level * (outcome - quantile), (level - 1.0) * (outcome - quantile))


def mean_by_hours(values: Numbers, open_time: NDArray[np.int64]) -> tuple[float, float, float]:
    """Mean, and the ends of its 90 % interval, each of which lies beyond the truth one time in twenty; NaN with fewer than two hours.

    Neighbouring forecasts share what happened to them, so hours are the sample, not minutes (batch means, Conway 1963; sums over sizes
    by the ratio estimator, Cochran 1977), with Student's t for as few as there are (Peiser 1943).
    """
    _, place = np.unique(open_time // HOUR_MS, return_inverse=True)
    sizes, sums = np.bincount(place), np.bincount(place, weights=values)
    hours, mean = len(sizes), float(values.mean()) if len(values) else float("nan")
    if hours < 2:
        return mean, float("nan"), float("nan")
    spread = np.sqrt(hours / (hours - 1) * np.square(sums - mean * sizes).sum()) / len(values)
    reach = (ONE_SIDED + (ONE_SIDED**3 + ONE_SIDED) / (4 * (hours - 1))) * float(spread)
    return mean, mean - reach, mean + reach


def ranks(x: Numbers) -> Numbers:
    """1 for the smallest; ties share the mean of their places."""
    _, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    found: Numbers = (last - (counts - 1) / 2.0)[place]
    return found


def share(part: float, whole: float) -> float:
    """The part of the whole; NaN of nothing."""
    return float(part / whole) if whole > 0.0 else float("nan")
