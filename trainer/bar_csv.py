"""Reads a CSV of bars a block at a time: what is no bar costs itself and no other, and is named with its line."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from hub.market.interval import EARLIEST_MS, MINUTE_MS
from trainer.checks import UNITS, Fault, Rows, check_bars, units_of
from trainer.layout import Layout, layout_of
from trainer.month import ALWAYS_KNOWN, NOTHING, NUMBERS, Column, Minutes, Times
from trainer.unpacked import UnusableFile, blocks

SHOWN = 100
"""Rejected rows that are named one by one; all are counted."""
FEW = 10
"""Bars, of which none follows another within a minute, that make a file one of longer bars."""
STAND_INS = {"source": "coingecko", "quality": "fallback"}
"""Bars that are only a last price; they never train a model."""


@dataclass
class Reading:
    """What one file held."""

    layout: Layout
    minutes: Minutes = NOTHING
    """The good bars; of a minute that came more than once, the last."""
    symbol: str | None = None
    """What the file's own column says, where it has one."""
    rows: int = 0
    fallback: int = 0
    unsorted: int = 0
    duplicates: int = 0
    """Rows that repeat another of the file; `revisions` give the same minute other values."""
    revisions: int = 0
    faults: Counter[Fault] = field(default_factory=Counter)
    rejects: list[tuple[int, str]] = field(default_factory=list)
    """Line and reason of the first ones."""
    sources: Counter[str] = field(default_factory=Counter)


def read_bars(file: Path, now_ms: int) -> Reading:
    """All bars of a file that were over at `now_ms`. UnusableFile where it is no file of one symbol's minutes in one unit of time."""
    reader = None
    for block in blocks(file):
        if reader is None:
            first, _, rest = block.partition(b"\n")
            layout = layout_of(file, first.decode())
            reader = _Reader(file, now_ms, layout)
            reader.take(rest if layout.header else block)
        else:
            reader.take(block)
    if reader is None:
        raise UnusableFile(f"{file}: is empty")
    return reader.result()


class _Reader:
    """One file, as far as it has been read."""

    def __init__(self, file: Path, now_ms: int, layout: Layout) -> None:
        self._file = file
        self._now_ms = now_ms
        self._line = int(layout.header)
        self._unit: str | None = None
        self._parts = [NOTHING]
        self._found = Reading(layout)

    def take(self, block: bytes) -> None:
        """Read the next block of whole lines."""
        if not block:
            return
        rows = self._live(self._rows(block))
        times, values = self._times(rows), np.full((len(NUMBERS), len(rows.lines)), np.nan)
        for place, name in enumerate(NUMBERS):
            if name in rows.cells.column_names:
                values[place] = rows.numbers(name, needed=place < ALWAYS_KNOWN)
        check_bars(rows, values)
        self._found.faults.update(rows.counts())
        self._found.rejects += rows.named(SHOWN - len(self._found.rejects))
        if "source" in rows.cells.column_names:
            counted = pc.value_counts(rows.cells["source"].filter(pa.array(rows.good)))
            self._found.sources.update({source["values"]: source["counts"] for source in counted.to_pylist()})
        self._parts.append(Minutes(times[rows.good], values[:, rows.good]))

    def result(self) -> Reading:
        """All that was good, in order, each minute once."""
        found = self._found
        times = np.concatenate([part.times for part in self._parts])
        values = np.concatenate([part.values for part in self._parts], axis=1)
        found.unsorted = int(np.sum(times[1:] < np.maximum.accumulate(times)[:-1]))
        found.minutes, found.duplicates, found.revisions = _each_once(times, values)
        found.rejects.sort()
        apart = np.diff(found.minutes.times)
        if len(apart) >= FEW and apart.min() > MINUTE_MS:
            raise UnusableFile(
                f"{self._file}: its bars lie {apart.min() // MINUTE_MS} minutes apart or more; bars of one minute are needed"
            )
        return found

    def _rows(self, block: bytes) -> Rows:
        """The block's cells as text; rows of another length are refused at once."""
        skipped: list[int] = []

        def skip(row: pyarrow.csv.InvalidRow) -> str:
            skipped.append(self._line + row.number)
            if len(self._found.rejects) < SHOWN:
                self._found.rejects.append((skipped[-1], f"{row.actual_columns} columns, where there should be {row.expected_columns}"))
            return "skip"

        read = self._found.layout.read
        try:
            cells = pyarrow.csv.read_csv(
                pa.BufferReader(block),
                pyarrow.csv.ReadOptions(use_threads=False, column_names=self._found.layout.columns, block_size=len(block) + 1),
                pyarrow.csv.ParseOptions(quote_char=False, ignore_empty_lines=False, invalid_row_handler=skip),
                pyarrow.csv.ConvertOptions(
                    include_columns=read, column_types=dict.fromkeys(read, pa.string()), strings_can_be_null=False, check_utf8=False
                ),
            )
        except pa.ArrowInvalid as error:
            raise UnusableFile(f"{self._file}:{self._line + 1}: cannot be read as CSV from here on: {error}") from error
        if b'"' in block:
            cells = pa.table({name: pc.replace_substring_regex(cells[name], r'^"([^"]*)"$', r"\1") for name in read})
        count = cells.num_rows + len(skipped)
        lines = np.setdiff1d(np.arange(self._line + 1, self._line + count + 1), skipped, assume_unique=True)
        self._line += count
        self._found.rows += len(skipped)
        if skipped:
            self._found.faults[Fault.COLUMNS] += len(skipped)
        return Rows(cells, lines)

    def _live(self, rows: Rows) -> Rows:
        """Without empty lines and stand-ins; and all of one symbol and of one minute's interval."""
        rows = rows.only(~(rows.equal("open_time", "") & rows.equal("close", "")))
        self._found.rows += len(rows.lines)
        stand_in = np.zeros(len(rows.lines), bool)
        for name, word in STAND_INS.items():
            stand_in |= rows.equal(name, word)
        self._found.fallback += int(stand_in.sum())
        rows = rows.only(~stand_in)
        if "interval" in rows.cells.column_names:
            self._all(rows, "interval", "1m")
        if "symbol" in rows.cells.column_names and len(rows.lines):
            self._found.symbol = self._found.symbol or rows.cells["symbol"][0].as_py()
            self._all(rows, "symbol", self._found.symbol)
        return rows

    def _all(self, rows: Rows, name: str, word: str) -> None:
        other = np.flatnonzero(~rows.equal(name, word))
        if len(other):
            there = rows.cells[name][int(other[0])].as_py()
            raise UnusableFile(
                f"{self._file}:{rows.lines[other[0]]}: {name} is {there[:40]!r}, where {word!r} is needed; a file holds one {name}"
            )

    def _times(self, rows: Rows) -> Times:
        """Open times in ms, whatever the file's unit; it has one only."""
        stamps = rows.stamps("open_time", Fault.TIME)
        units = units_of(stamps)
        rows.refuse(units < 0, Fault.TIME)
        names, sure = list(UNITS), np.flatnonzero(rows.good)
        if len(sure):
            self._unit = self._unit or names[units[sure[0]]]
            odd = sure[units[sure] != names.index(self._unit)]
            if len(odd):
                raise UnusableFile(
                    f"{self._file}:{rows.lines[odd[0]]}: this open time is in {names[units[odd[0]]]}, those before in {self._unit};"
                    " split the file where they change"
                )
        minute = MINUTE_MS * UNITS[self._unit or "milliseconds"] // EARLIEST_MS
        rows.refuse(stamps % minute != 0, Fault.GRID)
        times: Times = stamps // minute * MINUTE_MS
        rows.refuse(times + MINUTE_MS > self._now_ms, Fault.FUTURE)
        if "close_time" in rows.cells.column_names:
            rows.refuse(rows.stamps("close_time", Fault.LENGTH) - stamps != minute - 1, Fault.LENGTH)
        return times


def _each_once(times: Times, values: Column) -> tuple[Minutes, int, int]:
    """In order of time, the last row of each minute; how many rows repeated one, and how many gave it other values."""
    if np.all(times[1:] > times[:-1]):
        return Minutes(times, values), 0, 0
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[:, order]
    again = times[1:] == times[:-1]
    here, before = values[:, 1:], values[:, :-1]
    same = np.all((here == before) | (np.isnan(here) & np.isnan(before)), axis=0)
    last = np.append(~again, True)
    return Minutes(times[last], values[:, last]), int(np.sum(again & same)), int(np.sum(again & ~same))
