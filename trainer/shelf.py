"""The way to disk: bars of one symbol are merged into the months that are there, the better word about each minute winning."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from hub.errors import HubError
from trainer.month import ALWAYS_KNOWN, NOTHING, Minutes, Times, market_of, month_files, read_month, read_times, write_month

FOLDER = "bars"


@dataclass
class Tally:
    """What became of bars that were brought to the shelf; each is counted once."""

    new: int = 0
    completed: int = 0
    """The bar was there; a number that it lacked became known."""
    duplicates: int = 0
    """The bar was there, with the same values."""
    revisions: int = 0
    """The bar was there with other values, and was replaced."""

    def add(self, other: "Tally") -> None:
        """Count in what became of more bars."""
        self.new += other.new
        self.completed += other.completed
        self.duplicates += other.duplicates
        self.revisions += other.revisions


class Shelf:
    """The bars of one symbol. What is merged is in memory until `save`."""

    def __init__(self, data_dir: Path, symbol: str, market: str) -> None:
        """`market`: written into every month, so that bars of another market are not mixed in unasked."""
        self.folder = data_dir / FOLDER / symbol
        self.new_market = market
        self._months: dict[str, Minutes] = {}
        self._changed: set[str] = set()

    @property
    def market(self) -> str | None:
        """Whose bars stand here; None where there are none yet."""
        file = next(iter(month_files(self.folder)), None)
        return None if file is None else market_of(file)

    @property
    def held(self) -> int:
        """How many bars are in memory."""
        return sum(map(len, self._months.values()))

    def merge(self, minutes: Minutes) -> Tally:
        """Take in bars. The newer word about a minute counts; what only the older one knew of the same bar is kept."""
        tally = Tally()
        for month, part in _by_month(minutes):
            file = self.folder / f"{month}.parquet"
            there = self._months[month] if month in self._months else read_month(file) if file.exists() else NOTHING
            self._months[month], change = merged(there, part)
            tally.add(change)
            if change.new or change.completed or change.revisions:
                self._changed.add(month)
        return tally

    def save(self) -> None:
        """Write the months that have changed, and let go of all. HubError where the disk will not have them."""
        try:
            if self._changed:
                self.folder.mkdir(parents=True, exist_ok=True)
            for month in sorted(self._changed):
                write_month(self.folder / f"{month}.parquet", self._months[month], self.new_market)
        except OSError as error:
            raise HubError(f"{self.folder}: cannot be written: {error.strerror or error}; call it again once that is mended") from error
        self._months, self._changed = {}, set()

    def times(self) -> Times:
        """Open times of all that is saved."""
        return np.concatenate([NOTHING.times, *map(read_times, month_files(self.folder))])


def merged(old: Minutes, new: Minutes) -> tuple[Minutes, Tally]:
    """Both in one, and what became of the new."""
    known_minute = np.isin(new.times, old.times, assume_unique=True)
    at = np.searchsorted(old.times, new.times[known_minute])
    before, after = old.values[:, at], new.values[:, known_minute]
    told, knew = ~np.isnan(after), ~np.isnan(before)
    other_bar = np.any(before[:ALWAYS_KNOWN] != after[:ALWAYS_KNOWN], axis=0)
    revised = np.any(told & knew & (before != after), axis=0)
    completed = ~revised & np.any(told & ~knew, axis=0)
    values = old.values.copy()
    values[:, at] = np.where(told | other_bar, after, before)
    times = np.concatenate([old.times, new.times[~known_minute]])
    order = np.argsort(times, kind="stable")
    values = np.concatenate([values, new.values[:, ~known_minute]], axis=1)[:, order]
    return Minutes(times[order], values), Tally(
        len(new) - len(at), int(completed.sum()), len(at) - int(completed.sum()) - int(revised.sum()), int(revised.sum())
    )


@contextmanager
def only_writer(data_dir: Path) -> Iterator[None]:
    """Hold the folder: two programs that merge into one month would undo each other's work."""
    try:
        (data_dir / FOLDER).mkdir(parents=True, exist_ok=True)
        descriptor = os.open(data_dir / FOLDER / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise HubError(f"{data_dir}: cannot be written: {error.strerror}; choose another folder with --data") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise HubError(f"{data_dir}: another `trainer ingest` or `trainer fetch` is writing there; wait until it is done") from error
        yield
    finally:
        os.close(descriptor)


def _by_month(minutes: Minutes) -> Iterator[tuple[str, Minutes]]:
    months = minutes.times.astype("datetime64[ms]").astype("datetime64[M]")
    starts = np.flatnonzero(months[1:] != months[:-1]) + 1
    for first, end in pairwise([0, *starts, len(months)]):
        if end > first:
            yield str(months[first]), minutes.part(first, end)
