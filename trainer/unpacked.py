"""A file of bars as text, however it is packed: blocks of whole lines, and never more of it than is sane."""

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from typing import cast

from hub.errors import HubError

BLOCK = 8 * 1024 * 1024
PIECE = 256 * 1024
"""Bytes unpacked at a time: so near to the true line is what is told of a damaged file."""
LARGEST = 4 * 1024**3
"""Bytes of text in one file; twenty years of minutes are less than half of it."""
DENSEST = 200
"""Text that shrank to less than this part of itself was made to fill a disk; bars shrink to a tenth at best."""
HARMLESS = 64 * 1024 * 1024
"""Bytes that may come out of any file, however dense."""
LONGEST_LINE = 65_536
_BOM = b"\xef\xbb\xbf"
_DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile)


class UnusableFile(HubError):
    """Nothing of this file is taken; other files are no worse for it."""


def blocks(file: Path) -> Iterator[bytes]:
    """The text in blocks of whole lines. UnusableFile with file and line where it is damaged, no text, or a trap."""
    lines, text = 0, bytearray()
    try:
        with _opened(file) as (stream, packed):
            for piece in _bounded(file, stream, packed):
                text += piece
                if len(text) < BLOCK:
                    continue
                end = text.rfind(b"\n") + 1
                if len(text) - end > LONGEST_LINE:
                    line = lines + text.count(b"\n") + 1
                    raise UnusableFile(f"{file}:{line}: a line longer than {LONGEST_LINE // 1024} KiB; is this a CSV?")
                yield _text(file, bytes(text[:end]), lines)
                lines += text.count(b"\n", 0, end)
                del text[:end]
            if text:
                yield _text(file, bytes(text), lines)
    except _DAMAGED as error:
        line = lines + text.count(b"\n") + 1
        raise UnusableFile(f"{file}:{line}: it ends early or is damaged from here on; fetch the file again") from error
    except OSError as error:
        raise UnusableFile(f"{file}: cannot be read: {error.strerror or error}") from error


def csv_name(file: Path) -> str:
    """Name of the CSV, inside of a zip too; the file's own name where it cannot be opened."""
    try:
        with zipfile.ZipFile(file) as archive:
            return PurePosixPath(_only_member(file, archive).filename).name
    except (OSError, zipfile.BadZipFile, UnusableFile):
        return file.name


@contextmanager
def _opened(file: Path) -> Iterator[tuple[BufferedIOBase, int]]:
    """What is inside, to be read, and how many bytes it takes on the disk."""
    if not file.is_file():
        raise UnusableFile(f"{file}: {'is not a regular file' if file.exists() else 'no such file'}")
    with file.open("rb") as raw:
        magic = raw.read(4)
        raw.seek(0)
        if magic.startswith(b"\x1f\x8b"):
            with gzip.open(raw) as stream:
                yield stream, file.stat().st_size
        elif magic.startswith(b"PK"):
            with zipfile.ZipFile(raw) as archive:
                member = _only_member(file, archive)
                with _member(file, archive, member) as stream:
                    yield stream, member.compress_size
        else:
            yield raw, file.stat().st_size


def _only_member(file: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) != 1 or not members[0].filename.lower().endswith(".csv"):
        names = ", ".join(repr(member.filename[:80]) for member in members[:3]) or "nothing"
        raise UnusableFile(f"{file}: a zip with one CSV in it is needed; this one holds {names}{' and more' if len(members) > 3 else ''}")
    path = PurePosixPath(members[0].filename)
    if path.is_absolute() or ".." in path.parts or "\\" in members[0].filename or ":" in members[0].filename:
        raise UnusableFile(
            f"{file}: the CSV inside is called {members[0].filename[:80]!r}, which reaches out of the zip; nothing of it is read"
        )
    return members[0]


def _member(file: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> BufferedIOBase:
    try:
        return cast(zipfile.ZipExtFile, archive.open(member))
    except (RuntimeError, NotImplementedError) as error:
        raise UnusableFile(f"{file}: cannot be unpacked: {error}") from error


def _bounded(file: Path, stream: BufferedIOBase, packed: int) -> Iterator[bytes]:
    size = 0
    while piece := stream.read1(PIECE):
        size += len(piece)
        if size > LARGEST:
            raise UnusableFile(f"{file}: more than {LARGEST // 1024**3} GiB of text; split it")
        if size > max(HARMLESS, packed * DENSEST):
            raise UnusableFile(f"{file}: unpacks to more than {DENSEST} times its size: a decompression bomb, not bars")
        yield piece


def _text(file: Path, block: bytes, lines: int) -> bytes:
    if lines == 0:
        block = block.removeprefix(_BOM)
    if not block.isascii():
        try:
            block.decode()
        except UnicodeDecodeError as error:
            line = lines + block.count(b"\n", 0, error.start) + 1
            raise UnusableFile(f"{file}:{line}: is not UTF-8 text; save it as CSV in UTF-8") from error
    return block
