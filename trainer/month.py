"""One month of one symbol's bars in a Parquet file: whole, or not there at all."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hub.errors import HubError
from hub.whole_file import sync_folder

NUMBERS = ("open", "high", "low", "close", "volume", "quote_volume", "trades", "taker_buy_volume")
ALWAYS_KNOWN = 5
"""How many of NUMBERS every bar has; of the others it may lack some."""
PATTERN = "[0-9][0-9][0-9][0-9]-[0-9][0-9].parquet"

Times = NDArray[np.int64]
"""Open times, ms since the epoch."""
Column = NDArray[np.float64]

_OPEN_TIME = pa.field("open_time", pa.timestamp("ms", tz="UTC"))
_SCHEMA = pa.schema([_OPEN_TIME, *((name, pa.float64()) for name in NUMBERS)])
_MARKET = b"market"


@dataclass(frozen=True)
class Minutes:
    """Bars of one symbol, ascending in time, each minute at most once."""

    times: Times
    """[n]"""
    values: Column
    """A row for each of NUMBERS, NaN where it is not known, [len(NUMBERS), n]."""

    def __len__(self) -> int:
        return len(self.times)

    def part(self, first: int, end: int) -> "Minutes":
        """Rows [first, end), not copied."""
        return Minutes(self.times[first:end], self.values[:, first:end])


NOTHING = Minutes(np.empty(0, np.int64), np.empty((len(NUMBERS), 0)))


def month_files(folder: Path) -> list[Path]:
    """A symbol's months, ascending."""
    return sorted(folder.glob(PATTERN))


def write_month(file: Path, minutes: Minutes, market: str) -> None:
    """Replace the file in one step, once every byte of the new one is on the disk. OSError where that cannot be."""
    times = pa.array(minutes.times).cast(_OPEN_TIME.type)
    columns = [pa.array(column, from_pandas=True) for column in minutes.values]
    table = pa.Table.from_arrays([times, *columns], schema=_SCHEMA.with_metadata({_MARKET: market.encode()}))
    part = file.with_name(f"{file.name}.part")
    try:
        with part.open("wb") as stream:
            pq.write_table(
                table, stream, compression="zstd", compression_level=3, use_dictionary=False, use_byte_stream_split=list(NUMBERS)
            )
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(file)
    except OSError:
        with suppress(OSError):
            part.unlink()
        raise
    sync_folder(file.parent)


def read_month(file: Path) -> Minutes:
    """HubError where the file is damaged or is not one of ours."""
    table = _table(file, _SCHEMA.names)
    values = np.empty((len(NUMBERS), table.num_rows))
    for row, name in zip(values, NUMBERS, strict=True):
        row[:] = table.column(name).to_numpy()
    return Minutes(_times(table), values)


def read_times(file: Path) -> Times:
    """Only the open times, which is much quicker."""
    return _times(_table(file, [_OPEN_TIME.name]))


def bars_in(file: Path) -> int:
    """How many bars the file holds; only its end is read."""
    rows: int = _metadata(file).num_rows
    return rows


def market_of(file: Path) -> str:
    """Which market's bars the file says it holds."""
    return str((_metadata(file).metadata or {}).get(_MARKET, b"unknown"), "utf-8", "replace")


def _table(file: Path, columns: Sequence[str]) -> pa.Table:
    try:
        table = pq.read_table(file, columns=list(columns), partitioning=None)
        return table.cast(pa.schema([_SCHEMA.field(name) for name in columns]))
    except (pa.ArrowException, ValueError, OSError) as error:
        raise _unreadable(file, error) from error


def _times(table: pa.Table) -> Times:
    times: Times = table.column(_OPEN_TIME.name).cast(pa.int64()).to_numpy()
    return times


def _metadata(file: Path) -> pq.FileMetaData:
    try:
        return pq.read_metadata(file)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> HubError:
    words = (str(error) or type(error).__name__).splitlines()[0]
    return HubError(f"{file}: cannot be read: {words}; remove it, and ingest that month again")
