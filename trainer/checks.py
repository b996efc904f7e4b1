"""Rows of text into numbers, many at a time and strictly: a row that cannot be a bar is marked with the first thing wrong with it."""

import re
from collections.abc import Mapping
from enum import Enum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hub.market.interval import EARLIEST_MS
from trainer.month import ALWAYS_KNOWN, NUMBERS, Column, Times

NUMBER = r"^[0-9]{1,15}(\.[0-9]{1,12})?$"
"""Digits, as exchanges send them: no sign, no exponent, no `nan`, no `1_000`."""
COUNT = r"^[0-9]{1,15}(\.0{1,12})?$"
STAMP = r"^[0-9]{1,16}$"
UNITS = {"seconds": EARLIEST_MS // 1000, "milliseconds": EARLIEST_MS, "microseconds": EARLIEST_MS * 1000}
"""The least time stamp that each unit may have (the beginning of 2017); ten times that is the end."""

Mask = NDArray[np.bool_]


class Fault(Enum):
    """Why a row cannot be a bar."""

    COLUMNS = "wrong number of columns"
    TIME = "open time is no time"
    GRID = "open time is not on a whole minute"
    FUTURE = "the minute is not over yet"
    LENGTH = "does not close at the end of its minute"
    NUMBER = "not a plain number"
    PRICE = "a price is not positive"
    SHAPE = "open or close is not between low and high"
    TAKER = "takers bought more than was traded"


_FAULTS = list(Fault)


class Rows:
    """Cells as text, and what is wrong with which row."""

    def __init__(self, cells: pa.Table, lines: Times) -> None:
        """`lines`: each row's place in its file."""
        self.cells = cells
        self.lines = lines
        self._faults = np.zeros(len(lines), np.int8)
        self._none = np.zeros(len(lines), bool)

    @property
    def good(self) -> Mask:
        """Rows with which nothing is wrong, so far."""
        good: Mask = self._faults == 0
        return good

    def only(self, rows: Mask) -> "Rows":
        """These rows alone."""
        return self if rows.all() else Rows(self.cells.filter(pa.array(rows)), self.lines[rows])

    def equal(self, name: str, word: str) -> Mask:
        """Rows that have this text in that column; none where there is no such column."""
        found: Mask = pc.equal(self.cells[name], word).to_numpy() if name in self.cells.column_names else self._none
        return found

    def refuse(self, rows: Mask, fault: Fault) -> None:
        """Mark rows, but for those that were marked before."""
        self._faults[rows & self.good] = _FAULTS.index(fault) + 1

    def stamps(self, name: str, fault: Fault) -> Times:
        """A column of whole numbers; 0 where it is none."""
        found: Times = self._parsed(name, STAMP, fault, pa.int64(), self._none).fill_null(0).to_numpy()
        return found

    def numbers(self, name: str, *, needed: bool) -> Column:
        """A column of plain numbers; NaN where it is empty, if it may be."""
        empty = self._none if needed else self.equal(name, "")
        found: Column = self._parsed(name, COUNT if name == "trades" else NUMBER, Fault.NUMBER, pa.float64(), empty).to_numpy()
        return found

    def counts(self) -> dict[Fault, int]:
        """How many rows have which fault."""
        counts = np.bincount(self._faults, minlength=len(_FAULTS) + 1)[1:]
        return {fault: int(count) for fault, count in zip(_FAULTS, counts, strict=True) if count}

    def named(self, most: int) -> list[tuple[int, str]]:
        """Line and reason of the first `most` rows that are not good."""
        found = []
        for row in np.flatnonzero(self._faults)[:most]:
            cells = {name: values[0] for name, values in self.cells.slice(int(row), 1).to_pydict().items()}
            found.append((int(self.lines[row]), _in_words(_FAULTS[self._faults[row] - 1], cells)))
        return found

    def _parsed(self, name: str, pattern: str, fault: Fault, kind: pa.DataType, empty: Mask) -> pa.ChunkedArray:
        cells = self.cells[name]
        plain: Mask = pc.match_substring_regex(cells, pattern).to_numpy()
        if not plain.all():
            self.refuse(~plain & ~empty, fault)
            cells = pc.if_else(pa.array(plain), cells, None)
        return cells.cast(kind)


def units_of(stamps: Times) -> NDArray[np.int64]:
    """The place in UNITS of each time stamp's unit, told by its magnitude; -1 where there is none."""
    fits = [(least <= stamps) & (stamps < 10 * least) for least in UNITS.values()]
    return np.select(fits, range(len(UNITS)), -1)


def check_bars(rows: Rows, values: Column) -> None:
    """Mark the rows whose numbers, [len(NUMBERS), n], cannot be those of a bar."""
    opened, high, low, closed, volume, *_, taken = values
    rows.refuse(np.any(values[:4] <= 0, axis=0), Fault.PRICE)
    rows.refuse((low > np.minimum(opened, closed)) | (high < np.maximum(opened, closed)), Fault.SHAPE)
    rows.refuse(taken > volume, Fault.TAKER)


def _in_words(fault: Fault, cells: Mapping[str, str]) -> str:
    shown = {name: repr(cell[:40]) for name, cell in cells.items()}
    if fault is Fault.TIME:
        return f"open_time is {shown['open_time']}: neither seconds, milliseconds nor microseconds since 1970, after 2017"
    if fault in {Fault.GRID, Fault.FUTURE}:
        return f"open_time is {shown['open_time']}: {fault.value.removeprefix('open time ')}"
    if fault is Fault.LENGTH:
        return f"opens at {shown['open_time']} and closes at {shown['close_time']}: {fault.value}"
    if fault is Fault.NUMBER:
        name = next(
            name for place, name in enumerate(NUMBERS) if name in cells and not _plain(name, cells[name], needed=place < ALWAYS_KNOWN)
        )
        return f"{name} is {shown[name]}, {fault.value}"
    names = ("taker_buy_volume", "volume") if fault is Fault.TAKER else NUMBERS[:4]
    return f"{fault.value}: {', '.join(f'{name} {cells[name]}' for name in names)}"


def _plain(name: str, cell: str, *, needed: bool) -> bool:
    return (not cell and not needed) or re.fullmatch(COUNT if name == "trades" else NUMBER, cell, re.ASCII) is not None
