"""Windows over columns, against pandas and exact arithmetic."""

from fractions import Fraction
from math import isqrt

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub.market.trailing import (
    Column,
    change,
    exponential_mean,
    trailing_maxima,
    trailing_minima,
    trailing_spread,
    trailing_sum,
    trailing_sums,
)

spans = st.integers(1, 130)
seeds = st.integers(0, 2**32 - 1)


def _walk(rows: int, seed: int, level: float = 100.0) -> Column:
    return level + np.cumsum(np.random.default_rng(seed).normal(size=rows))


WINDOWS = {
    "change": change,
    "sum": trailing_sum,
    "maximum": lambda x, n: trailing_maxima(x, (n,))[0],
    "minimum": lambda x, n: trailing_minima(x, (n,))[0],
    "mean": lambda x, n: trailing_spread(x, n)[0],
    "deviation": lambda x, n: trailing_spread(x, n)[1],
    "exponential": lambda x, n: exponential_mean(x, 1 / (n + 1)),
}
windows = pytest.mark.parametrize("name", WINDOWS)


@settings(max_examples=60, deadline=None)
@given(n=spans, rows=st.integers(0, 400), seed=seeds)
@example(n=1, rows=5, seed=0)
@example(n=64, rows=63, seed=0)
def test_sums_extremes_and_spreads_are_those_of_pandas(n: int, rows: int, seed: int) -> None:
    """The oracle; it counts on from row to row, so it agrees to its own drift and not to the bit. Extremes have no rounding."""
    x = _walk(rows, seed)
    theirs = pd.Series(x).rolling(n)
    np.testing.assert_allclose(trailing_sum(x, n), theirs.sum(), rtol=1e-12)
    np.testing.assert_array_equal(trailing_maxima(x, (n,))[0], theirs.max())
    np.testing.assert_array_equal(trailing_minima(x, (n,))[0], theirs.min())
    mean, deviation = trailing_spread(x, n)
    np.testing.assert_allclose(mean, theirs.mean(), rtol=1e-12)
    np.testing.assert_allclose(deviation, theirs.std(ddof=0), rtol=1e-8, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 30), seed=seeds)
def test_exponential_means_are_those_of_pandas_but_for_what_is_forgotten(n: int, seed: int) -> None:
    """Pandas never forgets; less than 1e-8 of all weight lies beyond our taps, and a walk is no farther off than its own range."""
    x = _walk(800, seed)
    ours, theirs = exponential_mean(x, 1 / n), pd.Series(x).ewm(alpha=1 / n, adjust=True).mean()
    late = np.isfinite(ours)
    assert late.sum() > 800 - 1024 * n / 30 - 2
    np.testing.assert_allclose(ours[late], theirs[late], atol=2e-8 * np.ptp(x), rtol=1e-13)


@windows
@settings(max_examples=40, deadline=None)
@given(n=spans, rows=st.integers(0, 700), before=st.integers(0, 700), seed=seeds)
def test_a_row_is_the_same_to_the_bit_whatever_lies_before_its_window(name: str, n: int, rows: int, before: int, seed: int) -> None:
    """This is why the hub's newest row is the trainer's row, and a prefix has the features of the whole."""
    x = _walk(before + rows, seed)
    alone, within = WINDOWS[name](x[before:], n), WINDOWS[name](x, n)[before:]
    known = np.isfinite(alone)
    np.testing.assert_array_equal(alone[known], within[known])
    np.testing.assert_array_equal(WINDOWS[name](x[:rows], n), WINDOWS[name](x, n)[:rows])


@windows
@pytest.mark.parametrize("n", [1, 2, 7, 60])
def test_the_first_rows_are_not_known_and_all_later_ones_are(name: str, n: int) -> None:
    """Half a window is no window."""
    found = np.isfinite(WINDOWS[name](_walk(5000, 1), n))
    first = int(np.argmax(found))
    assert found[first:].all()
    assert name == "exponential" or first == (n if name == "change" else n - 1)
    assert not np.isfinite(WINDOWS[name](_walk(first, 1), n)).any()


@windows
@pytest.mark.parametrize("unknown", [np.nan, np.inf])
def test_what_is_not_a_number_spoils_the_windows_that_hold_it_and_no_other(name: str, unknown: float) -> None:
    """One unknown minute of the other symbol must not blank a whole block of rows, and least of all rows before it."""
    x = _walk(2500, 2)
    spoilt = x.copy()
    spoilt[1500] = unknown
    with np.errstate(invalid="ignore"):
        found, sound = WINDOWS[name](spoilt, 20), WINDOWS[name](x, 20)
    differs = np.flatnonzero(~((found == sound) | (np.isnan(found) & np.isnan(sound))))
    reach = int(np.argmax(np.isfinite(sound))) + 1
    assert 1500 in differs or (name == "minimum" and unknown == np.inf)
    assert set(differs) <= ({1500, 1520} if name == "change" else set(range(1500, 1500 + reach)))


@pytest.mark.parametrize("level", [1e-6, 1.0, 1e6, 1e12])
def test_the_spread_of_tiny_moves_at_a_high_level_is_exact(level: float) -> None:
    """Squares of prices would cancel: of moves this small not one digit would be left. Means round to a thousandth of them."""
    chance = np.random.default_rng(3)
    x = level * (1.0 + 1e-12 * chance.integers(-50, 50, 200))
    deviation = trailing_spread(x, 20)[1]
    for row in range(19, 200):
        window = [Fraction(value) for value in x[row - 19 : row + 1]]
        mean = sum(window) / 20
        variance = sum((value - mean) ** 2 for value in window) / 20
        assert deviation[row] == pytest.approx(isqrt(int(variance * 10**80)) / 10**40, rel=1e-3, abs=1e-15 * level)


def test_a_jump_leaves_nothing_behind_when_it_has_left_the_window() -> None:
    """A running total would carry its rounding on for ever."""
    x = np.full(400, 1e-6)
    x[100] = 1e9
    assert trailing_sum(x, 60)[161] == trailing_sum(x, 60)[59]
    assert trailing_spread(x, 60)[1][161] == 0.0
    assert exponential_mean(np.abs(change(np.where(x > 1, 1e9, 1.0))), 1 / 14)[399] == 0.0


def test_three_hundred_thousand_rows_drift_no_further_than_one() -> None:
    """Every row is made anew."""
    x = np.random.default_rng(4).lognormal(size=300_000)
    for n in (5, 60, 1440):
        assert trailing_sum(x, n)[-1] == pytest.approx(float(sum(map(Fraction, x[-n:]))), rel=1e-14)


@settings(max_examples=60, deadline=None)
@given(factors=st.lists(st.integers(1, 6), min_size=1, max_size=4), seed=seeds)
def test_windows_made_of_smaller_windows_are_the_same_windows(factors: list[int], seed: int) -> None:
    """A span that is a multiple of the one before is put together from its windows."""
    x, several = _walk(700, seed), [int(span) for span in np.cumprod(factors)]
    for span, total, top, bottom in zip(
        several, trailing_sums(x, several), trailing_maxima(x, several), trailing_minima(x, several), strict=True
    ):
        np.testing.assert_allclose(total, trailing_sum(x, span), rtol=1e-13)
        np.testing.assert_array_equal(top, trailing_maxima(x, (span,))[0])
        np.testing.assert_array_equal(bottom, trailing_minima(x, (span,))[0])


def test_spans_that_are_no_multiples_are_refused() -> None:
    """Silently taking 60 for 61 would be a feature that lies about its name."""
    with pytest.raises(ValueError, match="a span of 61 is not made of whole spans of 5"):
        trailing_sums(_walk(100, 0), (5, 61))


def test_what_goes_in_is_not_changed() -> None:
    """Columns are shared between features."""
    x = _walk(300, 5)
    kept = x.copy()
    for window in WINDOWS.values():
        window(x, 20)
    np.testing.assert_array_equal(x, kept)
