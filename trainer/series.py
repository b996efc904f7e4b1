"""Bars in memory, as training reads them: stretches of minutes without a gap."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path

import numpy as np

from hub.errors import HubError
from hub.market.interval import MINUTE_MS, Range
from hub.market.mood import moods
from trainer.month import NUMBERS, Column, Minutes, Times, bars_in, month_files, read_month
from trainer.moods import Hour
from trainer.moods import load as load_moods
from trainer.shelf import FOLDER


@dataclass(frozen=True)
class Stretch:
    """Bars of one symbol, each a minute after the one before; columns of equal length, NaN where a number is not known."""

    symbol: str
    open_time: Times
    open: Column
    high: Column
    low: Column
    close: Column
    volume: Column
    quote_volume: Column
    trades: Column
    taker_buy_volume: Column
    """The part of `volume` that buyers took."""
    sentiment: Column | None = None
    """Mood of the hour of news that counts at each bar, NaN where there was none; None where no news are known at all."""
    articles: Column | None = None
    """How many articles that hour had."""

    def __len__(self) -> int:
        return len(self.open_time)

    def after(self, open_time: int) -> "Stretch":
        """The bars that opened after that time (ms)."""
        place = int(np.searchsorted(self.open_time, open_time, side="right"))
        known = (getattr(self, each.name) for each in fields(self)[1:])
        return Stretch(self.symbol, *(None if column is None else column[place:] for column in known))  # type: ignore[arg-type]


def load(data_dir: Path) -> dict[str, list[Stretch]]:
    """All bars by symbol, in stretches that ascend in time. HubError where there are none, or a file is damaged."""
    folder = data_dir / FOLDER
    symbols = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    found = {path.name: stretches for path in symbols if (stretches := _stretches(path, load_moods(data_dir, path.name.partition("-")[0])))}
    if not found:
        raise HubError(f"{folder}: holds no bars yet; `trainer ingest` or `trainer fetch` bring some")
    return found


def newest(series: Mapping[str, Sequence[Stretch]], minutes: int) -> dict[str, list[Stretch]]:
    """The newest `minutes` bars of the symbol that has the most, and what the others have of that time."""
    every = [np.concatenate([stretch.open_time for stretch in stretches]) for stretches in series.values()]
    times = max(every, key=len)
    since = int(times[-minutes]) - 1 if len(times) > minutes else 0
    found = {symbol: [part for stretch in stretches if len(part := stretch.after(since))] for symbol, stretches in series.items()}
    return {symbol: stretches for symbol, stretches in found.items() if stretches}


def gaps_in(times: Times) -> list[Range]:
    """First and last missing minute of every hole between ascending open times."""
    holes = np.flatnonzero(np.diff(times) > MINUTE_MS)
    return [(int(times[hole]) + MINUTE_MS, int(times[hole + 1]) - MINUTE_MS) for hole in holes]


def _stretches(folder: Path, hours: Sequence[Hour]) -> list[Stretch]:
    minutes = _all_months(folder)
    steps = np.diff(minutes.times)
    if np.any(steps <= 0) or np.any(minutes.times % MINUTE_MS):
        raise HubError(f"{folder}: its minutes overlap, or are not on the grid; remove it, and ingest again")
    edges = [0, *(np.flatnonzero(steps != MINUTE_MS) + 1), len(minutes)]
    parts = [minutes.part(first, end) for first, end in pairwise(edges) if end > first]
    return [Stretch(folder.name, part.times, *part.values, *(moods(part.times, hours) if hours else ())) for part in parts]


def _all_months(folder: Path) -> Minutes:
    """One piece of memory, filled month by month: there is never much more than what is returned."""
    files = month_files(folder)
    counts = [bars_in(file) for file in files]
    times, values = np.empty(sum(counts), np.int64), np.empty((len(NUMBERS), sum(counts)))
    end = 0
    for file, count in zip(files, counts, strict=True):
        month = read_month(file)
        times[end : end + count], values[:, end : end + count] = month.times, month.values
        end += count
    return Minutes(times, values)
