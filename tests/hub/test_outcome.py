"""What came of a window, by hand; label and score are this one code."""

from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.market.outcome import HORIZONS, LEAST_VOLATILITY, log_returns, outcomes, volatilities, volatility
from tests.markets import troubled_market


def test_the_horizons_are_those_the_hub_forecasts() -> None:
    """Five, ten and thirty minutes stand in the contract."""
    assert HORIZONS == (5, 10, 30)


def test_an_outcome_is_the_log_return_from_this_close_to_the_close_at_the_horizon() -> None:
    """By hand: one minute and two minutes ahead."""
    close = np.array([100.0, 110.0, 99.0, 99.0])
    expected = [
        [log(1.1), log(0.99)],
        [log(0.9), log(0.9)],
        [0.0, np.nan],
        [np.nan, np.nan],
    ]
    np.testing.assert_allclose(outcomes(close, (1, 2)), expected, atol=1e-14)


@pytest.mark.parametrize("rows", [0, 1, 4, 5, 6, 10, 29, 30, 31])
def test_the_end_of_a_stretch_has_no_outcome(rows: int) -> None:
    """What a label would need from beyond a gap is not known."""
    known = np.isfinite(outcomes(np.full(rows, 7.0)))
    assert known.shape == (rows, 3)
    assert known.sum(axis=0).tolist() == [max(0, rows - horizon) for horizon in HORIZONS]
    for column, horizon in enumerate(HORIZONS):
        assert known[: max(0, rows - horizon), column].all()


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), row=st.integers(0, 99))
def test_an_outcome_depends_on_two_closes_and_on_nothing_else(seed: int, row: int) -> None:
    """A score computed from two closes years later is the label that was trained on, to the bit."""
    close = troubled_market(130, seed).close
    for column, horizon in enumerate(HORIZONS):
        alone = outcomes(close[row : row + horizon + 1], (horizon,))
        assert outcomes(close)[row, column] == alone[0, 0]
        assert alone[0, 0] == pytest.approx(log(close[row + horizon] / close[row]), abs=1e-14)


def test_the_outcome_over_ten_minutes_is_the_sum_of_its_log_returns() -> None:
    """Log returns add up: the reason for taking logarithms."""
    close = troubled_market(200, 1).close
    returns = log_returns(close)
    assert np.isnan(returns[0])
    for row in (0, 60, 189):
        assert outcomes(close)[row, 1] == pytest.approx(returns[row + 1 : row + 11].sum(), abs=1e-12)


def test_volatility_is_the_root_mean_square_of_log_returns() -> None:
    """By hand, and not known before there are as many returns, the first close having none."""
    returns = log_returns(np.array([100.0, 101.0, 100.0, 102.0]))
    found = volatility(returns, 2)
    assert np.isnan(found[:2]).all()
    assert found[2] == pytest.approx(sqrt((log(1.01) ** 2 + log(100 / 101) ** 2) / 2), rel=1e-12)
    assert found[3] == pytest.approx(sqrt((log(100 / 101) ** 2 + log(1.02) ** 2) / 2), rel=1e-12)


def test_a_market_that_stands_still_has_the_least_volatility() -> None:
    """So that nothing is divided by zero."""
    assert (volatility(log_returns(np.full(100, 5.0)))[60:] == LEAST_VOLATILITY).all()


def test_volatility_over_several_spans_is_volatility_over_each() -> None:
    """One formula."""
    returns = log_returns(troubled_market(400, 2).close)
    for minutes, found in zip((5, 60), volatilities(returns, (5, 60)), strict=True):
        np.testing.assert_allclose(found, volatility(returns, minutes), rtol=1e-13)
