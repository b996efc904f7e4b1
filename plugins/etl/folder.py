"""One day's dump on this machine: files by temporary name, sync and rename, the manifest last."""

import csv
import hashlib
import os
from contextlib import suppress
from datetime import date
from pathlib import Path

from pydantic import ValidationError

from hub import Hub, TransientError, __version__
from hub.dumps import MANIFEST, DumpGap, DumpManifest, TableFile
from hub.market.interval import from_ms
from hub.whole_file import sync_folder, write_whole
from plugins.etl.tables import Day, Table, tables


def dump_day(hub: Hub, folder: Path, day: date) -> DumpManifest:
    """Write the dump of a day, again if it is there. TransientError, with the path, where the disk does not take it."""
    place = folder / day.isoformat()
    before = manifest_in(place)
    span = Day.of(day)
    try:
        place.mkdir(parents=True, exist_ok=True)
        _discard(place)
        files = tuple(_written(place, table) for table in tables(hub, span))
        manifest = DumpManifest(
            day=day,
            revision=before.revision + 1 if before else 1,
            made_at=hub.clock.now(),
            hub=__version__,
            files=files,
            gaps=gaps_of(hub, span),
        )
        write_whole(place / MANIFEST, manifest.model_dump_json(indent=1) + "\n")
        sync_folder(folder)
    except OSError as error:
        raise TransientError(f"{place}: the dump cannot be written: {error.strerror}; it is tried again") from error
    return manifest


def manifest_in(place: Path) -> DumpManifest | None:
    """Of a finished dump; None where there is none, or it cannot be read."""
    try:
        return DumpManifest.model_validate_json((place / MANIFEST).read_bytes())
    except (OSError, ValidationError):
        return None


def gaps_of(hub: Hub, day: Day) -> tuple[DumpGap, ...]:
    """What is missing of the day, symbol by symbol, and why."""
    found = []
    for symbol in hub.symbols:
        known = hub.store.gaps(symbol)
        for first, last in hub.store.missing(symbol, *day.minutes):
            begin, end = from_ms(first), from_ms(last)
            reasons = dict.fromkeys(gap.reason for gap in known if gap.first_open_time <= end and gap.last_open_time >= begin)
            found.append(DumpGap(symbol=symbol, first_open_time=begin, last_open_time=end, reason="; ".join(reasons) or "not there yet"))
    return tuple(found)


def remove_day(place: Path) -> None:
    """A dump goes, its manifest first."""
    with suppress(OSError):
        _discard(place)
        for file in place.iterdir():
            file.unlink()
        place.rmdir()


def _written(place: Path, table: Table) -> TableFile:
    file, part = place / table.file, place / f"{table.file}.part"
    count = 0
    with part.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([column.name for column in table.columns])
        for row in table.rows():
            writer.writerow(row)
            count += 1
        stream.flush()
        os.fsync(stream.fileno())
    with part.open("rb") as back:
        digest = hashlib.file_digest(back, "sha256").hexdigest()
    size = part.stat().st_size
    part.replace(file)
    return TableFile(name=table.file, table=table.name, rows=count, bytes=size, sha256=digest, columns=table.columns)


def _discard(place: Path) -> None:
    """From here on the folder is not finished."""
    (place / MANIFEST).unlink(missing_ok=True)
    for part in place.glob("*.part"):
        part.unlink()
