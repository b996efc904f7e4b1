"""The classics in their own units, as charts show them."""

from collections.abc import Sequence

import numpy as np

from hub.market.trailing import Column, change, exponential_mean, trailing_spread, trailing_sums

TINY = float(np.finfo(np.float64).tiny)
"""Added to a divisor that is 0 only where what it divides is 0: makes their quotient 0, and changes no other."""


def rsi(close: Column, n: int = 14) -> Column:
    """Relative strength index, 0 to 100 (Wilder 1978): the part of all movement that was upward; 50 where there was none."""
    moved = change(close)
    return 50.0 + 50.0 * exponential_mean(moved, 1 / n) / (exponential_mean(np.abs(moved), 1 / n) + TINY)


def macd(close: Column) -> tuple[Column, Column]:
    """Moving average convergence divergence of 12 and 26 minutes, and its signal of 9 (Appel 1979), in units of price."""
    line = exponential_mean(close, 2 / 13) - exponential_mean(close, 2 / 27)
    return line, exponential_mean(line, 2 / 10)


def bollinger(close: Column, n: int = 20) -> tuple[Column, Column]:
    """Middle of the Bollinger bands and one standard deviation (Bollinger 2001); the bands lie two to either side."""
    return trailing_spread(close, n)


def vwaps(high: Column, low: Column, close: Column, volume: Column, spans: Sequence[int]) -> list[Column]:
    """Typical price weighted by volume (Berkowitz, Logue & Noser 1988) over each span; the close where nothing was traded."""
    traded = trailing_sums(volume, spans)
    turnover = trailing_sums((high + low + close) * volume, spans)
    return [np.where(shares == 0.0, close, paid / (3.0 * shares + TINY)) for paid, shares in zip(turnover, traded, strict=True)]
