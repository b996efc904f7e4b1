"""`trainer ingest`: files of bars, whoever wrote them, into the trainer's own months of Parquet."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from hub.messages import SYMBOL_PATTERN
from hub.remote import Login
from trainer import dumped, moods
from trainer.bar_csv import Reading, read_bars
from trainer.intake import Intake, Origin
from trainer.names import Market, market_of, symbols_in
from trainer.series import gaps_in
from trainer.shelf import Shelf, only_writer
from trainer.unpacked import UnusableFile, csv_name

Wanted = Literal["spot", "perp", "any"]
SUFFIXES = (".csv", ".csv.gz", ".zip")
LARGEST_HELD = 4_000_000
"""Bars in memory before what has changed is written."""
_MARKETS = {"spot": "the spot market", "perp": "the perpetual future"}


def ingest(
    paths: Sequence[Path | str], data_dir: Path, symbol: str | None, market: Wanted, now_ms: int, login: Login | None = None
) -> Intake:
    """Take in files, folders of files, and folders of dumps elsewhere (sftp://...; `login` says how).

    One that cannot be used is told in the result, and keeps no other from going in. What is named must go in; what a folder merely holds is
    passed over where its name says that it is something else.
    """
    intake = Intake()
    with only_writer(data_dir):
        clerk = _Clerk(data_dir, symbol, market, now_ms)
        for named in paths:
            path = dumped.brought(named, data_dir, login) if isinstance(named, str) and dumped.is_address(named) else Path(named)
            files = _files_in(path) if path.is_dir() else [path]
            intake.origins += [clerk.take(file, in_folder=path.is_dir()) for file in files]
            if not files:
                intake.origins.append(Origin(name=str(path), error=f"{path}: no file in this folder ends in {', '.join(SUFFIXES)}"))
        clerk.save()
        intake.gaps = {name: gaps_in(shelf.times()) for name, shelf in clerk.shelves.items()}
    return intake


class _PassedOver(Exception):
    """The file is something else than was asked for."""


class _Clerk:
    """Takes file after file to its symbol's shelf."""

    def __init__(self, data_dir: Path, symbol: str | None, market: Wanted, now_ms: int) -> None:
        self.shelves: dict[str, Shelf] = {}
        self._data_dir = data_dir
        self._symbol = symbol
        self._market = market
        self._now_ms = now_ms

    def take(self, file: Path, *, in_folder: bool) -> Origin:
        """What became of the file."""
        origin = Origin(name=str(file))
        try:
            if (table := dumped.table_of(file)) == "sentiment":
                return moods.take(file, self._data_dir)
            if table not in {None, "bars"}:
                raise _PassedOver(f"is the table {table} of a dump: nothing to train on")
            market = self._market_of(file)
            origin.symbol = self._symbol_in_name(file)
            if origin.symbol is None and in_folder:
                raise _PassedOver("its name has no symbol; name it, with --symbol, if it holds bars")
            reading = read_bars(file, self._now_ms)
            origin.symbol = _agreed(file, origin.symbol, reading)
            self._merge(file, origin, reading, market)
        except _PassedOver as reason:
            origin.left_out = str(reason) if in_folder else None
            origin.error = None if in_folder else f"{file}: {reason}"
        except UnusableFile as error:
            origin.error = str(error)
        if sum(shelf.held for shelf in self.shelves.values()) > LARGEST_HELD:
            self.save()
        return origin

    def save(self) -> None:
        """Write the months that have changed."""
        for shelf in self.shelves.values():
            shelf.save()

    def _market_of(self, file: Path) -> Market:
        named = market_of(file)
        if self._market == "any":
            return named or "spot"
        if named not in {None, self._market}:
            raise _PassedOver(
                f"is of {_MARKETS[named or 'spot']}, which has prices of its own; mixed with {_MARKETS[self._market]} it teaches jumps that"
                f" never were: take it with --market {named} into another --data, or mix all the same with --market any"
            )
        return self._market

    def _symbol_in_name(self, file: Path) -> str | None:
        names = symbols_in(file.name) or symbols_in(csv_name(file))
        if self._symbol is None and len(names) > 1:
            raise UnusableFile(f"{file}: its name has more than one symbol ({', '.join(sorted(names))}); say which with --symbol")
        if self._symbol is not None and names and self._symbol not in names:
            raise _PassedOver(f"is of {', '.join(sorted(names))} by its name, not of {self._symbol}")
        return self._symbol or next(iter(names), None)

    def _merge(self, file: Path, origin: Origin, reading: Reading, market: Market) -> None:
        symbol = origin.symbol or ""
        if not len(reading.minutes) and not reading.fallback:
            first = f"; line {reading.rejects[0][0]}: {reading.rejects[0][1]}" if reading.rejects else ""
            raise UnusableFile(f"{file}: none of its {reading.rows} rows is a bar{first}")
        shelf = self.shelves.get(symbol) or Shelf(self._data_dir, symbol, market)
        if self._market != "any" and shelf.market not in {None, market}:
            raise UnusableFile(f"{file}: {shelf.folder} holds bars of the market {shelf.market!r}; choose another --data for {market!r}")
        self.shelves[symbol] = shelf
        tally = shelf.merge(reading.minutes)
        origin.kind, origin.rows, origin.fallback = reading.layout.kind, reading.rows, reading.fallback
        origin.kept, origin.completed = tally.new, tally.completed
        origin.duplicates, origin.revisions = reading.duplicates + tally.duplicates, reading.revisions + tally.revisions
        origin.rejected, origin.reasons = reading.faults.total(), {fault.value: count for fault, count in reading.faults.items()}
        origin.rejects, origin.sources, origin.unsorted = reading.rejects, reading.sources, reading.unsorted
        origin.gaps = gaps_in(reading.minutes.times)


def _agreed(file: Path, named: str | None, reading: Reading) -> str:
    """The symbol by the name and by the file's own column, which must be one."""
    if reading.symbol is None:
        if named is None:
            raise UnusableFile(f"{file}: no symbol in its name; say which with --symbol, such as --symbol BTC/USDT")
        return named
    cell = reading.symbol.replace("/", "-")
    inside = cell if re.fullmatch(SYMBOL_PATTERN, cell) else next(iter(symbols_in(cell)), None)
    if inside is None:
        raise UnusableFile(f"{file}: its column symbol says {reading.symbol[:40]!r}, which is no symbol such as BTC-USDT")
    if named not in {None, inside}:
        raise UnusableFile(f"{file}: is to be of {named}, but its column symbol says {inside}")
    return inside


def _files_in(folder: Path) -> list[Path]:
    files = (file for file in folder.rglob("*") if file.name.lower().endswith(SUFFIXES) and not file.name.startswith("."))
    return sorted(file for file in files if file.is_file())
