"""Files of the hub's daily dumps: what their manifest says of them, and dumps that lie on another machine."""

import hashlib
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from pydantic import ValidationError

from hub.dumps import BARS_PREFIX, MANIFEST, SENTIMENT, DumpManifest, TableFile
from hub.errors import HubError
from hub.remote import Login, Remote, problem_of
from trainer.unpacked import UnusableFile

MOST_MANIFEST = 16 * 1024 * 1024


def table_of(file: Path) -> str | None:
    """Which table of a dump the file is, checked against its manifest; None where it lies in no dump.

    UnusableFile where it is not, byte for byte, what the manifest says.
    """
    manifest = _manifest(file.parent)
    entry = None if manifest is None else next((each for each in manifest.files if each.name == file.name), None)
    if entry is None:
        return None
    with file.open("rb") as stream:
        if file.stat().st_size != entry.bytes or hashlib.file_digest(stream, "sha256").hexdigest() != entry.sha256:
            raise UnusableFile(
                f"{file}: is not what {MANIFEST} beside it says (SHA-256): damaged, or written at this moment; copy it again"
            )
    return entry.table


def is_address(path: str) -> bool:
    """Whether it names another machine, and no folder here."""
    return "://" in path


def brought(url: str, data_dir: Path, login: Login | None = None) -> Path:
    """Every dump below that URL, as far as training needs it, in a folder here; what is here already is not fetched again.

    HubError with the reason where it cannot be fetched.
    """
    if (problem := problem_of(url)) is not None:
        raise HubError(f"{url}: {problem}")
    here = data_dir / "dumps" / hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:12]
    try:
        with Remote(url, login) as remote:
            names = remote.names()
            days = [""] if MANIFEST in names else [name for name in names if name[:2].isdigit()]
            if not days:
                raise HubError(f"{url}: holds no dump")
            for day in days:
                _bring(remote, day, here / day if day else here)
    except OSError as error:
        raise HubError(f"{here}: cannot be written: {error.strerror}") from error
    _manifest.cache_clear()
    return here


def _bring(remote: Remote, day: str, place: Path) -> None:
    below = f"{day}/" if day else ""
    if day and MANIFEST not in remote.names(day):
        return  # not finished
    place.mkdir(parents=True, exist_ok=True)
    part = place / f"{MANIFEST}.part"
    remote.fetch(f"{below}{MANIFEST}", part, MOST_MANIFEST)
    try:
        manifest = DumpManifest.model_validate_json(part.read_bytes())
    except ValidationError as error:
        raise HubError(f"{remote.url}/{below}{MANIFEST}: is no manifest of a dump") from error
    for entry in manifest.files:
        if entry.name.startswith(BARS_PREFIX) or entry.name == SENTIMENT:
            _bring_file(remote, below, place, entry)
    part.replace(place / MANIFEST)


def _bring_file(remote: Remote, below: str, place: Path, entry: TableFile) -> None:
    file, part = place / entry.name, place / f"{entry.name}.part"
    with suppress(FileNotFoundError), file.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() == entry.sha256:
            return
    remote.fetch(f"{below}{entry.name}", part, entry.bytes)
    with part.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != entry.sha256:
            again = f"dump that day again: hub dump --day {below[:-1]}"
            raise HubError(f"{remote.url}/{below}{entry.name}: is not what its manifest says (SHA-256); {again}")
    part.replace(file)


@lru_cache(maxsize=64)
def _manifest(folder: Path) -> DumpManifest | None:
    try:
        return DumpManifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError):
        return None
