"""Sums, extremes, spreads and weighted means over each row's last minutes, whole columns at a time.

A window is put together from two windows half as long, those from halves again; nothing is carried from row to row. So a row is made of
its own window alone, always in the same order: it is the same to the bit whether an hour or ten years came before it, a million rows
drift no further than one, and what is not a number spoils no row whose window does not hold it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float64]

FORGOTTEN = 1e-8
"""An exponential mean ends where all that is older weighs less than this."""


def change(x: Column, span: int = 1) -> Column:
    """Difference of each row and the one `span` before; NaN for the first `span` rows."""
    return _joined(np.subtract, x, x, span)


def trailing_sum(x: Column, n: int) -> Column:
    """Sum of each row and the n - 1 before it; NaN for the first n - 1 rows."""
    return _in_a_row(np.add, x, n)


def trailing_sums(x: Column, spans: Sequence[int]) -> list[Column]:
    """`trailing_sum` over each of several spans, each a multiple of the one before it and made of its windows."""
    return _over_each(np.add, x, spans)


def trailing_maxima(x: Column, spans: Sequence[int]) -> list[Column]:
    """Greatest of each row and those before it, over spans as in `trailing_sums`."""
    return _over_each(np.maximum, x, spans)


def trailing_minima(x: Column, spans: Sequence[int]) -> list[Column]:
    """Smallest of each row and those before it, over spans as in `trailing_sums`."""
    return _over_each(np.minimum, x, spans)


def trailing_spread(x: Column, n: int) -> tuple[Column, Column]:
    """Mean and population standard deviation of each row and the n - 1 before it; NaN for the first n - 1 rows.

    Squares of differences between halves are added up (Chan, Golub & LeVeque 1979), never squares of prices: no cancellation.
    """
    mean, squares, rows = x, np.zeros(len(x)), 1
    for odd in _bits_below_the_first(n):
        mean, squares = _pooled((mean, squares, rows), (mean, squares, rows))
        rows *= 2
        if odd:
            mean, squares = _pooled((mean, squares, rows), (x, np.zeros(len(x)), 1))
            rows += 1
    return mean, np.sqrt(squares / n)


def exponential_mean(x: Column, alpha: float) -> Column:
    """Mean with weights (1 - alpha)**age, from the newest row back to where FORGOTTEN is left; NaN until a row has as many."""
    kept, taps, total = 1.0 - alpha, 1, x.copy()
    while kept**taps > FORGOTTEN:
        total[taps:] += total[:-taps] * kept**taps
        total[:taps] = np.nan
        taps *= 2
    total *= alpha / (1.0 - kept**taps)
    return total


def _joined(combine: np.ufunc, newer: Column, older: Column, ago: int) -> Column:
    """Each row of `newer` combined with the row of `older` that many rows before it; NaN where there is none."""
    out = np.empty(len(newer))
    out[:ago] = np.nan
    combine(newer[ago:], older[:-ago], out=out[ago:])
    return out


def _in_a_row(combine: np.ufunc, x: Column, times: int, rows: int = 1) -> Column:
    """So many windows of x, each `rows` long, one after the other as one window."""
    window, length = x, rows
    for odd in _bits_below_the_first(times):
        window = _joined(combine, window, window, length)
        length *= 2
        if odd:
            window = _joined(combine, window, x, length)
            length += rows
    return window


def _over_each(combine: np.ufunc, x: Column, spans: Sequence[int]) -> list[Column]:
    found, window, rows = [], x, 1
    for span in spans:
        times, rest = divmod(span, rows)
        if rest:
            raise ValueError(f"a span of {span} is not made of whole spans of {rows}: name spans that are multiples of the one before")
        window, rows = _in_a_row(combine, window, times, rows), span
        found.append(window)
    return found


def _pooled(newer: tuple[Column, Column, int], older: tuple[Column, Column, int]) -> tuple[Column, Column]:
    """Mean and sum of squared deviations of two windows as one, the older ending where the newer begins."""
    rows, ago = newer[2] + older[2], newer[2]
    apart = _joined(np.subtract, newer[0], older[0], ago)
    mean = newer[0] - apart * (older[2] / rows)
    apart *= apart
    apart *= newer[2] * older[2] / rows
    apart += _joined(np.add, newer[1], older[1], ago)
    return mean, apart


def _bits_below_the_first(n: int) -> list[bool]:
    """How to reach n from 1: double each time, and add one where it says so."""
    return [bit == "1" for bit in f"{n:b}"[1:]]
