"""What a model sees of the market: one row of named numbers a minute, from the bars known at its close and nothing later.

Prices enter as differences of logarithms, most in units of the symbol's own volatility, so that a row means the same at any price level.
A row needs LOOK_BACK minutes and no more; the first LOOK_BACK - 1 rows of a stretch are NaN.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hub.market.outcome import LEAST_VOLATILITY, log_returns, volatility
from hub.market.trailing import Column, exponential_mean, trailing_deviation, trailing_max, trailing_mean, trailing_min, trailing_sum

LOOK_BACK = 1441
"""Minutes that one row is made of: a day, and the close before it."""
SPANS = (1, 2, 3, 5, 10, 15, 30, 60, 120, 240, 480, 720, 1440)
"""Minutes over which returns are taken."""
OTHER_SPANS = (1, 5, 15, 60)
EMA_TAPS = 240
"""Exponential averages end here: what is older weighs less than 1e-7."""
FORMULAS = 1
"""Counted up whenever a formula changes, so that no model is fed what it was not trained on."""
LIMIT = 12.0
"""No feature lies farther out: a flash crash is not a hundred standard deviations of news."""
_EPS = 1e-12


@dataclass(frozen=True)
class BarColumns:
    """Bars of one symbol, one a minute without a gap, as columns of equal length."""

    open_time: NDArray[np.int64]
    """ms since the epoch."""
    open: Column
    high: Column
    low: Column
    close: Column
    volume: Column
    taker_buy_volume: Column
    """NaN where the source does not know it."""


@dataclass(frozen=True)
class Surroundings:
    """What else was known at the close of each bar; columns as long as the bars'."""

    other_close: Column | None = None
    """Closes of the other symbol at the same minutes, NaN where it has none."""
    sentiment: Column | None = None
    """Mood of the newest full hour of news, -1 to 1, NaN where there was none."""
    articles: Column | None = None
    """How many articles that hour had."""


def feature_columns(bars: BarColumns, around: Surroundings = Surroundings()) -> dict[str, Column]:
    """Every feature by its name, in order; each column as long as the bars, not valid before LOOK_BACK bars.

    What is not known (the other symbol, news) counts as 0.
    """
    return {
        **_moves(bars),
        **_ranges(bars),
        **_indicators(bars),
        **_volumes(bars),
        **_times(bars),
        **_other(len(bars.close), around.other_close),
        **_news(len(bars.close), around),
    }


def feature_matrix(bars: BarColumns, around: Surroundings = Surroundings()) -> NDArray[np.float32]:
    """One row a bar, [rows, len(FEATURES)], as a model is fed; NaN until there are LOOK_BACK bars."""
    columns = feature_columns(bars, around)
    rows = np.empty((len(bars.close), len(columns)), np.float32)
    for number, column in enumerate(columns.values()):
        np.clip(column, -LIMIT, LIMIT, out=rows[:, number], casting="unsafe")
    rows[: LOOK_BACK - 1] = np.nan
    return rows


def _moves(bars: BarColumns) -> dict[str, Column]:
    """Returns over many spans, and how wild the last hour was beside other spans."""
    logs, returns = np.log(bars.close), log_returns(bars.close)
    hour = volatility(returns)
    found = {f"return_{span}": _ago(logs, span) / (hour * np.sqrt(span)) for span in SPANS}
    for span in (5, 15, 240, 1440):
        found[f"volatility_{span}"] = np.log(volatility(returns, span) / hour)
    found["volatility_60"] = np.log(hour / 5e-4)
    return found


def _ranges(bars: BarColumns) -> dict[str, Column]:
    """Where the close lies between the extremes, and how wide those are."""
    hour = volatility(log_returns(bars.close))
    width = bars.high - bars.low
    found = {
        "body": (bars.close - bars.open) / (width + _EPS),
        "wick": (bars.high + bars.low - bars.open - bars.close) / (width + _EPS),
        "range": np.log1p(width / bars.close / hour),
    }
    for span in (15, 60, 240, 1440):
        high, low = trailing_max(bars.high, span), trailing_min(bars.low, span)
        found[f"position_{span}"] = 2.0 * (bars.close - low) / (high - low + _EPS) - 1.0
    return found


def _indicators(bars: BarColumns) -> dict[str, Column]:
    """The classics: RSI, MACD, Bollinger bands, moving averages, VWAP."""
    close, returns = bars.close, log_returns(bars.close)
    hour = volatility(returns) * close
    change = np.diff(close, prepend=close[:1])
    up, down = (exponential_mean(np.maximum(side * change, 0.0), 1 / 14, EMA_TAPS) for side in (1.0, -1.0))
    macd = exponential_mean(close, 2 / 13, EMA_TAPS) - exponential_mean(close, 2 / 27, EMA_TAPS)
    macd[: EMA_TAPS - 1] = 0.0
    mean = trailing_mean(close, 20)
    spread = trailing_deviation(close, 20)
    typical = (bars.high + bars.low + close) / 3.0
    found = {
        "rsi": 2.0 * up / (up + down + _EPS) - 1.0,
        "macd": macd / hour,
        "macd_signal": exponential_mean(macd, 2 / 10, EMA_TAPS) / hour,
        "bollinger": (close - mean) / (2.0 * spread + LEAST_VOLATILITY * close),
        "bollinger_width": np.log((spread + LEAST_VOLATILITY * close) / hour),
    }
    for span in (10, 60, 240):
        found[f"average_{span}"] = (close - trailing_mean(close, span)) / (hour * np.sqrt(span))
    for span in (60, 240):
        vwap = trailing_sum(typical * bars.volume, span) / (trailing_sum(bars.volume, span) + _EPS)
        found[f"vwap_{span}"] = np.where(vwap > 0.0, (close - vwap) / (hour * np.sqrt(span)), 0.0)
    return found


def _volumes(bars: BarColumns) -> dict[str, Column]:
    """How much was traded beside what is usual, and who pressed."""
    volume, direction = bars.volume, np.sign(log_returns(bars.close))
    taker = np.where(np.isfinite(bars.taker_buy_volume), bars.taker_buy_volume, volume / 2.0)
    hour, day = trailing_mean(volume, 60), trailing_mean(volume, 1440)
    found = {
        "volume_1": _ratio(volume, hour),
        "volume_5": _ratio(trailing_mean(volume, 5), hour),
        "volume_60": _ratio(hour, day),
    }
    for span in (5, 60):
        total = trailing_sum(volume, span) + _EPS
        found[f"flow_{span}"] = trailing_sum(direction * volume, span) / total
        found[f"taker_{span}"] = trailing_sum(2.0 * taker - volume, span) / total
    return found


def _ratio(part: Column, usual: Column) -> Column:
    """Logarithm of part / usual, bounded below where nothing was traded."""
    return np.log((part + 0.01 * usual + _EPS) / (1.01 * usual + _EPS))


def _times(bars: BarColumns) -> dict[str, Column]:
    """Where in the hour, the day and the week the next minute lies, UTC, on circles."""
    minute = bars.open_time / 60_000.0 + 1.0
    circles = {"hour": 60.0, "half_day": 720.0, "day": 1440.0, "week": 10_080.0}
    found = {}
    for name, period in circles.items():
        angle = 2.0 * np.pi * np.mod(minute, period) / period
        found[f"{name}_sin"], found[f"{name}_cos"] = np.sin(angle), np.cos(angle)
    return found


def _other(rows: int, other_close: Column | None) -> dict[str, Column]:
    """The other symbol's moves, in units of its own volatility."""
    if other_close is None:
        return {f"other_{span}": np.zeros(rows) for span in OTHER_SPANS}
    known = np.isfinite(other_close) & (other_close > 0.0)
    logs = np.log(np.where(known, other_close, 1.0))
    lacking = trailing_sum(np.where(known, 0.0, 1.0), 61)
    hour = volatility(np.diff(logs, prepend=logs[:1]))
    return {f"other_{span}": np.where(lacking == 0.0, _ago(logs, span) / (hour * np.sqrt(span)), 0.0) for span in OTHER_SPANS}


def _news(rows: int, around: Surroundings) -> dict[str, Column]:
    """The mood of the news and how much there was of it: none is neutral, with weight zero."""
    nothing = np.zeros(rows)
    return {
        "sentiment": nothing if around.sentiment is None else np.nan_to_num(around.sentiment),
        "articles": nothing if around.articles is None else np.log1p(np.nan_to_num(around.articles)),
    }


def _ago(x: Column, span: int) -> Column:
    """Difference of each row and the one `span` before; NaN where there is none."""
    out = np.full(len(x), np.nan)
    out[span:] = x[span:] - x[:-span]
    return out


def _names() -> tuple[str, ...]:
    still = np.ones(2)
    return tuple(feature_columns(BarColumns(np.zeros(2, np.int64), still, still, still, still, still, still)))


FEATURES = _names()
"""The feature set: names in order. A model carries them, and their hash."""
FEATURE_HASH = hashlib.sha256(f"{FORMULAS}:{','.join(FEATURES)}".encode()).hexdigest()
