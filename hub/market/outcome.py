"""What came of it: the log return from a window's last close to the horizon's, and the volatility it is measured in.

Label in training and score in the hub are this one code.
"""

import numpy as np

from hub.market.trailing import Column, trailing_mean

HORIZONS = (5, 10, 30)
"""Minutes ahead."""
VOLATILITY_MINUTES = 60
LEAST_VOLATILITY = 2e-5
"""Log return a minute: a market that stands still is not divided by zero."""


def log_returns(close: Column) -> Column:
    """Log return of each minute on the one before; the first is 0."""
    logs = np.log(close)
    return np.diff(logs, prepend=logs[:1])


def volatility(returns: Column, minutes: int = VOLATILITY_MINUTES) -> Column:
    """Root mean square of the last `minutes` one-minute log returns; NaN before there are as many."""
    return np.maximum(np.sqrt(trailing_mean(returns * returns, minutes)), LEAST_VOLATILITY)


def outcomes(close: Column, horizons: tuple[int, ...] = HORIZONS) -> Column:
    """Log return over each horizon ahead, [rows, horizons]; NaN where the stretch ends first."""
    logs = np.log(close)
    ahead = np.full((len(close), len(horizons)), np.nan)
    for column, horizon in enumerate(horizons):
        ahead[:-horizon or None, column][: max(0, len(close) - horizon)] = logs[horizon:] - logs[:-horizon]
    return ahead
