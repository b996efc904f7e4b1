"""How good forecasts were: pure functions of forecasts and outcomes, each with where its formula comes from."""

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
DAY_MS = 86_400_000
LEVELS = (0.1, 0.9)
BINS = 15


def auc(up: NDArray[np.bool_], score: Numbers) -> float:
    """Chance that an up scores above a down, ties half (Mann & Whitney 1947); NaN where there is only one kind."""
    ups, downs = int(up.sum()), int((~up).sum())
    if not ups or not downs:
        return float("nan")
    ranks = _ranks(score)
    return float((ranks[up].sum() - ups * (ups + 1) / 2) / (ups * downs))


def mse_skill(outcome: Numbers, expected: Numbers) -> float:
    """1 - MSE / MSE of persistence, which expects 0 (Murphy 1988)."""
    return 1.0 - _share(np.square(outcome - expected).mean(), np.square(outcome).mean())


def brier(up: NDArray[np.bool_], p_up: Numbers) -> float:
    """Mean squared distance of P(up) from what came, 0 to 1 (Brier 1950); 0.25 is what 'fifty-fifty' gets."""
    return float(np.square(p_up - up).mean())


def calibration_error(up: NDArray[np.bool_], p_up: Numbers, bins: int = BINS) -> float:
    """Expected calibration error over bins of equal mass (Naeini et al. 2015): mean |share of ups - mean P(up)|."""
    order = np.argsort(p_up, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return float(sum(len(part) * abs(up[part].mean() - p_up[part].mean()) for part in parts) / max(1, len(up)))


def coverage(outcome: Numbers, low: Numbers, high: Numbers) -> float:
    """Share of outcomes inside their interval."""
    return float(((outcome >= low) & (outcome <= high)).mean())


def pinball(outcome: Numbers, low: Numbers, high: Numbers) -> float:
    """Mean pinball loss of the interval's two ends (Koenker & Bassett 1978)."""
    losses = [
        np.maximum(level * (outcome - end), (level - 1.0) * (outcome - end)).mean() for level, end in zip(LEVELS, (low, high), strict=True)
    ]
    return float(sum(losses) / len(losses))


def pinball_skill(outcome: Numbers, low: Numbers, high: Numbers, usual: tuple[float, float]) -> float:
    """1 - pinball / pinball of one interval for all times: `usual`, the training part's own quantiles."""
    always = pinball(outcome, np.full_like(outcome, usual[0]), np.full_like(outcome, usual[1]))
    return 1.0 - _share(pinball(outcome, low, high), always)


def rank_correlation(outcome: Numbers, expected: Numbers) -> float:
    """Spearman's; 0 where one of them never changes."""
    first, second = _ranks(outcome), _ranks(expected)
    if first.std() == 0.0 or second.std() == 0.0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def surest(p_up: Numbers, share: float = 0.1) -> NDArray[np.int64]:
    """The forecasts with the greatest confidence, a tenth of all."""
    return np.argsort(-np.abs(p_up - 0.5), kind="stable")[: max(1, int(len(p_up) * share))]


def hit_rate(up: NDArray[np.bool_], p_up: Numbers) -> float:
    """Share of forecasts whose direction came."""
    return float(((p_up > 0.5) == up).mean())


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


def _ranks(x: Numbers) -> Numbers:
    """1 for the smallest; ties share the mean of their places."""
    _, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2.0)[place]


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0.0 else float("nan")
