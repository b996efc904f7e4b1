"""A SQLite file that survives what happens to files at home: WAL, synchronous=FULL, one writer.

What a transaction has committed survives a power cut. A damaged file is moved aside, never deleted; one of a newer hub is left alone.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar, Self

from hub.clock import Clock
from hub.errors import HubError, PermanentError, TransientError
from hub.runtime.disk.connection import Connect, Run, connect, connect_to_look, first, identity, tuned
from hub.runtime.disk.disk_words import is_damage, trouble_of
from hub.runtime.disk.salvage import move_aside, salvage

READER_CACHE_KIB = 512
"""Each thread has a connection: with SQLite's own 2,000 they would fill for weeks, with pages that Linux holds anyway."""
NEWEST_PLAUSIBLE = 9999
"""No schema will ever have a greater number: what stands there then was not written by a hub."""


class Database:
    """Reads from any thread, writes from one at a time."""

    sense: ClassVar[str] = "SELECT NULL"
    """Asks what in the tables contradicts itself; nothing, in a sound file."""

    def __init__(self, path: Path, clock: Clock, *, read_only: bool, connect: Connect) -> None:
        """Use `open`."""
        self.path = path
        self.recovered: str | None = None
        """What happened to a damaged file, for the user; None where all was well."""
        self.damage: str | None = None
        """What could not be read since the start, for the user."""
        self._clock = clock
        self._connect = connect
        self._read_only = read_only
        self._writing = threading.Lock()
        self._writer: Any = None
        self._writer_of: tuple[int, int] | None = None
        self._was_there = False
        self._log_in_doubt = True  # nobody knows how the last hub ended
        self._readers = threading.local()
        self._connections: list[Any] = []

    @classmethod
    def reader(cls, path: Path, clock: Clock) -> Self:
        """Reads only, and opens the file when first asked: a plugin may be loaded before the hub has made it."""
        return cls(path, clock, read_only=True, connect=connect)

    @classmethod
    def open(cls, path: Path, clock: Clock, *, read_only: bool = False, owner: bool = True, connect: Connect = connect) -> Self:
        """Open, check and migrate the file. HubError with path and fix where that cannot be.

        `owner`: the hub itself, which looks for damage and moves a damaged file aside. `read_only` never writes.
        """
        made = cls(path, clock, read_only=read_only, connect=connect)
        try:
            made._open(owner)
        except sqlite3.DatabaseError as error:
            made.close()
            raise HubError(str(made._trouble(error))) from error
        except BaseException:
            made.close()
            raise
        return made

    def verdict(self) -> str | None:
        """What SQLite finds wrong in the file, or None; takes about a second for 100 MB."""
        found = str(self._rows("PRAGMA quick_check(1)")[0][0])
        return None if found == "ok" else found.replace("\n", " ")

    def copy_to(self, file: Path) -> None:
        """A compact copy of one moment, while others go on writing. TransientError where the disk does not take it."""
        with self._reading() as run:
            run("VACUUM INTO ?", (str(file),))

    def bytes_on_disk(self) -> tuple[int, int]:
        """Size of the file and of its write-ahead log, which grows while a long reader holds the checkpoint back."""
        sizes = [0, 0]
        for number, ending in enumerate(("", "-wal")):
            with suppress(OSError):
                sizes[number] = self.path.with_name(self.path.name + ending).stat().st_size
        return sizes[0], sizes[1]

    def close(self) -> None:
        """Let go of the file."""
        for connection in [self._writer, *self._connections]:
            if connection is not None:
                with suppress(sqlite3.Error):
                    connection.close()
        self._writer, self._connections, self._readers = None, [], threading.local()

    def _open(self, owner: bool) -> None:
        if self._read_only:
            if not self.path.exists():
                raise HubError(f"{self.path}: no such store yet; `hub run` (or `hub demo`) makes it")
            self._refuse_newer(self._read())
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HubError(
                f"{self.path.parent}: cannot be used as data_dir: {error.strerror}; make it writable for this user, or set data_dir"
            ) from error
        try:
            self._begin(owner, looked=self._look_first(owner))
        except sqlite3.DatabaseError as error:
            if not owner or not is_damage(error):
                raise
            self.close()
            self._was_there = False
            damaged = move_aside(self.path, self._clock.now())
            self._begin(owner, looked=True)
            self._rebuild(damaged)

    def _begin(self, owner: bool, *, looked: bool) -> None:
        self._prepare()
        self._migrate()
        if owner and not looked:
            self._look(self._writer)

    def _look_first(self, owner: bool) -> bool:
        """Look at the file before anything can be written: to open and close it in the usual way changes it.

        False where that cannot be: to end a transaction that the last hub could not, SQLite must write.
        """
        if not self.path.exists():
            return True
        with closing(connect_to_look(self.path)) as connection:
            try:
                self._refuse_newer(connection)
                if owner:
                    self._look(connection)
            except sqlite3.DatabaseError as error:
                if is_damage(error):
                    raise
                return False
        return True

    def _look(self, connection: Any) -> None:
        """Read the whole file: DatabaseError for damage. Takes about a second for a year of two symbols."""
        if not first(connection, "PRAGMA user_version"):
            return
        verdict = first(connection, "PRAGMA integrity_check(1)")
        if verdict != "ok" or (verdict := first(connection, self.sense)) is not None:
            raise self._broken(verdict)
        version = int(first(connection, "PRAGMA user_version"))
        if lacking := _tables_of(version) - _tables(connection):
            raise self._broken(f"{min(lacking)[0]} is not as it was made")

    def _prepare(self) -> None:
        """A writer that may begin. It is not closed where the log cannot be written again: SQLite would take that log for good."""
        if self._writer is not None and self._writer_of != identity(self.path):
            self._abandon()
        if self._writer is None:
            if self.path.exists() and not os.access(self.path, os.W_OK):  # SQLite would open it all the same, to read
                raise sqlite3.OperationalError("attempt to write a readonly database")
            self._writer = tuned(self._connected())
            self._writer_of = identity(self.path)
            self._was_there = True
        if self._log_in_doubt:
            self._write_log_again()
            self._log_in_doubt = False

    def _connected(self) -> Any:
        """A connection to the file that stands there now; a store that was there once is not made anew behind the hub's back."""
        if self._was_there and identity(self.path) is None:
            raise sqlite3.OperationalError("unable to open database file: it is gone")
        return self._connect(self.path)

    def _write_log_again(self) -> None:
        """After a failed sync, pages of the log count as written in memory and may never get to the disk: SQLite would build on them.

        Under the writer's lock nobody appends to it, and the same bytes harm no reader.
        """
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            self._rewrite(self.path.with_name(f"{self.path.name}-wal"))
        except OSError as error:
            raise sqlite3.OperationalError(f"disk I/O error: {error.strerror}") from error
        finally:
            self._writer.execute("ROLLBACK")

    @staticmethod
    def _rewrite(file: Path) -> None:
        """Put the file's own bytes in their place once more, and sync them."""
        with suppress(FileNotFoundError), file.open("r+b", buffering=0) as log:
            offset = 0
            while chunk := os.pread(log.fileno(), 1 << 20, offset):
                offset += os.pwrite(log.fileno(), chunk, offset)
            os.fsync(log.fileno())

    def _migrate(self) -> None:
        version = self._refuse_newer(self._writer)
        for number, script in _migrations()[version:]:
            self._writer.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")

    def _refuse_newer(self, connection: Any) -> int:
        version = int(first(connection, "PRAGMA user_version"))
        if not 0 <= version <= NEWEST_PLAUSIBLE:
            raise self._broken(f"schema {version}")
        if version > len(_migrations()):
            raise HubError(
                f"{self.path}: was written by a newer hub (schema {version}, this one knows {len(_migrations())});"
                " install that version again, or restore a backup made by this one"
            )
        return version

    def _rebuild(self, damaged: Path) -> None:
        self.recovered = f"database damaged, moved to {damaged}, rebuilding from the exchange"
        with suppress(TransientError):
            with self._transaction() as run, closing(connect_to_look(damaged)) as old:
                saved = salvage(run, old, self._is_sound)
            self.recovered += f"; what could still be read was taken over: {saved} bars and other facts"

    def _is_sound(self, table: str, row: tuple[Any, ...]) -> bool:
        """Whether a row of a damaged file can be taken over."""
        raise NotImplementedError

    @contextmanager
    def _transaction(self) -> "Iterator[Run]":
        if self._read_only:
            raise PermanentError(f"{self.path}: was opened to read only")
        with self._writing:
            try:
                self._prepare()
            except sqlite3.Error as error:
                raise self._trouble(error) from error
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                yield Run(self._writer)
                self._writer.execute("COMMIT")
            except BaseException as error:
                self._log_in_doubt |= isinstance(error, sqlite3.Error) and "I/O" in str(error)
                self._abandon()
                if isinstance(error, sqlite3.Error) and not isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
                    raise self._trouble(error) from error
                raise  # ours to mend: the same facts would fail again

    def _abandon(self) -> None:
        """A new connection for the next try: after an I/O error the state of the old one is anybody's guess."""
        with suppress(sqlite3.Error, AttributeError):
            self._writer.execute("ROLLBACK")
        with suppress(sqlite3.Error, AttributeError):
            self._writer.close()
        self._writer = None

    def _read(self) -> Any:
        connection = getattr(self._readers, "connection", None)
        if connection is not None and self._readers.of != identity(self.path):
            self._forget(connection)
            connection = None
        if connection is None:
            if self._read_only:
                connection = connect_to_look(self.path)
            else:
                connection = self._connected()
                connection.execute("PRAGMA query_only=1")
            connection.execute(f"PRAGMA cache_size=-{READER_CACHE_KIB}")
            self._readers.connection, self._readers.of = connection, identity(self.path)
            self._connections.append(connection)
        return connection

    def _forget(self, connection: Any) -> None:
        """Let go of this thread's own connection."""
        self._connections.remove(connection)
        self._readers.connection = None
        with suppress(sqlite3.Error):
            connection.close()

    @contextmanager
    def _reading(self) -> "Iterator[Run]":
        connection = None
        try:
            connection = self._read()
            yield Run(connection)
        except sqlite3.Error as error:
            if connection is not None and not is_damage(error):  # the disk may have been put in anew
                self._forget(connection)
            raise self._trouble(error) from error

    @contextmanager
    def _moment(self) -> "Iterator[Run]":
        """Reads that all see the file as it is at the first of them."""
        with self._reading() as run:
            run("BEGIN")
            try:
                yield run
            finally:
                with suppress(sqlite3.Error):
                    run("ROLLBACK")

    def _rows(self, sql: str, *arguments: Any) -> list[Any]:
        with self._reading() as run, closing(run(sql, arguments)) as cursor:
            return list(cursor)

    @staticmethod
    def _broken(what: str) -> sqlite3.DatabaseError:
        """As SQLite itself says it of a damaged file."""
        return sqlite3.DatabaseError(f"malformed: {what}")

    def _spoilt(self, what: str) -> None:
        """Something in the file cannot be what was written."""
        self.damage = self.damage or f"{self.path}: damaged: {what}; the next start of the hub repairs it"

    def _trouble(self, error: sqlite3.Error) -> TransientError:
        """The error, in words, and what it means for the next try."""
        if is_damage(error):
            self._spoilt(str(error))
            return TransientError(self.damage or str(error))
        return trouble_of(error, self.path)


def _tables(connection: Any) -> set[tuple[str, str]]:
    """Tables, indexes and triggers, each with the words that made it."""
    return {(str(name), str(sql)) for name, sql in connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")}


@cache
def _tables_of(version: int) -> set[tuple[str, str]]:
    """What a sound file of that schema holds."""
    with closing(sqlite3.connect(":memory:")) as empty:
        for _, script in _migrations()[:version]:
            empty.executescript(script)
        return _tables(empty)


def _migrations() -> list[tuple[int, str]]:
    scripts = sorted(
        (file for file in files("hub.runtime.disk").joinpath("migrations").iterdir() if file.name.endswith(".sql")),
        key=lambda file: file.name,
    )
    return [(int(file.name[:4]), file.read_text(encoding="utf-8")) for file in scripts]
