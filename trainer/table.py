"""Judges forecasts by what came: per symbol and horizon, every number beside the baselines on the same windows."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hub.market.interval import from_ms
from hub.market.outcome import HORIZONS
from trainer import metrics
from trainer.baselines import Usual, lightgbm, linear, persistence, reversal
from trainer.dataset import Dataset, Index
from trainer.forecasts import Forecasts

Table = dict[str, Any]
Baseline = Callable[[Dataset, Index, Index, Usual], Forecasts]
LEARNT: Mapping[str, Baseline] = {"linear": linear, "lightgbm": lightgbm}
FEWEST_WINDOWS = 2_000
"""With fewer to learn from, a learnt baseline says nothing."""
POOLED = "all"
"""Both symbols together: their minutes are judged as one set."""


def baselines_for(data: Dataset, train: Index, ends: Index, usual: Usual) -> dict[str, Forecasts]:
    """Every baseline's word on the windows in `ends`; the learnt ones know `train` alone, and are left out where that is too little."""
    found = {"persistence": persistence(ends, usual), "reversal": reversal(data, ends, usual)}
    if len(train) >= FEWEST_WINDOWS and len(ends):
        found |= {name: learn(data, train, ends, usual) for name, learn in LEARNT.items()}
    return found


def judge(data: Dataset, forecasts: Forecasts, baselines: Mapping[str, Forecasts], usual: NDArray[np.float64], name: str) -> Table:
    """The table of contract: one entry per symbol and horizon. `usual` [windows, horizons, 2]: the interval of persistence for each window.

    An outcome of exactly 0 is neither up nor down, and is left out of what is said about direction.
    """
    ends = forecasts.ends
    table: Table = {"run": name, "from": _iso(data.open_time[ends].min()), "to": _iso(data.open_time[ends].max()), "symbols": {}}
    groups = {symbol: np.flatnonzero(data.symbol[ends] == number) for number, symbol in enumerate(data.symbols)}
    groups[POOLED] = np.arange(len(ends))
    for symbol, rows in groups.items():
        if len(rows):
            table["symbols"][symbol] = {
                str(horizon): _entry(
                    data, forecasts.rows(rows), {key: each.rows(rows) for key, each in baselines.items()}, usual[rows], place
                )
                for place, horizon in enumerate(HORIZONS)
            }
    return table


def _entry(data: Dataset, said: Forecasts, baselines: Mapping[str, Forecasts], usual: NDArray[np.float64], horizon: int) -> Table:
    outcome = data.outcome[said.ends, horizon]
    always = usual[:, horizon]
    entry = _numbers(said, outcome, horizon)
    widths = metrics.pinball(outcome, always[:, 0], always[:, 1])
    entry["pinball_skill"] = 1.0 - metrics.pinball(outcome, said.low[:, horizon], said.high[:, horizon]) / widths if widths else None
    entry["regimes"] = _regimes(data, said, outcome, horizon)
    moved = outcome != 0.0
    entry["auc_ci"] = list(metrics.auc_interval(outcome[moved] > 0, said.p_up[moved, horizon], data.open_time[said.ends][moved]))
    entry["baselines"] = {name: _numbers(each, outcome, horizon) for name, each in baselines.items()}
    return entry


def _numbers(said: Forecasts, outcome: NDArray[np.float64], horizon: int) -> Table:
    """What is said of a model and of each baseline alike."""
    moved = outcome != 0.0
    up, p_up, came = outcome[moved] > 0.0, said.p_up[moved, horizon], outcome[moved]
    if not len(up):
        return {"n": len(outcome)}
    sure = metrics.surest(p_up)
    always_up = float(up.mean())
    brier = metrics.brier(up, p_up)
    return {
        "n": len(outcome),
        "mse_skill": metrics.mse_skill(outcome, said.expected[:, horizon]),
        "auc": metrics.auc(up, p_up),
        "brier": brier,
        "brier_skill": 1.0 - brier / 0.25,
        "ece": metrics.calibration_error(up, p_up),
        "coverage80": metrics.coverage(outcome, said.low[:, horizon], said.high[:, horizon]),
        "ic": metrics.rank_correlation(outcome, said.expected[:, horizon]),
        "hit_rate": metrics.hit_rate(up, p_up),
        "hit_rate_top_decile": metrics.hit_rate(up[sure], p_up[sure]),
        "return_after_cost_top_decile": metrics.return_after_cost(came[sure], p_up[sure]),
        "share_up": always_up,
    }


def _regimes(data: Dataset, said: Forecasts, outcome: NDArray[np.float64], horizon: int) -> Table:
    """Coverage and direction in calm, usual and wild hours: thirds by the volatility of the hour before."""
    wildness = data.volatility[said.ends]
    edges = np.quantile(wildness, (1 / 3, 2 / 3))
    place = np.digitize(wildness, edges)
    found = {}
    for number, regime in enumerate(("calm", "usual", "wild")):
        rows = place == number
        moved = rows & (outcome != 0.0)
        if moved.any():
            found[regime] = {
                "n": int(rows.sum()),
                "coverage80": metrics.coverage(outcome[rows], said.low[rows, horizon], said.high[rows, horizon]),
                "auc": metrics.auc(outcome[moved] > 0.0, said.p_up[moved, horizon]),
            }
    return found


def against(data: Dataset, said: Forecasts, other: Forecasts, horizon: int, draws: int = 300, seed: int = 1) -> Table:
    """AUC of one beside the other on the same windows, with a 95 % interval of the difference by bootstrap over days."""
    outcome = data.outcome[said.ends, horizon]
    moved = outcome != 0.0
    up, mine, theirs = outcome[moved] > 0.0, said.p_up[moved, horizon], other.p_up[moved, horizon]
    blocks, chance = metrics.day_blocks(data.open_time[said.ends][moved]), np.random.default_rng(seed)
    differences = []
    for _ in range(draws):
        rows = np.concatenate([blocks[number] for number in chance.integers(len(blocks), size=len(blocks))])
        differences.append(metrics.auc(up[rows], mine[rows]) - metrics.auc(up[rows], theirs[rows]))
    low, high = np.nanquantile(differences, (0.025, 0.975))
    return {"difference": metrics.auc(up, mine) - metrics.auc(up, theirs), "ci": [float(low), float(high)]}


def _iso(ms: np.int64) -> str:
    return from_ms(int(ms)).isoformat().replace("+00:00", "Z")
