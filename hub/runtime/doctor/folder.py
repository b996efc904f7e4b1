"""data_dir: room, rights, and the store in it."""

import asyncio
import errno
import os
import pwd
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from hub.clock import SystemClock
from hub.errors import HubError
from hub.runtime.disk.ballast import MIB, TIGHT_BYTES
from hub.runtime.disk.disk_watch import LONG_LOG_BYTES, LOW_BYTES
from hub.runtime.disk.store import SqliteStore
from hub.runtime.doctor.finding import Finding, remark
from hub.runtime.hosting.lineup import STORE_FILE
from hub.runtime.words import reason_of


def look_at_disk(data_dir: Path) -> Finding:
    """Whether it can be written, and how much room there is."""
    there = next(folder for folder in (data_dir.absolute(), *data_dir.absolute().parents) if _is_there(folder))
    try:
        free = shutil.disk_usage(there).free
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return Finding(
            "disk", False, f"{there} cannot be written: {error.strerror}; {_cause(error, there)}make it writable, or set data_dir"
        )
    text = f"{free // MIB} MiB free at {there}"
    if free < TIGHT_BYTES:
        return Finding("disk", False, f"{text}; free some space: the hub needs {TIGHT_BYTES // MIB} MiB")
    if free < LOW_BYTES:
        return remark("disk", f"{text}; below {TIGHT_BYTES // MIB} MiB the hub lets go of what can be had again: free some space")
    return Finding("disk", True, text)


async def look_at_store(data_dir: Path) -> Finding:
    """Whether the store can be read and written, and is sound."""
    return await asyncio.to_thread(_look, data_dir / STORE_FILE)


def _look(file: Path) -> Finding:
    try:
        if not file.exists():
            return Finding("store", True, "none yet; `hub run` makes it")
        store = SqliteStore.open(file, SystemClock(), read_only=True)
        try:
            return _read(file, store)
        finally:
            store.close()
    except HubError as error:
        return Finding("store", False, reason_of(error))
    except OSError as error:
        return Finding("store", False, f"{file} cannot be read: {error.strerror}; {_other_user(file.parent)}make it readable")


def _read(file: Path, store: SqliteStore) -> Finding:
    if damage := store.verdict():
        return Finding("store", False, f"{file}: {damage}; it is moved aside and rebuilt at the next start of the hub")
    if not os.access(file, os.W_OK):
        return Finding("store", False, f"{file} cannot be written by this user; {_other_user(file)}chown it to the hub's user")
    if (log := store.bytes_on_disk()[1]) > LONG_LOG_BYTES:
        words = f"its log has grown to {log // MIB} MiB: a long reader (a sqlite3 shell, a backup?) holds it back; end that one"
        return remark("store", f"{file}: {words}")
    return Finding("store", True, f"{file}, {store.last_seq()} facts for {', '.join(store.symbols()) or 'no symbol yet'}")


def _is_there(folder: Path) -> bool:
    with suppress(OSError):
        return folder.exists()
    return False


def _cause(error: OSError, place: Path) -> str:
    if error.errno == errno.EROFS:
        return "Linux mounts a failing disk so: look at what dmesg says, and "
    return _other_user(place)


def _other_user(place: Path) -> str:
    """Where it belongs to somebody else: most often the hub runs as a user of its own."""
    with suppress(OSError, KeyError):
        owner = place.stat().st_uid
        if owner != os.geteuid():
            name = pwd.getpwuid(owner).pw_name
            return f"it belongs to {name}: type sudo -u {name} hub ..., or "
    return ""
