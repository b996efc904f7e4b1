"""From bars to what is trained on: feature rows, what came of each, and the windows over them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hub.market.features import BarColumns, Surroundings, feature_matrix
from hub.market.interval import MINUTE_MS
from hub.market.outcome import HORIZONS, log_returns, outcomes, volatility
from trainer.series import Stretch
from trainer.windows import Windows

Rows = NDArray[np.float32]
Index = NDArray[np.intp]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Dataset:
    """Every window whose features and outcomes are all there; all arrays are [windows, ...] and ascend by symbol, then time."""

    symbols: tuple[str, ...]
    windows: Windows
    outcome: Numbers
    """[windows, horizons]: log return from the window's last close to the horizon's."""
    volatility: Numbers
    """[windows]: of the last hour, log return a minute."""
    open_time: NDArray[np.int64]
    """[windows]: of the last bar seen, ms."""
    symbol: NDArray[np.int8]
    """[windows]: place in `symbols`."""

    def __len__(self) -> int:
        return len(self.open_time)

    def on_grid(self, chosen: Index, every: int, dense: int = 1) -> Index:
        """Those windows that close on the first `dense` of every `every` minutes."""
        return chosen[(self.open_time[chosen] // MINUTE_MS + 1) % every < dense]

    def rows(self, chosen: Index) -> Rows:
        """[chosen, window, features], in one piece of memory."""
        return self.windows.gather(chosen)[0]

    def newest(self, chosen: Index) -> Rows:
        """[chosen, features]: the last row of each window."""
        return self.windows.newest(chosen)

    def labels(self, chosen: Index) -> Rows:
        """[chosen, horizons]: outcomes in units of what volatility alone would make of the horizon."""
        return (self.outcome[chosen] / self.unit(chosen)).astype(np.float32)

    def unit(self, chosen: Index) -> Numbers:
        """[chosen, horizons]: what volatility alone would make of the horizon, a log return."""
        return self.volatility[chosen, None] * np.sqrt(HORIZONS)


def build_dataset(series: Mapping[str, Sequence[Stretch]], window: int) -> Dataset:
    """Features and outcomes of every stretch of every symbol, each with the other symbol's closes where there are two."""
    names = tuple(sorted(series))
    stretches = [stretch for name in names for stretch in series[name]]
    around = {name: _closes_of(series[names[1 - number]]) if len(names) == 2 else None for number, name in enumerate(names)}
    windows = Windows(
        [feature_matrix(_columns(stretch), _surroundings(stretch, around[stretch.symbol])) for stretch in stretches],
        [outcomes(stretch.close) for stretch in stretches],
        window=window,
    )
    everything = np.arange(len(windows))
    return Dataset(
        names,
        windows,
        windows.gather_labels(everything),
        windows.at_ends([volatility(log_returns(stretch.close)) for stretch in stretches]),
        windows.at_ends([stretch.open_time for stretch in stretches]),
        windows.at_ends([np.full(len(stretch), names.index(stretch.symbol), np.int8) for stretch in stretches]),
    )


def _columns(stretch: Stretch) -> BarColumns:
    return BarColumns(stretch.open_time, stretch.open, stretch.high, stretch.low, stretch.close, stretch.volume, stretch.taker_buy_volume)


def _surroundings(stretch: Stretch, other: tuple[NDArray[np.int64], Numbers] | None) -> Surroundings:
    beside = None
    if other is not None:
        times, closes = other
        place = np.minimum(np.searchsorted(times, stretch.open_time), len(times) - 1)
        beside = np.where(times[place] == stretch.open_time, closes[place], np.nan)
    return Surroundings(beside, stretch.sentiment, stretch.articles)


def _closes_of(stretches: Sequence[Stretch]) -> tuple[NDArray[np.int64], Numbers]:
    return np.concatenate([each.open_time for each in stretches]), np.concatenate([each.close for each in stretches])
