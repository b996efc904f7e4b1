"""Keeps a damaged store for whoever wants to look, and takes over into a new one what can still be read of it."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from itertools import count, pairwise
from pathlib import Path
from typing import Any

Row = tuple[Any, ...]

MOST_AT_ONCE = 512
FARTHEST = 2**40
"""How far beyond a hole in the file the next row is looked for, in `seq`."""


def move_aside(path: Path, now: datetime) -> Path:
    """Put the file, with its log, into the folder `damaged` beside it; returns where it is now."""
    folder = path.parent / "damaged"
    folder.mkdir(exist_ok=True)
    names = (folder / f"{path.stem}-{now:%Y%m%dT%H%M%SZ}-{number}.db" for number in count())
    target = next(name for name in names if not name.exists())
    for ending in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + ending).rename(f"{target}{ending}")
    return target


def salvage(run: Any, damaged: sqlite3.Connection, is_sound: Callable[[str, Row], bool]) -> int:
    """Copy every sound row through `run`, the new store's open transaction; returns how many bars and other facts there were."""
    for table in ("bar", "fact"):
        for rows in _readable(damaged, f"SELECT * FROM {table} WHERE seq > ? ORDER BY seq LIMIT ?"):
            _take_over(run, table, [row for row in rows if is_sound(table, row)])
    for table in ("gap", "cursor", "frontier"):
        _take_over(run, table, [row for row in _all(damaged, f"SELECT * FROM {table}") or [] if is_sound(table, row)])
    [(newest,)] = run("SELECT max(0, coalesce((SELECT max(seq) FROM bar), 0), coalesce((SELECT max(seq) FROM fact), 0))")
    run("UPDATE meta SET value = ? WHERE key = 'seq'", (newest,))
    run("UPDATE cursor SET seq = min(seq, ?)", (newest,))
    run(
        "DELETE FROM frontier WHERE NOT EXISTS"
        " (SELECT 1 FROM bar WHERE bar.symbol = frontier.symbol AND bar.open_time >= frontier.open_time)"
    )
    [(saved,)] = run("SELECT (SELECT count(*) FROM bar) + (SELECT count(*) FROM fact)")
    return int(saved)


def _take_over(run: Any, table: str, rows: list[Row]) -> None:
    places = len(list(run(f"PRAGMA table_info({table})")))
    for row in rows:
        if len(row) == places:  # a file of an older hub may have fewer
            with suppress(sqlite3.IntegrityError):
                run(f"INSERT OR IGNORE INTO {table} VALUES ({', '.join('?' * places)})", row)


def _readable(damaged: sqlite3.Connection, sql: str) -> Iterator[list[Any]]:
    """The table's rows in their order, around what cannot be read."""
    at, limit = -1, MOST_AT_ONCE
    while True:
        rows = _rows(damaged, sql, at, limit)
        if rows:
            yield rows
            at, limit = rows[-1][0], min(2 * limit, MOST_AT_ONCE)
        elif rows is not None:
            return
        elif limit > 1:
            limit = 1
        elif (beyond := _beyond(damaged, sql, at)) is None:
            return
        else:
            at = beyond


def _beyond(damaged: sqlite3.Connection, sql: str, hole: int) -> int | None:
    """The least `seq` from which on a row can be read again."""
    step = 1
    while _rows(damaged, sql, hole + step, 1) is None:
        step *= 2
        if step > FARTHEST:
            return None
    unreadable, readable = hole + step // 2, hole + step
    while readable - unreadable > 1:
        middle = (unreadable + readable) // 2
        if _rows(damaged, sql, middle, 1) is None:
            unreadable = middle
        else:
            readable = middle
    return readable


def _rows(damaged: sqlite3.Connection, sql: str, after: int, limit: int) -> list[Any] | None:
    """The next rows by `seq`; None where they cannot be read, or go round in circles."""
    rows = _all(damaged, sql, after, limit)
    if rows is None or not all(earlier < later for earlier, later in pairwise([after, *(row[0] for row in rows)])):
        return None
    return rows


def _all(damaged: sqlite3.Connection, sql: str, *arguments: int) -> list[Any] | None:
    try:
        return damaged.execute(sql, arguments).fetchall()
    except (sqlite3.DatabaseError, UnicodeDecodeError):  # the words of an error quote what stands in the file
        return None
