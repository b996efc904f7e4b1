"""Indicators and features of a million minutes, beside the same indicators by `ta` as a user writes them; TA-Lib, in C, for reference.

python bench/features.py [minutes] [rounds]

Fourteen classics, each equal to `ta`'s after warm-up. One of them, ATR, is a loop in Python there: so both with it and without it.
"""

import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pandas as pd
import ta
import talib

from bench.row import Row, interleaved
from hub.market.features import FEATURES, LOOK_BACK, BarColumns, Surroundings, feature_matrix
from hub.market.indicators import bollinger, macd, rsi, vwaps
from hub.market.outcome import log_returns, volatility
from hub.market.trailing import Column, change, exponential_mean, trailing_sums
from tests.markets import market

Columns = dict[str, Column]
PIECE, WARM_UP = 16_384, 512


def by_ta(frame: pd.DataFrame) -> Columns:
    """The shortest way to them with `ta` and pandas."""
    close, bands = frame.close, ta.volatility.BollingerBands(frame.close, window=20, window_dev=2)
    returns = np.log(close).diff()
    return {
        "rsi": ta.momentum.rsi(close, window=14),
        "macd": ta.trend.macd(close),
        "macd_signal": ta.trend.macd_signal(close),
        "macd_diff": ta.trend.macd_diff(close),
        "bollinger_high": bands.bollinger_hband(),
        "bollinger_low": bands.bollinger_lband(),
        "bollinger_middle": bands.bollinger_mavg(),
        **{f"average_{span}": ta.trend.sma_indicator(close, window=span) for span in (10, 60, 240)},
        "vwap": ta.volume.volume_weighted_average_price(frame.high, frame.low, close, frame.volume, window=60),
        "return": returns,
        "volatility": returns.rolling(60).std(),
    }


def atr_by_ta(frame: pd.DataFrame) -> Columns:
    return {"atr": ta.volatility.average_true_range(frame.high, frame.low, frame.close, window=14)}


def by_ta_lib(bars: BarColumns) -> Columns:
    """In C, for reference; `ta`'s thirteen."""
    close, returns = bars.close, np.diff(np.log(bars.close))
    line, signal, apart = talib.MACD(close)
    high, middle, low = talib.BBANDS(close, 20)
    typical = talib.TYPPRICE(bars.high, bars.low, close)
    found = {"rsi": talib.RSI(close, 14), "macd": line, "macd_signal": signal, "macd_diff": apart, "bollinger_high": high}
    found |= {"bollinger_low": low, "bollinger_middle": middle, **{f"average_{span}": talib.SMA(close, span) for span in (10, 60, 240)}}
    vwap = talib.SUM(typical * bars.volume, 60) / talib.SUM(bars.volume, 60)
    return found | {"vwap": vwap, "return": returns, "volatility": talib.STDDEV(returns, 60)}


def by_the_hub(bars: BarColumns) -> Columns:
    """From the functions that the features are made of."""
    close, returns = bars.close, log_returns(bars.close)
    line, signal = macd(close)
    middle, spread = bollinger(close)
    sums = zip((10, 60, 240), trailing_sums(close, (10, 60, 240)), strict=True)
    return {
        "rsi": rsi(close),
        "macd": line,
        "macd_signal": signal,
        "macd_diff": line - signal,
        "bollinger_high": middle + 2.0 * spread,
        "bollinger_low": middle - 2.0 * spread,
        "bollinger_middle": middle,
        **{f"average_{span}": total / span for span, total in sums},
        "vwap": vwaps(bars.high, bars.low, close, bars.volume, (60,))[0],
        "return": returns,
        "volatility": volatility(returns),
    }


def atr_by_the_hub(bars: BarColumns) -> Columns:
    """Average true range (Wilder 1978); not among the features, which have `range` and volatilities, but as they would make it."""
    before = bars.close - change(bars.close)
    return {"atr": exponential_mean(np.maximum(bars.high, before) - np.minimum(bars.low, before), 1 / 14)}


def in_pieces(made_by: Callable[[BarColumns], Columns], bars: BarColumns) -> Columns:
    """As `feature_matrix` goes about it."""
    found: Columns = defaultdict(lambda: np.empty(len(bars.close)))
    for first in range(0, len(bars.close), PIECE):
        seen = slice(max(0, first - WARM_UP), first + PIECE)
        for name, column in made_by(bars.part(seen)).items():
            found[name][first : first + PIECE] = column[first - seen.start :]
    return found


def _check(ours: Columns, theirs: Columns) -> None:
    """That both are the same numbers; volatility is a root mean square with us, a deviation with them."""
    assert ours.keys() == theirs.keys()
    for name, column in ours.items():
        tolerance = 0.2 if name == "volatility" else 1e-6
        np.testing.assert_allclose(
            column[WARM_UP:], np.asarray(theirs[name])[WARM_UP:], atol=tolerance * np.nanstd(column), rtol=tolerance, err_msg=name
        )


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _beside(name: str, beside: str, minutes: int, rounds: list[tuple[float, float]], note: str, at_least: float | None = None) -> Row:
    """Minutes a second, from rounds of seconds."""
    ours, theirs = (minutes / statistics.median(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median(other / mine for mine, other in rounds)
    return Row(name, ours, "minutes/s", theirs, beside, ratio, at_least=at_least, note=note)


def rows(minutes: int = 1_000_000, rounds: int = 3) -> list[Row]:
    """The indicators, all features, and one live call."""
    bars, around = market(minutes), Surroundings(other_close=market(minutes, 1).close)
    frame = pd.DataFrame({name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")})
    _check(in_pieces(by_the_hub, bars), by_ta(frame))
    _check(in_pieces(atr_by_the_hub, bars.part(slice(0, 20_000))), atr_by_ta(frame[:20_000]))
    measured = interleaved(
        rounds,
        lambda: _seconds(lambda: in_pieces(by_the_hub, bars)),
        lambda: _seconds(lambda: by_ta(frame)),
        lambda: _seconds(lambda: by_ta_lib(bars)),
        lambda: _seconds(lambda: in_pieces(atr_by_the_hub, bars)),
        lambda: _seconds(lambda: atr_by_ta(frame)),
        lambda: _seconds(lambda: feature_matrix(bars, around)),
    )
    with_atr = [(hub + our_atr, them + their_atr) for hub, them, _, our_atr, their_atr, _ in measured]
    without, beside_c = [(hub, them) for hub, them, *_ in measured], [(hub, c) for hub, _, c, *_ in measured]
    all_of_them = minutes / statistics.median(each[-1] for each in measured)
    newest, now = bars.part(slice(-LOOK_BACK - 59, None)), around.part(slice(-LOOK_BACK - 59, None))
    live = [_seconds(lambda: feature_matrix(newest, now)) for _ in range(100 * rounds)]
    whole = statistics.median(each[-1] for each in measured)
    return [
        _beside("14 indicators", "ta", minutes, with_atr, "ATR is a loop in Python there", at_least=40),
        _beside("13 indicators", "ta", minutes, without, "the same without ATR"),
        _beside("13 indicators", "TA-Lib", minutes, beside_c, "which is written in C"),
        Row("features", all_of_them, "minutes/s", note=f"all {len(FEATURES)}"),
        Row(
            "one live call",
            statistics.median(live) * 1e3,
            "ms",
            whole * 1e3,
            "the whole batch again",
            whole / statistics.median(live),
            at_most=2.0,
            note="60 rows with their look-back",
        ),
    ]


def main(*settings: int) -> None:
    for row in rows(*settings):
        print(json.dumps(asdict(row)))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
