"""Bars as CSV: the numbers as the exchange gave them, without trailing zeros."""

import csv
import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO

from hub.dumps import decimal_text
from hub.errors import HubError
from hub.runtime.disk.store import SqliteStore

HEADER = ("open_time_ms", "open", "high", "low", "close", "volume", "quote_volume", "trades", "source")


def export_bars(store: SqliteStore, symbol: str, first: int, last: int, out: Path | None, *, as_json: bool = False) -> None:
    """Write the bars that open in [first, last] (ms) to stdout, or whole to a file or not at all. HubError if there is no such symbol."""
    if symbol not in store.symbols():
        raise HubError(f"no bars of {symbol} in {store.path}; there are: {', '.join(store.symbols()) or 'none yet'}")
    rows = store.export_rows(symbol, first, last)
    if out is None:
        _write(sys.stdout, rows, as_json=as_json)
        return
    part = out.with_name(f"{out.name}.part")
    try:
        with part.open("w", newline="", encoding="utf-8") as file:
            _write(file, rows, as_json=as_json)
            file.flush()
            os.fsync(file.fileno())
        part.replace(out)
    except OSError as error:
        raise HubError(f"{out}: cannot be written: {error.strerror}") from error


def _write(file: TextIO, rows: Any, *, as_json: bool) -> None:
    if as_json:
        json.dump([dict(zip(HEADER, row, strict=True)) for row in rows], file)
        file.write("\n")
        return
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(HEADER)
    for open_time, *numbers, trades, source in rows:
        writer.writerow((open_time, *map(decimal_text, numbers), "" if trades is None else trades, source))
