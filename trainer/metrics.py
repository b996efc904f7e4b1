"""How good forecasts were: pure functions of forecasts and outcomes, each with where its formula comes from."""

import numpy as np
from numpy.typing import NDArray

from hub.market.metrics import LEVELS, Numbers, auc, brier, coverage, hit_rate, mse_skill, pinball_losses, ranks
from hub.market.metrics import share as part_of

DAY_MS = 86_400_000
BINS = 15


def calibration_error(up: NDArray[np.bool_], p_up: Numbers, bins: int = BINS) -> float:
    """Expected calibration error over bins of equal mass (Naeini et al. 2015): mean |share of ups - mean P(up)|."""
    order = np.argsort(p_up, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return float(sum(len(part) * abs(up[part].mean() - p_up[part].mean()) for part in parts) / max(1, len(up)))


def pinball(outcome: Numbers, low: Numbers, high: Numbers) -> float:
    """Mean pinball loss of the interval's two ends (Koenker & Bassett 1978)."""
    losses = [pinball_losses(outcome, end, level).mean() for level, end in zip(LEVELS, (low, high), strict=True)]
    return float(sum(losses) / len(losses))


def pinball_skill(outcome: Numbers, low: Numbers, high: Numbers, usual: tuple[float, float]) -> float:
    """1 - pinball / pinball of one interval for all times: `usual`, the training part's own quantiles."""
    always = pinball(outcome, np.full_like(outcome, usual[0]), np.full_like(outcome, usual[1]))
    return 1.0 - part_of(pinball(outcome, low, high), always)


def rank_correlation(outcome: Numbers, expected: Numbers) -> float:
    """Spearman's; 0 where one of them never changes."""
    first, second = ranks(outcome), ranks(expected)
    if first.std() == 0.0 or second.std() == 0.0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def surest(p_up: Numbers, share: float = 0.1) -> NDArray[np.int64]:
    """The forecasts with the greatest confidence, a tenth of all."""
    return np.argsort(-np.abs(p_up - 0.5), kind="stable")[: max(1, int(len(p_up) * share))]


def return_after_cost(outcome: Numbers, p_up: Numbers, cost: float = 1e-3) -> float:
    """Mean log return of following the direction there and back, 10 basis points of cost in all."""
    return float((np.sign(p_up - 0.5) * outcome).mean() - cost)


def day_blocks(open_time: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Places of the forecasts of each UTC day: neighbours share what happened to them, so days are drawn, not minutes."""
    days, place = np.unique(open_time // DAY_MS, return_inverse=True)
    order = np.argsort(place, kind="stable")
    return np.split(order, np.cumsum(np.bincount(place, minlength=len(days)))[:-1])


def auc_interval(
    up: NDArray[np.bool_], score: Numbers, open_time: NDArray[np.int64], draws: int = 200, seed: int = 1
) -> tuple[float, float]:
    """95 % interval of the AUC by bootstrap over days (Kuensch 1989)."""
    blocks, chance = day_blocks(open_time), np.random.default_rng(seed)
    values = []
    for _ in range(draws):
        rows = np.concatenate([blocks[number] for number in chance.integers(len(blocks), size=len(blocks))])
        values.append(auc(up[rows], score[rows]))
    low, high = np.nanquantile(values, (0.025, 0.975))
    return float(low), float(high)


__all__ = [
    "Numbers",
    "auc",
    "auc_interval",
    "brier",
    "calibration_error",
    "coverage",
    "day_blocks",
    "hit_rate",
    "mse_skill",
    "pinball",
    "pinball_skill",
    "rank_correlation",
    "return_after_cost",
    "surest",
]
