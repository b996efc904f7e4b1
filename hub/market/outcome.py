"""What came of it: the log return from a window's last close to the horizon's, and the volatility it is measured in.

Label in training and score in the hub are this one code.
"""

from collections.abc import Sequence

import numpy as np

from hub.market.trailing import Column, change, trailing_sums

HORIZONS = (5, 10, 30)
"""Minutes ahead."""
VOLATILITY_MINUTES = 60
LEAST_VOLATILITY = 2e-5
"""Log return a minute: a market that stands still is not divided by zero."""


def log_returns(close: Column) -> Column:
    """Log return of each minute on the one before; NaN for the first, which has none."""
    return change(np.log(close))


def volatility(returns: Column, minutes: int = VOLATILITY_MINUTES) -> Column:
    """Root mean square of the last `minutes` one-minute log returns; NaN before there are as many."""
    return volatilities(returns, (minutes,))[0]


def volatilities(returns: Column, spans: Sequence[int]) -> list[Column]:
    """`volatility` over each of several spans, each a multiple of the one before it."""
    sums = trailing_sums(returns * returns, spans)
    return [np.maximum(np.sqrt(total / span), LEAST_VOLATILITY) for total, span in zip(sums, spans, strict=True)]


def outcomes(close: Column, horizons: Sequence[int] = HORIZONS) -> Column:
    """Log return over each horizon ahead, [rows, horizons]; NaN where the stretch ends first."""
    logs = np.log(close)
    ahead = np.full((len(close), len(horizons)), np.nan)
    for column, horizon in enumerate(horizons):
        ahead[:-horizon, column] = logs[horizon:] - logs[:-horizon]
    return ahead
