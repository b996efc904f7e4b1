"""What a model is shown: the last window from the store, or by name why there is none."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hub.flow import Store
from hub.market.features import LOOK_BACK, BarColumns, Surroundings, feature_matrix
from hub.market.interval import MINUTE_MS, from_ms, minutes_in, to_ms
from hub.market.mood import counted_hour, moods
from hub.market.trailing import Column
from hub.messages import Bar, Sentiment
from plugins.inference.model_file import ModelFacts
from plugins.inference.refusal import Refused


@dataclass(frozen=True)
class Window:
    """Feature rows up to one bar, and what a forecast says of that bar."""

    open_time: int
    last_close: float
    rows: NDArray[np.float32]
    """[window, features], the newest last."""


def read_window(store: Store, symbol: str, facts: ModelFacts, open_time: int) -> Window:
    """The rows that end with the bar that opened then (ms). Refused where the model must not be shown them."""
    if symbol not in facts.symbols:
        raise Refused("symbol", f"model {facts.name} was trained on {', '.join(facts.symbols)}, not on {symbol}")
    facts.refuse_features()
    first = open_time - (LOOK_BACK + facts.window - 2) * MINUTE_MS
    bars = store.bars(symbol, first, open_time)
    _refuse_gap(store, symbol, first, open_time, len(bars))
    _refuse_fallback(bars, facts)
    columns = columns_of(bars)
    rows = feature_matrix(columns, surroundings(store, symbol, facts.other(symbol), columns.open_time))
    return Window(open_time, bars[-1].close, np.ascontiguousarray(rows[-facts.window :]))


def columns_of(bars: Sequence[Bar]) -> BarColumns:
    """As `hub.market.features` reads them."""
    prices = np.array([(bar.open, bar.high, bar.low, bar.close) for bar in bars], np.float64).reshape(-1, 4).T.copy()
    volumes = np.array([(_known(bar.volume), _known(bar.taker_buy_volume)) for bar in bars], np.float64).reshape(-1, 2).T.copy()
    return BarColumns(np.array([to_ms(bar.open_time) for bar in bars], np.int64), *prices, *volumes)


def surroundings(store: Store, symbol: str, other: str | None, open_time: NDArray[np.int64]) -> Surroundings:
    """The other symbol's closes and the news at these minutes, as training knows them."""
    mood, articles = moods(open_time, _news(store, symbol.partition("-")[0], int(counted_hour(open_time[:1])[0])))
    return Surroundings(_closes(store, other, open_time) if other else None, mood, articles)


def _closes(store: Store, other: str, open_time: NDArray[np.int64]) -> Column:
    known = np.array(store.closes(other, int(open_time[0]), int(open_time[-1])), np.float64).reshape(-1, 2)
    found = np.full(len(open_time), np.nan)
    found[(known[:, 0].astype(np.int64) - open_time[0]) // MINUTE_MS] = known[:, 1]
    return found


def _news(store: Store, asset: str, first: int) -> list[tuple[int, float, int]]:
    """From the oldest to the newest word about each hour: the last one counts."""
    found = []
    for fact in store.newest_first(Sentiment, asset=asset):
        if to_ms(fact.hour) < first:
            break
        found.append((to_ms(fact.hour), fact.score, fact.articles))
    return found[::-1]


def _refuse_gap(store: Store, symbol: str, first: int, last: int, present: int) -> None:
    if absent := minutes_in((first, last)) - present:
        oldest = store.oldest_open_time(symbol)
        if oldest is None or oldest > first:
            raise Refused("gap", f"it needs the last {minutes_in((first, last)):,} minutes, and {absent:,} of them are not there yet")
        begins = from_ms(store.missing(symbol, first, last)[0][0])
        raise Refused("gap", f"{absent:,} of the last {minutes_in((first, last)):,} minutes are missing, the first {begins:%Y-%m-%d %H:%M}")


def _refuse_fallback(bars: Sequence[Bar], facts: ModelFacts) -> None:
    for seen in (bars, bars[-facts.window :]):
        stand_ins = sum(bar.quality == "fallback" for bar in seen)
        if stand_ins > facts.most_fallback * len(seen):
            raise Refused(
                "fallback", f"{stand_ins} of the last {len(seen):,} bars are stand-ins; the model takes {facts.most_fallback:.0%}"
            )


def _known(volume: float | None) -> float:
    return np.nan if volume is None else volume
