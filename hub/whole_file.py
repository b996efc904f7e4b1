"""Small files that are there whole, or as they were before: written beside their place, synced, renamed, and the folder synced."""

import os
from pathlib import Path

from hub.errors import TransientError


def write_whole(file: Path, content: bytes | str, *, private: bool = False) -> None:
    """Replace the file in one step, once every byte of the new one is on the disk. OSError where that cannot be.

    `private`: nobody but its owner can read it, at any moment.
    """
    part = file.with_name(f"{file.name}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content.encode() if isinstance(content, str) else content)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(file)
    sync_folder(file.parent)


def note_down(file: Path, content: str, *, private: bool = False) -> None:
    """As `write_whole`, in a plugin: TransientError, with the path, where the disk does not take it."""
    try:
        write_whole(file, content, private=private)
    except OSError as error:
        raise TransientError(f"{file}: cannot be written: {error.strerror}; it is tried again") from error


def sync_folder(folder: Path) -> None:
    """What was renamed in it stays renamed, whatever happens to the power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
