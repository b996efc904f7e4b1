"""What a model must be better than to be worth its electricity; all are fitted on the same windows and judged on the same ones."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hub.market.features import FEATURES
from hub.market.outcome import HORIZONS
from trainer.dataset import Dataset, Index
from trainer.forecasts import Forecasts
from trainer.metrics import Numbers

MOST_ROWS = 400_000
TREES = 250
BOOSTING = {
    "objective": "binary",
    "learning_rate": 0.03,
    "num_leaves": 31,
    "min_data_in_leaf": 2000,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.5,
    "bagging_freq": 1,
    "lambda_l2": 10.0,
    "verbose": -1,
    "seed": 1,
    "deterministic": True,
    "force_row_wise": True,
}
_REVERSAL = FEATURES.index("return_5")


@dataclass(frozen=True)
class Usual:
    """The training part's own interval and drift, the same at all times, [horizons]: what persistence goes by."""

    low: Numbers
    high: Numbers


def usual_moves(data: Dataset, train: Index) -> Usual:
    """Quantiles of the training part's outcomes."""
    low, high = np.quantile(data.outcome[train], (0.1, 0.9), axis=0)
    return Usual(low, high)


def persistence(ends: Index, usual: Usual) -> Forecasts:
    """Nothing changes: the last close, up as likely as down, and the usual width."""
    shape = len(ends), len(HORIZONS)
    return Forecasts(ends, np.zeros(shape), np.broadcast_to(usual.low, shape), np.broadcast_to(usual.high, shape), np.full(shape, 0.5))


def reversal(data: Dataset, ends: Index, usual: Usual) -> Forecasts:
    """What went up in the last five minutes comes down: the oldest edge of minute bars."""
    down = 1.0 / (1.0 + np.exp(0.05 * data.newest(ends)[:, _REVERSAL].astype(np.float64)))
    return _with_direction(data, ends, np.repeat(down[:, None], len(HORIZONS), axis=1), usual)


def linear(data: Dataset, train: Index, ends: Index, usual: Usual) -> Forecasts:
    """Ridge-regularised logistic regression on the newest row."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    rows = _thinned(train)
    scale = StandardScaler().fit(data.newest(rows))
    inputs, asked = scale.transform(data.newest(rows)), scale.transform(data.newest(ends))
    p_up = np.empty((len(ends), len(HORIZONS)))
    for horizon in range(len(HORIZONS)):
        outcome = data.outcome[rows, horizon]
        moved = outcome != 0.0
        fitted = LogisticRegression(C=1e-3, max_iter=200).fit(np.clip(inputs[moved], -5, 5), outcome[moved] > 0.0)
        p_up[:, horizon] = fitted.predict_proba(np.clip(asked, -5, 5))[:, 1]
    return _with_direction(data, ends, p_up, usual)


def lightgbm(data: Dataset, train: Index, ends: Index, usual: Usual) -> Forecasts:
    """Gradient-boosted trees (Ke et al. 2017) on the newest row: up or down."""
    import lightgbm as boosting

    rows = _thinned(train)
    known, asked = data.newest(rows), data.newest(ends)
    p_up = np.empty((len(ends), len(HORIZONS)))
    for horizon in range(len(HORIZONS)):
        outcome = data.outcome[rows, horizon]
        moved = outcome != 0.0
        table = boosting.Dataset(known[moved], (outcome[moved] > 0.0).astype(np.int8))
        booster: Any = boosting.train(dict(BOOSTING), table, TREES)
        p_up[:, horizon] = booster.predict(asked)
    return _with_direction(data, ends, p_up, usual)


def _with_direction(data: Dataset, ends: Index, p_up: Numbers, usual: Usual) -> Forecasts:
    """A direction as a whole forecast: the expected return is a little of the window's volatility, the interval the usual one."""
    expected = 0.8 * (2.0 * p_up - 1.0) * data.unit(ends)
    return Forecasts(ends, expected, expected + usual.low, expected + usual.high, p_up)


def _thinned(train: Index) -> NDArray[np.int64]:
    """Every n-th window, the newest last: more rows than this teach a small model nothing."""
    return train[:: max(1, -(-len(train) // MOST_ROWS))]
