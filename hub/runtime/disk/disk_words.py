"""What SQLite says of a disk in trouble, in words, and what it means for the next try."""

import shutil
from contextlib import suppress
from pathlib import Path

from hub.errors import TransientError

NO_ROOM_BYTES = 65_536
_DAMAGE = (
    *("malformed", "not a database", "corrupt", "no such table", "no such column", "already exists"),
    *("unsupported file format", "unrecognized"),
)


class DiskFull(TransientError):
    """No room for what was to be recorded."""


class KeptForBars(DiskFull):
    """There is room, but only for bars."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}: the disk is full, what is left is kept for bars; free some space")


def is_damage(error: Exception) -> bool:
    """Whether the file is not what was written."""
    text = str(error).lower()
    return any(sign in text for sign in _DAMAGE)


def trouble_of(error: Exception, path: Path) -> TransientError:
    """The error of a statement on the file at `path`, with the fix."""
    text = str(error)
    if "locked" in text or "busy" in text:
        return TransientError(f"{path}: locked by another program (a sqlite3 shell, a backup?) for too long; end that one")
    if "full" in text or ("I/O" in text and _no_room(path.parent)):
        return DiskFull(f"{path}: the disk is full; free some space")
    if "readonly" in text or "read-only" in text or "unable to open" in text:
        return TransientError(
            f"{path}: cannot be written: {text}; make the folder writable for this user, and see whether its disk is mounted read-only"
        )
    return TransientError(f"{path}: the disk does not do its work: {text}")


def _no_room(folder: Path) -> bool:
    with suppress(OSError):
        return shutil.disk_usage(folder).free < NO_ROOM_BYTES
    return False
