"""The mood of every hour, as the hub told it: kept beside the bars, one CSV an asset, read into the same features."""

import csv
from collections.abc import Iterable
from datetime import datetime
from math import isfinite
from pathlib import Path

from hub.errors import HubError
from hub.market.interval import to_ms
from hub.market.mood import HOUR_MS
from hub.whole_file import write_whole
from trainer.intake import Origin
from trainer.unpacked import UnusableFile

FOLDER = "sentiment"
Hour = tuple[int, float, int]
"""Start (ms), mood, articles."""
_HEADER = ["asset", "hour", "score", "articles", "scorer"]


def take(file: Path, data_dir: Path) -> Origin:
    """Take in the table `sentiment` of a dump; the newer word about an hour counts. UnusableFile with the line where it is none."""
    origin = Origin(name=str(file), kind="sentiment")
    found: dict[str, dict[int, Hour]] = {}
    with file.open(encoding="utf-8", newline="") as stream:
        reader = csv.reader(stream)
        if next(reader, None) != _HEADER:
            raise UnusableFile(f"{file}:1: the header of the table sentiment is {','.join(_HEADER)}")
        for row in reader:
            asset, hour = _hour(file, reader.line_num, row)
            found.setdefault(asset, {})[hour[0]] = hour
            origin.rows += 1
    for asset, hours in found.items():
        known = {hour[0]: hour for hour in load(data_dir, asset)}
        origin.kept += len(hours.keys() - known.keys())
        origin.duplicates += sum(known.get(start) == hour for start, hour in hours.items())
        origin.revisions += sum(start in known and known[start] != hour for start, hour in hours.items())
        _write(data_dir / FOLDER / f"{asset}.csv", (known | hours).values())
    return origin


def load(data_dir: Path, asset: str) -> list[Hour]:
    """All hours that are known of an asset, ascending. HubError where the file is damaged."""
    file = data_dir / FOLDER / f"{asset}.csv"
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            return [(int(start), float(score), int(articles)) for start, score, articles in csv.reader(stream)]
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise HubError(f"{file}: cannot be read ({error}); delete it, and take the dumps in again") from error


def _hour(file: Path, line: int, row: list[str]) -> tuple[str, Hour]:
    try:
        asset, hour, score, articles, _ = row
        start, mood, count = to_ms(datetime.fromisoformat(hour)), float(score), int(articles)
        if not asset.isalnum() or start % HOUR_MS or not (isfinite(mood) and -1.0 <= mood <= 1.0) or count < 0:
            raise ValueError
    except (ValueError, TypeError) as error:
        raise UnusableFile(f"{file}:{line}: is no hour's mood: {','.join(row)[:100]}") from error
    return asset, (start, mood, count)


def _write(file: Path, hours: Iterable[Hour]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, "".join(f"{start},{score},{articles}\n" for start, score, articles in sorted(hours)))
    except OSError as error:
        raise HubError(f"{file}: cannot be written: {error.strerror}") from error
