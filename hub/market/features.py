"""What a model sees of the market: one row of named numbers a minute, from the bars known at its close and nothing later.

Prices enter as differences of logarithms, most in units of the symbol's own volatility, so that a row means the same at any price level.
A row needs LOOK_BACK minutes and no more; the first LOOK_BACK - 1 rows of a stretch are NaN. It is the same to the bit whatever came
before (on one kind of processor: another's logarithm may differ in its last digit). docs/features.md says each feature in words.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hub.market.indicators import TINY, bollinger, macd, rsi, vwaps
from hub.market.interval import MINUTE_MS
from hub.market.outcome import LEAST_VOLATILITY, volatilities, volatility
from hub.market.trailing import Column, change, trailing_maxima, trailing_minima, trailing_sums

LOOK_BACK = 1441
"""Minutes that one row is made of: a day, and the close before it."""
SPANS = (1, 2, 3, 5, 10, 15, 30, 60, 120, 240, 480, 720, 1440)
"""Minutes over which returns are taken."""
OTHER_SPANS = (1, 5, 15, 60)
FORMULAS = 2
"""Counted up whenever a formula changes, so that no model is fed what it was not trained on."""
LIMIT = 12.0
"""No feature lies farther out: a flash crash is not a hundred standard deviations of news."""
PIECE = 16_384
"""Rows computed at a time, so that what lies between stays in the processor's cache."""


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
    """NaN where the source does not know it, which counts as nothing traded."""
    taker_buy_volume: Column
    """NaN where the source does not know it."""

    def part(self, rows: slice) -> "BarColumns":
        """These rows alone."""
        return BarColumns(
            self.open_time[rows],
            self.open[rows],
            self.high[rows],
            self.low[rows],
            self.close[rows],
            self.volume[rows],
            self.taker_buy_volume[rows],
        )


@dataclass(frozen=True)
class Surroundings:
    """What else was known at the close of each bar; columns as long as the bars'."""

    other_close: Column | None = None
    """Closes of the other symbol at the same minutes, NaN where it has none."""
    sentiment: Column | None = None
    """Mood of the newest full hour of news, -1 to 1, NaN where there was none."""
    articles: Column | None = None
    """How many articles that hour had."""

    def part(self, rows: slice) -> "Surroundings":
        """These rows alone."""
        known = (None if column is None else column[rows] for column in (self.other_close, self.sentiment, self.articles))
        return Surroundings(*known)


def feature_matrix(bars: BarColumns, around: Surroundings = Surroundings()) -> NDArray[np.float32]:
    """One row a bar, [rows, len(FEATURES)], as a model is fed; NaN until there are LOOK_BACK bars.

    ValueError where the bars are not one a minute, or a price or volume cannot be.
    """
    _refuse(bars)
    rows = np.empty((len(bars.close), len(FEATURES)), np.float32)
    rows[: LOOK_BACK - 1] = np.nan
    for first in range(0, len(rows) - LOOK_BACK + 1, PIECE):
        seen = slice(first, first + LOOK_BACK - 1 + PIECE)
        piece = rows[seen][LOOK_BACK - 1 :]
        for number, column in enumerate(feature_columns(bars.part(seen), around.part(seen)).values()):
            piece[:, number] = column[LOOK_BACK - 1 :]
        np.clip(piece, -LIMIT, LIMIT, out=piece)
    return rows


def feature_columns(bars: BarColumns, around: Surroundings = Surroundings()) -> dict[str, Column]:
    """Every feature by its name, in order; each column as long as the bars, not valid before LOOK_BACK bars.

    What is not known (the other symbol, news) counts as 0.
    """
    logs = np.log(bars.close)
    returns = change(logs)
    spans = (5, 15, 60, 240, 1440)
    wild = dict(zip(spans, volatilities(returns, spans), strict=True))
    hour, volume = wild.pop(60), _known(bars.volume)
    return {
        **{f"return_{span}": change(logs, span) / (hour * span**0.5) for span in SPANS},
        **{f"volatility_{span}": np.log(than / hour) for span, than in wild.items()},
        "volatility_60": np.log(hour / 5e-4),
        **_ranges(bars, hour),
        **_indicators(bars, hour * bars.close, volume),
        **_volumes(volume, np.sign(returns) * volume, _known(np.clip(2.0 * bars.taker_buy_volume - bars.volume, -volume, volume))),
        **_times(bars.open_time),
        **_other(len(logs), around.other_close),
        **_news(len(logs), around),
    }


def _ranges(bars: BarColumns, hour: Column) -> dict[str, Column]:
    """Where the close lies between the extremes, and how wide those are."""
    open_, high, low, close = bars.open, bars.high, bars.low, bars.close
    width = high - low
    found = {
        "body": (close - open_) / (width + TINY),
        "wick": ((high - open_) - (close - low)) / (width + TINY),
        "range": np.log1p(width / (close * hour)),
    }
    spans = (15, 60, 240, 1440)
    for span, top, bottom in zip(spans, trailing_maxima(high, spans), trailing_minima(low, spans), strict=True):
        found[f"position_{span}"] = ((close - bottom) - (top - close)) / (top - bottom + TINY)
    return found


def _indicators(bars: BarColumns, unit: Column, volume: Column) -> dict[str, Column]:
    """The classics, with prices in units of what the last hour's volatility makes of a minute."""
    close = bars.close
    line, signal = macd(close)
    middle, spread = bollinger(close)
    least = LEAST_VOLATILITY * close
    found = {
        "rsi": rsi(close) / 50.0 - 1.0,
        "macd": line / unit,
        "macd_signal": signal / unit,
        "bollinger": (close - middle) / (2.0 * spread + least),
        "bollinger_width": np.log((spread + least) / unit),
    }
    for span, total in zip((10, 60, 240), trailing_sums(close, (10, 60, 240)), strict=True):
        found[f"average_{span}"] = (close - total / span) / (unit * span**0.5)
    for span, vwap in zip((60, 240), vwaps(bars.high, bars.low, close, volume, (60, 240)), strict=True):
        found[f"vwap_{span}"] = (close - vwap) / (unit * span**0.5)
    return found


def _volumes(volume: Column, flow: Column, taker: Column) -> dict[str, Column]:
    """How much was traded beside what is usual, and who pressed: by the way the price went, and by who took the other's offer."""
    five, hour, day = trailing_sums(volume, (5, 60, 1440))
    found = {
        "volume_1": _ratio(volume, hour / 60),
        "volume_5": _ratio(five / 5, hour / 60),
        "volume_60": _ratio(hour / 60, day / 1440),
    }
    flows, takers = trailing_sums(flow, (5, 60)), trailing_sums(taker, (5, 60))
    for span, total, went, took in zip((5, 60), (five, hour), flows, takers, strict=True):
        found[f"flow_{span}"] = went / (total + TINY)
        found[f"taker_{span}"] = took / (total + TINY)
    return found


def _ratio(part: Column, usual: Column) -> Column:
    """Logarithm of part / usual, bounded below where nothing was traded."""
    return np.log((part + 0.01 * usual + TINY) / (1.01 * usual + TINY))


def _times(open_time: NDArray[np.int64]) -> dict[str, Column]:
    """Where in the hour, the day and the week the next minute lies, UTC, on circles."""
    minute_of_week = (open_time // MINUTE_MS + 1) % 10_080
    return {name: circle[minute_of_week] for name, circle in _circles().items()}


@lru_cache(maxsize=1)
def _circles() -> dict[str, Column]:
    minute, found = np.arange(10_080), {}
    for name, period in {"hour": 60, "half_day": 720, "day": 1440, "week": 10_080}.items():
        angle = 2.0 * np.pi * (minute % period) / period
        found[f"{name}_sin"], found[f"{name}_cos"] = np.sin(angle), np.cos(angle)
    return found


def _other(rows: int, other_close: Column | None) -> dict[str, Column]:
    """The other symbol's moves, in units of its own volatility; 0 where a close of its last hour is not known."""
    if other_close is None:
        return {f"other_{span}": np.zeros(rows) for span in OTHER_SPANS}
    logs = np.log(np.where((other_close > 0.0) & (other_close < np.inf), other_close, np.nan))
    hour = volatility(change(logs))
    return {f"other_{span}": _known(change(logs, span) / (hour * span**0.5)) for span in OTHER_SPANS}


def _news(rows: int, around: Surroundings) -> dict[str, Column]:
    """The mood of the news and how much there was of it: none is neutral, with weight zero."""
    nothing = np.zeros(rows)
    return {
        "sentiment": nothing if around.sentiment is None else _known(around.sentiment),
        "articles": nothing if around.articles is None else np.log1p(np.maximum(_known(around.articles), 0.0)),
    }


def _known(x: Column) -> Column:
    """What is not a number counts as 0."""
    return np.where(np.isfinite(x), x, 0.0)


def _refuse(bars: BarColumns) -> None:
    """ValueError where there is a gap, or a number that cannot be: either would be in every row of the next day."""
    if (np.diff(bars.open_time) != MINUTE_MS).any():
        raise ValueError("the bars are not one a minute: features never cross a gap, pass each stretch alone")
    for name, prices in {"open": bars.open, "high": bars.high, "low": bars.low, "close": bars.close}.items():
        if len(prices) and not 0.0 < prices.min() <= prices.max() < np.inf:
            raise ValueError(f"among the {name} prices is one that is not a positive number")
    if (bars.low > np.minimum(bars.open, bars.close)).any() or (bars.high < np.maximum(bars.open, bars.close)).any():
        raise ValueError("among the bars is an impossible one: open and close must lie between low and high")
    if (bars.volume < 0.0).any():
        raise ValueError("among the volumes is one below 0")


def feature_hash(names: Sequence[str], formulas: int) -> str:
    """Of what a row is: a model made for one hash is never fed rows of another."""
    return hashlib.sha256(f"{formulas}:{','.join(names)}".encode()).hexdigest()


def _names() -> tuple[str, ...]:
    nothing = np.empty(0)
    return tuple(feature_columns(BarColumns(np.empty(0, np.int64), nothing, nothing, nothing, nothing, nothing, nothing)))


FEATURES = _names()
"""The feature set: names in order. A model carries them, and their hash."""
FEATURE_HASH = feature_hash(FEATURES, FORMULAS)
