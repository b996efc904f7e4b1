"""One connection to the SQLite file, set so that what it has committed survives a power cut."""

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

LOCKED_S = 10.0
"""Patience with somebody else's lock, in real seconds."""
PAGE_BYTES = 2048
"""Of a new file: a minute changes a few rows, and half the page is half the bytes on the card."""
PRAGMAS = (
    "PRAGMA synchronous=FULL",
    "PRAGMA wal_autocheckpoint=200",
    "PRAGMA journal_size_limit=16777216",
)

Connect = Callable[[Path], Any]
"""Opens a connection as sqlite3 does; the crash tests put their own file system under it."""


def connect(path: Path) -> sqlite3.Connection:
    """A connection that leaves transactions to us."""
    return _opened(path, "mode=rwc")


def connect_to_look(path: Path) -> sqlite3.Connection:
    """A connection that never writes; so it works on a disk that cannot be written, too."""
    log = path.with_name(f"{path.name}-wal")
    stands_still = not log.exists() and not os.access(path.parent, os.W_OK)
    return _opened(path, "mode=ro&immutable=1" if stands_still else "mode=ro")


def _opened(path: Path, how: str) -> sqlite3.Connection:
    """Text that a bad disk has spoilt is no error here: whoever reads the row judges it."""
    made = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, timeout=LOCKED_S, isolation_level=None, check_same_thread=False)
    made.text_factory = partial(bytes.decode, errors="replace")
    return made


def tuned(connection: Any) -> Any:
    """The connection, fit to write; closed where that cannot be."""
    try:
        connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
        if (mode := first(connection, "PRAGMA journal_mode=WAL")) != "wal":  # it says so, and raises nothing
            raise sqlite3.OperationalError(f"disk I/O error: no write-ahead log (journal mode {mode}); is this a network share?")
        for pragma in PRAGMAS:
            connection.execute(pragma)
    except BaseException:
        with suppress(sqlite3.Error):
            connection.close()
        raise
    return connection


def first(connection: Any, sql: str) -> Any:
    """The first value of the answer, read to its end: a statement left open holds locks."""
    return Run(connection)(sql).fetchall()[0][0]


def identity(path: Path) -> tuple[int, int] | None:
    """Which file stands at this path; None where there is none."""
    with suppress(OSError):
        status = path.stat()
        return status.st_dev, status.st_ino
    return None


class Run:
    """One statement, or one for many rows."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __call__(self, sql: str, arguments: Sequence[Any] = ()) -> Any:
        try:
            return self._connection.execute(sql, arguments)
        except UnicodeDecodeError as error:  # the words of an error quote what stands in the file
            raise sqlite3.DatabaseError("malformed: text that is none") from error

    def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        self._connection.executemany(sql, rows)
