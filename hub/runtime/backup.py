"""One archive of all that makes a station what it is: the store, models, what plugins remember, and the configuration without its secrets.

A gzipped tar: manifest.json first, with size and sha256 of every other member; of one moment of the store, also while the hub runs.
"""

import gzip
import io
import json
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import file_digest, sha256
from math import inf
from pathlib import Path
from typing import IO, Any

import yaml

from hub import __version__
from hub.clock import SystemClock
from hub.errors import HubError
from hub.runtime.discretion import BLOT
from hub.runtime.lineup import STORE_FILE
from hub.runtime.store import SqliteStore
from hub.whole_file import sync_folder

FORMAT = 1
MANIFEST, CONFIG = "manifest.json", "config.yaml"
KEPT = {
    "inference": ("models/*", "trusted/*.pub", "*.json"),
    "alerts": ("*.json",),
    "collector": ("*.json",),
    "etl": ("*.json",),
    "homeassistant": ("*.json",),
    "influxdb": ("*.json", "*.jsonl"),
    "news": ("*.json",),
}
"""What is taken of each plugin's folder. Passwords and visits of the page, and folders of strangers, are not: they may hold secrets."""
MIB = 1024 * 1024
SPARE = 64 * MIB
"""What is left for bars."""
LARGEST_MANIFEST = 4 * 1024 * 1024
LARGEST = 64 * 1024**3
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*){0,3}")


@dataclass(frozen=True)
class Part:
    """One file of an archive."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What an archive holds."""

    made_at: str
    version: str
    parts: tuple[Part, ...]
    secrets_left_out: int
    format: int = FORMAT


def back_up(data_dir: Path, config: Path | None, secrets: Iterable[str], file: Path, now: datetime) -> Manifest:
    """Write the archive, whole or not at all; only its owner may read it. HubError where there is nothing, or no room.

    `config`: the configuration's file, if there is one; `secrets`: what must not be in the copy of it.
    """
    if not (data_dir / STORE_FILE).exists():
        raise HubError(f"{data_dir / STORE_FILE}: there is no store to back up")
    part = file.with_name(f"{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _clear_up(file.parent, ".backup-*", before=now.timestamp() - 86_400)
        needed = 2 * (data_dir / STORE_FILE).stat().st_size + SPARE
        if (free := shutil.disk_usage(file.parent).free) < needed:
            raise HubError(f"{file.parent}: {free // MIB} MiB are free, and a backup may need {needed // MIB}; give it another place")
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=".backup-") as name:
            manifest = _write(part, _gathered(data_dir, config, secrets, Path(name)), now)
        part.replace(file)
        sync_folder(file.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise HubError(f"{file}: cannot be written: {error.strerror or error}") from error
    return manifest


def restore(file: Path, data_dir: Path, config: Path) -> Manifest:
    """Take everything out into an empty `data_dir`, checked before anything stands in its place; `config` is written if there is none.

    HubError where the archive is not whole, is of a newer hub, or where a store is there already.
    """
    if (data_dir / STORE_FILE).exists():
        raise HubError(f"{data_dir}: holds a store already; move it away, or set another data_dir")
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        _clear_up(data_dir, ".restore-*")
        with tempfile.TemporaryDirectory(dir=data_dir, prefix=".restore-") as name:
            manifest = _unpacked(file, Path(name))
            _checked_store(Path(name) / STORE_FILE)
            for part in sorted(manifest.parts, key=lambda part: part.name == STORE_FILE):  # with the store in place it is done
                source = Path(name) / part.name
                target = config if part.name == CONFIG else data_dir / part.name
                if part.name == CONFIG and target.exists():
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                source.chmod(0o600)
                source.replace(target) if part.name != CONFIG else target.write_bytes(source.read_bytes())
        sync_folder(data_dir)
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, ValueError, KeyError, TypeError) as error:
        raise HubError(f"{file}: is no whole backup: {error or type(error).__name__}") from error
    except OSError as error:
        raise HubError(f"{error.filename or file}: {error.strerror or error}") from error
    return manifest


def without(text: str, secrets: Iterable[str]) -> tuple[str, int]:
    """A configuration with null in the place of every value that has a secret in it, and how many there were.

    HubError where it is no YAML.
    """
    kept = sorted(filter(None, set(secrets)), key=len, reverse=True)
    try:
        tokens = [token for token in yaml.scan(text, Loader=yaml.SafeLoader) if isinstance(token, yaml.ScalarToken)]
    except yaml.YAMLError as error:
        raise HubError(f"{CONFIG}: cannot be read, and is not backed up unread: {error}") from error
    found = [token for token in tokens if any(secret in token.value for secret in kept)]
    for token in reversed(found):
        end = token.start_mark.index + len(text[token.start_mark.index : token.end_mark.index].rstrip())
        text = f"{text[: token.start_mark.index]}null{text[end:]}"
    for secret in kept:  # in a comment, or a key
        text = text.replace(secret, BLOT)
    return text, len(found)


def _clear_up(folder: Path, pattern: str, before: float = inf) -> None:
    """Remove what a power cut has left; another backup may be at work in what is young."""
    for left in folder.glob(pattern):
        with suppress(OSError):
            if left.stat().st_mtime < before:
                shutil.rmtree(left, ignore_errors=True)


def _gathered(data_dir: Path, config: Path | None, secrets: Iterable[str], room: Path) -> tuple[dict[str, Path], int]:
    """Every file by its name in the archive, and how many secrets were left out."""
    store = SqliteStore.reader(data_dir / STORE_FILE, SystemClock())
    try:
        store.copy_to(room / STORE_FILE)
    finally:
        store.close()
    found, left_out = {STORE_FILE: room / STORE_FILE}, 0
    for plugin, patterns in KEPT.items():
        for pattern in patterns:
            for file in sorted((data_dir / plugin).glob(pattern)):
                name = file.relative_to(data_dir).as_posix()
                if file.is_file() and not file.is_symlink() and _NAME.fullmatch(name) and not name.endswith(".part"):
                    found[name] = file
    if config is not None and config.exists():
        text, left_out = without(config.read_text(encoding="utf-8"), secrets)
        (room / CONFIG).write_text(text, encoding="utf-8")
        found[CONFIG] = room / CONFIG
    return found, left_out


def _write(part: Path, gathered: tuple[dict[str, Path], int], now: datetime) -> Manifest:
    found, left_out = gathered
    contents = {}
    for name, file in found.items():
        with suppress(FileNotFoundError), file.open("rb") as stream:  # a plugin may have put away what it remembered
            contents[name] = Part(name, file.stat().st_size, file_digest(stream, "sha256").hexdigest())
    manifest = Manifest(now.isoformat().replace("+00:00", "Z"), __version__, tuple(contents.values()), left_out)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as raw:
        with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=3, mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
            told = json.dumps(asdict(manifest), indent=1).encode()
            _add(archive, MANIFEST, io.BytesIO(told), len(told), now)
            for each in manifest.parts:
                with found[each.name].open("rb") as stream:
                    _add(archive, each.name, stream, each.bytes, now)
        raw.flush()
        os.fsync(raw.fileno())
    return manifest


def _add(archive: tarfile.TarFile, name: str, stream: IO[bytes], size: int, now: datetime) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o600, int(now.timestamp())
    archive.addfile(member, stream)


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
        if stream is None or not _NAME.fullmatch(member.name) or member.size > LARGEST:
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
        if not _NAME.fullmatch(part.name) or (part.name not in known and part.name.partition("/")[0] not in KEPT):
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
