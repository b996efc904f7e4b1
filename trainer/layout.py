"""Which column of a CSV is what: the hub's exports and dumps, Binance's public dumps, and plain tables of bars."""

from dataclasses import dataclass
from pathlib import Path

from trainer.month import ALWAYS_KNOWN, NUMBERS
from trainer.unpacked import UnusableFile

NEEDED = ("open_time", *NUMBERS[:ALWAYS_KNOWN])
OF_THE_HUB = ("source", "quality", "symbol", "interval")
"""Columns of text; only the hub writes them."""
_DUMP = (*NEEDED, "close_time", "quote_volume", "trades", "taker_buy_volume", "taker_buy_quote", "ignore")
_ALIASES = {"open_time_ms": "open_time", "count": "trades", "taker_buy_base": "taker_buy_volume"}
_READ = {*NEEDED, *NUMBERS, *OF_THE_HUB, "close_time"}


@dataclass(frozen=True)
class Layout:
    """The columns of one file, in its order, by our names."""

    kind: str
    """`hub`, `binance` or `plain`."""
    columns: tuple[str, ...]
    header: bool

    @property
    def read(self) -> list[str]:
        """The columns that are of use."""
        return [name for name in self.columns if name in _READ]


def layout_of(file: Path, first_line: str) -> Layout:
    """UnusableFile, saying what is missing, where the first line is neither a header of bars nor a row of a public dump."""
    cells = [cell.strip().strip('"').lower() for cell in first_line.rstrip("\r\n").split(",")]
    if cells[0].isdecimal():
        if len(cells) != len(_DUMP):
            raise UnusableFile(
                f"{file}:1: {len(cells)} columns and no header; a file without header is a public dump of Binance, with {len(_DUMP)}"
            )
        return Layout("binance", _DUMP, header=False)
    columns = tuple(_ALIASES.get(cell, cell) for cell in cells)
    if missing := [name for name in NEEDED if name not in columns]:
        raise UnusableFile(f"{file}:1: no column {', '.join(missing)}; the header must have open_time_ms,{','.join(NEEDED[1:])}")
    if twice := [name for name in dict.fromkeys(columns) if name in _READ and columns.count(name) > 1]:
        raise UnusableFile(f"{file}:1: more than one column is {', '.join(twice)}")
    kind = "binance" if "close_time" in columns else "hub" if set(columns) & set(OF_THE_HUB) else "plain"
    named = tuple(name if name in _READ else f"column {number}" for number, name in enumerate(columns, 1))
    return Layout(kind, named, header=True)
