"""One archive of all that makes a station what it is: the store, models, what plugins remember, and the configuration without its secrets.

Of one moment of the store, also while the hub runs. `archive` says what it looks like, `restore` takes it out.
"""

import gzip
import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from hashlib import file_digest
from pathlib import Path
from typing import IO

import yaml

from hub import __version__
from hub.clock import SystemClock
from hub.errors import HubError
from hub.runtime.backups.archive import CONFIG, KEPT, MANIFEST, NAME, Manifest, Part, clear_up
from hub.runtime.discretion import BLOT
from hub.runtime.disk.store import SqliteStore
from hub.runtime.hosting.lineup import STORE_FILE
from hub.whole_file import sync_folder

MIB = 1024 * 1024
SPARE = 64 * MIB
"""What is left for bars."""


def back_up(data_dir: Path, config: Path | None, secrets: Iterable[str], file: Path, now: datetime) -> Manifest:
    """Write the archive, whole or not at all; only its owner may read it. HubError where there is nothing, or no room.

    `config`: the configuration's file, if there is one; `secrets`: what must not be in the copy of it.
    """
    if not (data_dir / STORE_FILE).exists():
        raise HubError(f"{data_dir / STORE_FILE}: there is no store to back up")
    part = file.with_name(f"{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        clear_up(file.parent, ".backup-*", before=now.timestamp() - 86_400)
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


def _gathered(data_dir: Path, config: Path | None, secrets: Iterable[str], room: Path) -> tuple[dict[str, Path], int]:
    """Every file by its name in the archive, and how many secrets were left out."""
    store = SqliteStore.reader(data_dir / STORE_FILE, SystemClock())
    try:
        store.copy_to(room / STORE_FILE)
    finally:
        store.close()
    found, left_out = dict[str, Path](), 0
    if config is not None and config.exists():
        text, left_out = without(config.read_text(encoding="utf-8"), secrets)
        (room / CONFIG).write_text(text, encoding="utf-8")
        found[CONFIG] = room / CONFIG  # first: who restores looks there for where the rest belongs
    found[STORE_FILE] = room / STORE_FILE
    for plugin, patterns in KEPT.items():
        for pattern in patterns:
            for file in sorted((data_dir / plugin).glob(pattern)):
                name = file.relative_to(data_dir).as_posix()
                if file.is_file() and not file.is_symlink() and NAME.fullmatch(name) and not name.endswith(".part"):
                    found[name] = file
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
