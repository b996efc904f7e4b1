"""Reads a file of minute bars (CSV, gzipped or not), and keeps it small: the very rows an exchange would send, in one piece of memory."""

import gzip
import re
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path

from hub.errors import PermanentError
from hub.market.interval import MINUTE_MS, open_time_ms

NEEDED = ("open_time_ms", "open", "high", "low", "close", "volume")
OPTIONAL = ("quote_volume", "trades", "taker_buy_base", "taker_buy_quote")
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,12})?", re.ASCII)
_WHOLE = re.compile(r"[0-9]{1,16}", re.ASCII)
_FAR = 10**14


class BarFile:
    """The rows of one symbol, ascending, as JSON text; the numbers keep the digits of the file."""

    def __init__(self, files: Sequence[Path]) -> None:
        """Reads `files`, stretches of the same symbol. PermanentError with file and line where they cannot be used."""
        self._times = array("q")
        self._ends = array("q")
        text = bytearray()
        for file in _by_first_row(files):
            for where, row in _rows(file):
                time = _time(row[0], where)
                if self._times and time <= self._times[-1]:
                    raise PermanentError(f"{where}: rows must ascend in time, each minute once")
                self._times.append(time)
                text += _as_json(time, row)
                self._ends.append(len(text))
        if not self._times:
            raise PermanentError(f"{files[0]}: holds no bars")
        self._text = bytes(text)

    def __len__(self) -> int:
        return len(self._times)

    @property
    def first(self) -> int:
        """Open time of the first bar, ms."""
        return self._times[0]

    @property
    def last(self) -> int:
        """Open time of the last bar, ms."""
        return self._times[-1]

    def page(self, first: int, last: int, limit: int, *, newest: bool = False) -> bytes:
        """Up to `limit` rows that opened in [first, last], joined by commas: the oldest of them, or the newest."""
        start, end = bisect_left(self._times, first), bisect_right(self._times, last)
        if newest:
            start = max(start, end - limit)
        end = min(end, start + limit)
        if start >= end:
            return b""
        return self._text[self._ends[start - 1] if start else 0 : self._ends[end - 1]].rstrip(b",")


def _by_first_row(files: Sequence[Path]) -> list[Path]:
    if len(files) == 1:
        return list(files)
    begins = {file: next((int(row[0]) for _, row in _rows(file)), 0) for file in files}
    return sorted(files, key=begins.__getitem__)


def _as_json(time: int, row: Sequence[str]) -> bytes:
    quote_volume, trades, base, quote = (row[column] if len(row) > column else "" for column in (6, 7, 8, 9))
    optional = f"{_text(quote_volume)},{trades or 'null'},{_text(base)},{_text(quote)}"
    return f'[{time},"{row[1]}","{row[2]}","{row[3]}","{row[4]}","{row[5]}",{time + MINUTE_MS - 1},{optional},"0"],'.encode()


def _text(number: str) -> str:
    return f'"{number}"' if number else "null"


def _time(cell: str, where: str) -> int:
    try:
        return open_time_ms(int(cell), _FAR)
    except ValueError as error:
        raise PermanentError(f"{where}: {error}") from error


def _rows(file: Path) -> Iterator[tuple[str, list[str]]]:
    """Place and cells of each row, in the order of NEEDED and OPTIONAL; every cell is a plain number."""
    number = 0
    try:
        with gzip.open(file, "rt", encoding="utf-8") if _is_gzip(file) else file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                cells = line.rstrip("\r\n").split(",")
                if number == 1:
                    header = cells
                    order = _order(file, header)
                elif len(cells) != len(header):
                    raise PermanentError(f"{file}:{number}: {len(cells)} columns, where the header has {len(header)}")
                else:
                    row = ["" if column is None else cells[column] for column in order]
                    _check(row, f"{file}:{number}")
                    yield f"{file}:{number}", row
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise PermanentError(f"{file}: the gzip ends early or is damaged after line {number}; fetch the file again") from error
    except UnicodeDecodeError as error:
        raise PermanentError(f"{file}: is not text after line {number}; CSV or CSV.gz is needed") from error
    except OSError as error:
        raise PermanentError(f"{file}: cannot be read: {error.strerror}") from error


def _is_gzip(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def _order(file: Path, header: list[str]) -> list[int | None]:
    if missing := [name for name in NEEDED if name not in header]:
        raise PermanentError(f"{file}:1: no column {', '.join(missing)}; the header must begin {','.join(NEEDED)}")
    return [header.index(name) if name in header else None for name in (*NEEDED, *OPTIONAL)]


def _check(row: Sequence[str], where: str) -> None:
    for column, cell in enumerate(row):
        needed = column < len(NEEDED)
        fits = _WHOLE.fullmatch(cell) if column in {0, 7} else _NUMBER.fullmatch(cell)
        if not fits and (cell or needed):
            raise PermanentError(f"{where}: {(*NEEDED, *OPTIONAL)[column]} is {cell[:40]!r}, not a plain number")
