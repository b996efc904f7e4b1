"""The classics against the package `ta`, after its warm-up.

`ta` averages over all of history from the first row on; ours end where less than 1e-8 of the weight is left, so that they differ
by at most that part of how far the price has gone meanwhile. All else agrees to the rounding of pandas' running sums.
"""

import numpy as np
import pandas as pd
import pytest
import ta
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.market.features import BarColumns
from hub.market.indicators import bollinger, macd, rsi, vwaps
from hub.market.outcome import log_returns, volatility
from hub.market.trailing import trailing_sum
from tests.markets import market

WARM_UP = 600
anywhere = given(seed=st.integers(0, 2**32 - 1), price=st.floats(-6, 6).map(lambda exponent: 10.0**exponent))
some = settings(max_examples=25, deadline=None)


def _frame(bars: BarColumns) -> pd.DataFrame:
    return pd.DataFrame({name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")})


def _agree(ours: np.ndarray, theirs: pd.Series, tolerance: float) -> None:
    np.testing.assert_allclose(ours[WARM_UP:], theirs.to_numpy()[WARM_UP:], rtol=0.0, atol=tolerance)


@some
@anywhere
def test_rsi_is_that_of_ta(seed: int, price: float) -> None:
    """Of 100; what is forgotten is 1e-8 of the weight, and its moves can be a few times those of the last minutes."""
    close = market(2000, seed, price).close
    _agree(rsi(close), ta.momentum.rsi(pd.Series(close), window=14), 100 * 1e-6)


@some
@anywhere
def test_macd_and_its_signal_are_those_of_ta(seed: int, price: float) -> None:
    """In units of the price's own range: below one millionth."""
    close = market(2000, seed, price).close
    line, signal = macd(close)
    _agree(line, ta.trend.macd(pd.Series(close)), 1e-6 * np.ptp(close))
    _agree(signal, ta.trend.macd_signal(pd.Series(close)), 1e-6 * np.ptp(close))
    _agree(line - signal, ta.trend.macd_diff(pd.Series(close)), 1e-6 * np.ptp(close))


@some
@anywhere
def test_bollinger_bands_are_those_of_ta(seed: int, price: float) -> None:
    """Pandas' running variance keeps about half its digits, of the price."""
    close = market(2000, seed, price).close
    bands, (middle, spread) = ta.volatility.BollingerBands(pd.Series(close), window=20, window_dev=2), bollinger(close)
    _agree(middle, bands.bollinger_mavg(), 1e-11 * price)
    _agree(middle + 2 * spread, bands.bollinger_hband(), 1e-8 * price)
    _agree(middle - 2 * spread, bands.bollinger_lband(), 1e-8 * price)


@some
@anywhere
def test_averages_are_those_of_ta(seed: int, price: float) -> None:
    """To rounding."""
    close = market(2000, seed, price).close
    for span in (10, 60, 240):
        _agree(trailing_sum(close, span) / span, ta.trend.sma_indicator(pd.Series(close), window=span), 1e-11 * price)


@some
@anywhere
def test_vwap_is_that_of_ta(seed: int, price: float) -> None:
    """Where anything was traded: to rounding."""
    bars = market(2000, seed, price)
    frame = _frame(bars)
    for span, vwap in zip((60, 240), vwaps(bars.high, bars.low, bars.close, bars.volume, (60, 240)), strict=True):
        theirs = ta.volume.volume_weighted_average_price(frame.high, frame.low, frame.close, frame.volume, window=span)
        _agree(vwap, theirs, 1e-10 * price)


def test_vwap_is_the_close_where_nothing_was_traded() -> None:
    """`ta` has no number there, and a model must be given one: no distance."""
    bars = market(100)
    quiet = np.where(np.arange(100) < 50, bars.volume, 0.0)
    vwap = vwaps(bars.high, bars.low, bars.close, quiet, (10,))[0]
    assert np.isnan(vwap[:9]).all()
    assert (vwap[59:] == bars.close[59:]).all()
    assert (vwap[9:59] != bars.close[9:59]).any()


@some
@anywhere
def test_log_returns_are_those_of_ta(seed: int, price: float) -> None:
    """`ta` counts in per cent, and calls every bar a day."""
    close = market(2000, seed, price).close
    _agree(log_returns(close), ta.others.daily_log_return(pd.Series(close)) / 100, 1e-14)


@some
@anywhere
def test_volatility_is_the_rolling_deviation_around_nothing(seed: int, price: float) -> None:
    """Of squares, because the mean of a minute's return is not told from 0; the difference from a deviation is that mean."""
    returns = log_returns(market(2000, seed, price).close)
    rolling = pd.Series(returns).rolling(60)
    _agree(volatility(returns), np.sqrt(rolling.std(ddof=0) ** 2 + rolling.mean() ** 2), 1e-9)


@pytest.mark.parametrize(("closes", "expected"), [([5.0] * 300, 50.0), (list(range(1, 301)), 100.0), (list(range(301, 1, -1)), 0.0)])
def test_rsi_where_all_moves_are_alike(closes: list[float], expected: float) -> None:
    """Where nothing moves it is in the middle; `ta` says 100."""
    assert rsi(np.array(closes, float))[-1] == pytest.approx(expected, abs=1e-9)
