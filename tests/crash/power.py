"""A disk that loses what was not synced: an apsw file system under the very statements of the store."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import apsw

SECTOR = 512
Change = tuple[int, bytes | None]
"""Bytes written at an offset; None for the end of the file set there."""


class PowerCutError(Exception):
    """The light went out."""


class Disk(apsw.VFS):
    """Files as they were synced, and the changes since; `cut` leaves any of those on disk, or not, sector by sector."""

    def __init__(self, name: str, chance: random.Random) -> None:
        self.label = name
        self.chance = chance
        self.synced: dict[str, bytearray] = {}
        self.pending: dict[str, list[Change]] = {}
        self.unlisted: set[str] = set()
        """Made, but not yet in their folder for certain."""
        self.deleted: dict[str, bytearray] = {}
        """Gone from their folder, but not for certain."""
        self.left = 10**9
        """How many changes there is power for."""
        self.in_checkpoint = False
        """Count only the changes from the next one to the database file itself on."""
        self.cut_at = ""
        self.failing_syncs = 0.0
        """The chance that a sync fails: then the data is in memory, seems clean, and never gets to the disk."""
        super().__init__(name=name, base="")

    def xOpen(self, name: Any, flags: list[int]) -> "DiskFile":  # noqa: N802 - apsw's name
        return DiskFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        self.touch(filename)
        super().xDelete(filename, syncdir)
        content = self.synced.pop(filename, bytearray())
        self.pending.pop(filename, None)
        if not syncdir and filename not in self.unlisted:
            self.deleted[filename] = content
        self.unlisted.discard(filename)

    def rewrite(self, name: str) -> None:
        """The whole file is written once more, and synced."""
        if name in self.synced:
            content = Path(name).read_bytes()
            self.touch(name)
            self.pending[name] += [(start, content[start : start + SECTOR]) for start in range(0, len(content), SECTOR)]
            self.sync(name)

    def sync(self, name: str) -> None:
        """What was written gets to the disk; or not, and is thought to be there."""
        self.touch(name)
        changes = self.pending[name]
        if self.chance.random() < self.failing_syncs:
            changes.clear()
            raise apsw.IOError("disk I/O error")
        for offset, data in changes:
            if data is None:
                del self.synced[name][offset:]
            else:
                place(self.synced[name], offset, data)
        changes.clear()
        self.unlisted.discard(name)

    def touch(self, name: str) -> None:
        """One more change; the first that there is no power for raises."""
        if self.in_checkpoint:
            if not name.endswith(".db"):
                return
            self.in_checkpoint = False
        self.left -= 1
        if self.left < 0:
            self.cut_at = self.cut_at or Path(name).name
            raise PowerCutError

    def cut(self, folder: Path) -> None:
        """What a machine finds after the power came back."""
        survival = self.chance.random()
        for name, content in (self.deleted | self.synced).items():
            if name in self.deleted.keys() | self.unlisted and self.chance.random() < 0.5:
                continue
            image = bytearray(content)
            for offset, data in self.pending.get(name, []):
                if data is None:
                    if self.chance.random() < survival:
                        del image[offset:]
                    continue
                for start in range(0, len(data), SECTOR):
                    if self.chance.random() < survival:
                        place(image, offset + start, data[start : start + SECTOR])
            (folder / Path(name).name).write_bytes(image)


class DiskFile(apsw.VFSFile):
    """One file of the disk."""

    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self.disk = disk
        self.name = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        if self.name not in disk.synced:
            content = Path(self.name).read_bytes()
            disk.synced[self.name], disk.pending[self.name] = bytearray(content), []
            if not content:
                disk.unlisted.add(self.name)
        disk.deleted.pop(self.name, None)
        self.syncs_folder = bool(flags[0] & (apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL))
        """With its first sync SQLite also syncs the folder of such a file."""

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self.disk.touch(self.name)
        super().xWrite(data, offset)
        self.disk.pending[self.name].append((offset, bytes(data)))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self.disk.touch(self.name)
        super().xTruncate(size)
        self.disk.pending[self.name].append((size, None))

    def xSync(self, flags: int) -> None:  # noqa: ARG002, N802
        """Nothing is asked of the machine's own disk: it would only take time."""
        self.disk.sync(self.name)
        if self.syncs_folder:
            self.syncs_folder = False
            self.disk.unlisted.clear()
            self.disk.deleted.clear()


class Answer(list[Any]):
    """What a statement answers, seen as a cursor."""

    def fetchall(self) -> list[Any]:
        return self


class Connection:
    """apsw, seen as sqlite3; `synchronous` puts another value in the place of the store's own."""

    def __init__(self, path: Path, vfs: str, synchronous: str = "FULL") -> None:
        with as_sqlite3():
            self._connection = apsw.Connection(str(path), vfs=vfs)
            self._connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._synchronous = synchronous

    def execute(self, sql: str, arguments: Any = ()) -> "Answer":
        with as_sqlite3():
            return Answer(self._connection.execute(sql.replace("synchronous=FULL", f"synchronous={self._synchronous}"), arguments or None))

    def executemany(self, sql: str, rows: Any) -> Any:
        with as_sqlite3():
            return self._connection.executemany(sql, rows)

    def executescript(self, sql: str) -> Any:
        return self.execute(sql)

    def close(self) -> None:
        with as_sqlite3():
            self._connection.close()

    def give_up(self) -> None:
        """The machine is dead: let go of the memory, whatever that does to a disk that nobody looks at any more."""
        with suppress(apsw.Error, PowerCutError):
            self._connection.close(True)


@contextmanager
def as_sqlite3() -> Iterator[None]:
    """The store knows sqlite3's errors only."""
    try:
        yield
    except apsw.Error as error:
        raise sqlite3.OperationalError(str(error)) from error


def place(image: bytearray, offset: int, data: bytes) -> None:
    """Write `data` into `image`, which grows as needed."""
    if len(image) < offset:
        image.extend(bytes(offset - len(image)))
    image[offset : offset + len(data)] = data
