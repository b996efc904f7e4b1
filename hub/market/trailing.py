"""Sums, extremes and weighted means over each row's last minutes, whole columns at a time.

No running total: a row's value comes from its own window alone, so a million rows drift no further than one, and the last row
computed from just its look-back equals the same row computed from all of history (to rounding).
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float64]


def trailing_sum(x: Column, n: int) -> Column:
    """Sum of each row and the n - 1 before it; NaN for the first n - 1 rows."""
    return _over_blocks(np.add, x, n)


def trailing_mean(x: Column, n: int) -> Column:
    """Mean of each row and the n - 1 before it; NaN for the first n - 1 rows."""
    return _over_blocks(np.add, x, n) / n


def trailing_max(x: Column, n: int) -> Column:
    """Greatest of each row and the n - 1 before it; NaN for the first n - 1 rows."""
    return _over_blocks(np.maximum, x, n)


def trailing_min(x: Column, n: int) -> Column:
    """Smallest of each row and the n - 1 before it; NaN for the first n - 1 rows."""
    return _over_blocks(np.minimum, x, n)


def trailing_deviation(x: Column, n: int) -> Column:
    """Population standard deviation of each row and the n - 1 before it; NaN for the first n - 1 rows.

    Both blocks of a window are measured from their own first value and then joined (Chan, Golub & LeVeque 1979): no cancellation.
    """
    out = np.full(len(x), np.nan)
    if len(x) < n:
        return out
    blocks = _in_blocks(x, n)
    first = blocks[:, :1]
    off = blocks - first
    sums, squares = np.cumsum(off, axis=1), np.cumsum(off * off, axis=1)
    older = _piece((sums[:, -1:] - sums + off, squares[:, -1:] - squares + off * off), np.arange(n, 0, -1.0), first, slice(0, len(x) - n + 1))
    newer = _piece((sums, squares), np.arange(1.0, n + 1.0), first, slice(n - 1, len(x)))
    apart = older[0] - newer[0]
    joined = older[1] + newer[1] + apart * apart * (newer[2] * (n - newer[2]) / n)
    whole = newer[2] == n
    out[n - 1 :] = np.sqrt(np.maximum(np.where(whole, newer[1], joined), 0.0) / n)
    return out


def _piece(sums: tuple[Column, Column], counts: Column, first: Column, rows: slice) -> tuple[Column, Column, Column]:
    """Mean, sum of squared deviations from it, and count of one part of each window."""
    total, squares = sums
    mean = (first + total / counts).reshape(-1)[rows]
    return mean, (squares - total * total / counts).reshape(-1)[rows], np.broadcast_to(counts, total.shape).reshape(-1)[rows]


def exponential_mean(x: Column, alpha: float, n: int) -> Column:
    """Exponentially weighted mean of the last n rows, weight alpha * (1 - alpha)**age, scaled to sum to 1; NaN for the first n - 1 rows."""
    if len(x) < n:
        return np.full(len(x), np.nan)
    blocks = _in_blocks(x, n)
    same, before = _toeplitz(alpha, n)
    means = blocks @ same
    means[1:] += blocks[:-1] @ before
    means = means.reshape(-1)[: len(x)]
    means[: n - 1] = np.nan
    return means


def _over_blocks(combine: np.ufunc, x: Column, n: int) -> Column:
    """Every window of n spans at most two blocks of n: the end of one and the beginning of the next (van Herk 1992, Gil & Werman 1993)."""
    out = np.full(len(x), np.nan)
    if len(x) < n:
        return out
    blocks = _in_blocks(x, n)
    begun = combine.accumulate(blocks, axis=1).reshape(-1)
    left = combine.accumulate(blocks[:, ::-1], axis=1)[:, ::-1]
    if combine is np.add:
        left = left.copy()
        left[:, 0] = 0.0  # a window that is a whole block has it all in `begun`
    combine(left.reshape(-1)[: len(x) - n + 1], begun[n - 1 : len(x)], out=out[n - 1 :])
    return out


def _in_blocks(x: Column, n: int) -> Column:
    padded = np.zeros(-(-len(x) // n) * n)
    padded[: len(x)] = x
    return padded.reshape(-1, n)


@lru_cache(maxsize=32)
def _toeplitz(alpha: float, n: int) -> tuple[Column, Column]:
    """The filter as two matrices: what a row takes from its own block, and from the one before."""
    weights = alpha * (1.0 - alpha) ** np.arange(n)
    weights /= weights.sum()
    age = np.arange(n)[None, :] - np.arange(n)[:, None]
    same = np.where(age >= 0, weights[age % n], 0.0)
    before = np.where(age < 0, weights[age % n], 0.0)
    return same, before
