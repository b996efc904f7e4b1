"""Takes an archive of `hub backup` out: nothing stands in its place before all of it is found whole."""

import gzip
import json
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from hub.clock import SystemClock
from hub.configuration import Configuration, load_configuration
from hub.errors import HubError
from hub.runtime.backups.archive import CONFIG, FORMAT, KEPT, MANIFEST, NAME, Manifest, Part, clear_up
from hub.runtime.disk.store import SqliteStore
from hub.runtime.hosting.lineup import STORE_FILE
from hub.whole_file import sync_folder, write_whole

LARGEST_MANIFEST = 4 * 1024 * 1024
LARGEST_CONFIG = 1024 * 1024
LARGEST = 64 * 1024**3


def configuration_in(file: Path, config: Path) -> Configuration | None:
    """The archive's configuration, as if it stood in `config`: it says where the rest belongs. None where it has none; HubError."""
    with _told_of(file), tarfile.open(file, "r:gz") as archive:
        members = _members(archive)
        next(members)
        name, stream = next(members)
        if name != CONFIG:
            return None
        config.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=config.parent, prefix=".restore-", suffix=".yaml") as written:
            written.write(stream.read(LARGEST_CONFIG))
            written.flush()
            return load_configuration(Path(written.name))


def restore(file: Path, data_dir: Path, config: Path) -> Manifest:
    """Take everything out into an empty `data_dir`, checked before anything stands in its place; `config` is written if there is none.

    HubError where the archive is not whole, is of a newer hub, or where a store is there already.
    """
    if (data_dir / STORE_FILE).exists():
        raise HubError(f"{data_dir}: holds a store already; move it away, or set another data_dir")
    with _told_of(file):
        data_dir.mkdir(parents=True, exist_ok=True)
        clear_up(data_dir, ".restore-*")
        with tempfile.TemporaryDirectory(dir=data_dir, prefix=".restore-") as name:
            room = Path(name)
            manifest = _unpacked(file, room)
            _checked_store(room / STORE_FILE)
            if (room / CONFIG).exists() and not config.exists():
                config.parent.mkdir(parents=True, exist_ok=True)
                write_whole(config, (room / CONFIG).read_bytes(), private=True)
            for part in sorted(manifest.parts, key=lambda part: part.name == STORE_FILE):  # with the store in its place it is done
                if part.name != CONFIG:
                    target = data_dir / part.name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    (room / part.name).chmod(0o600)
                    (room / part.name).replace(target)
        sync_folder(data_dir)
    return manifest


def _unpacked(file: Path, room: Path) -> Manifest:
    """Every part in `room`, as long as each is what the manifest says, and nothing else is there."""
    with tarfile.open(file, "r:gz") as archive:
        members = _members(archive)
        name, stream = next(members)
        if name != MANIFEST:
            raise ValueError("it does not begin with a manifest")
        manifest = _manifest(stream.read(LARGEST_MANIFEST))
        wanted = {part.name: part for part in manifest.parts}
        for name, stream in members:
            part = wanted.pop(name, None)
            if part is None:
                raise ValueError(f"{name!r} is not in its manifest")
            target = room / name
            target.parent.mkdir(parents=True, exist_ok=True)
            digest, size = sha256(), 0
            with target.open("xb") as out:
                while chunk := stream.read(1 << 20):
                    digest.update(chunk)
                    size += len(chunk)
                    if size > part.bytes:
                        break
                    out.write(chunk)
            if (size, digest.hexdigest()) != (part.bytes, part.sha256):
                raise ValueError(f"{name} is not as it was written")
        if wanted:
            raise ValueError(f"{', '.join(sorted(wanted))} is missing")
    return manifest


def _members(archive: tarfile.TarFile) -> Iterator[tuple[str, IO[bytes]]]:
    """Plain files with plain names, in order; ValueError for anything else."""
    for member in archive:
        stream = archive.extractfile(member) if member.isreg() else None
        if stream is None or not NAME.fullmatch(member.name) or member.size > LARGEST:
            raise ValueError(f"{member.name[:100]!r} does not belong there")
        yield member.name, stream
    if not archive.getmembers():
        raise ValueError("it is empty")


def _manifest(content: bytes) -> Manifest:
    told: dict[str, Any] = json.loads(content)
    if told["format"] > FORMAT:
        raise HubError(f"it was made by a newer hub ({told['version']}); bring this one up to date first")
    parts = tuple(Part(str(part["name"]), int(part["bytes"]), str(part["sha256"])) for part in told["parts"])
    if STORE_FILE not in {part.name for part in parts}:
        raise ValueError("it has no store")
    known = {STORE_FILE, CONFIG}
    for part in parts:
        if not NAME.fullmatch(part.name) or (part.name not in known and part.name.partition("/")[0] not in KEPT):
            raise ValueError(f"{part.name[:100]!r} does not belong there")
    return Manifest(str(told["made_at"]), str(told["version"]), parts, int(told["secrets_left_out"]))


def _checked_store(file: Path) -> None:
    """HubError where SQLite, or a newer hub, would not have it."""
    store = SqliteStore.open(file, SystemClock(), read_only=True)
    try:
        if trouble := store.verdict():
            raise HubError(f"the store in it is damaged: {trouble}")
    finally:
        store.close()


@contextmanager
def _told_of(file: Path) -> Iterator[None]:
    """Whatever is wrong with the archive, or the disk, as a HubError."""
    try:
        yield
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, StopIteration, ValueError, KeyError, TypeError) as error:
        raise HubError(f"{file}: is no whole backup: {error or type(error).__name__}") from error
    except OSError as error:
        raise HubError(f"{error.filename or file}: {error.strerror or error}") from error
