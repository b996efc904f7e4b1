"""Brings finished dumps to their target, and remembers which have arrived."""

import json
from contextlib import suppress
from datetime import date
from pathlib import Path

from hub.dumps import MANIFEST, DumpManifest
from hub.remote import Remote
from hub.whole_file import note_down
from plugins.etl.settings import EtlSettings


class Delivery:
    """To one target. It is remembered by its URL: another target gets everything that is still here."""

    def __init__(self, folder: Path, settings: EtlSettings) -> None:
        self._folder = folder
        self._settings = settings
        self._note = folder / "delivered.json"

    @property
    def wanted(self) -> bool:
        """Whether there is a target."""
        return self._settings.target is not None

    def url_of(self, day: date, name: str) -> str:
        """Where a file of the dump can be found."""
        base = self._settings.target or self._folder.absolute().as_uri()
        return f"{base.rstrip('/')}/{day.isoformat()}/{name}"

    def is_delivered(self, manifest: DumpManifest) -> bool:
        """Whether this revision has arrived, or need not go anywhere."""
        return not self.wanted or self._arrived().get(manifest.day.isoformat(), 0) >= manifest.revision

    def deliver(self, manifest: DumpManifest) -> None:
        """All files, read back and compared, the manifest last. Blocks; TransientError in words."""
        if self._settings.target is None:
            return
        day = manifest.day.isoformat()
        with Remote(self._settings.target, self._settings.login) as remote:
            remote.remove(f"{day}/{MANIFEST}")
            for name in [*(file.name for file in manifest.files), MANIFEST]:
                remote.put(self._folder / day / name, f"{day}/{name}")
        arrived = self._arrived() | {day: manifest.revision}
        note_down(self._note, json.dumps({self._settings.target: dict(sorted(arrived.items())[-1000:])}))

    def _arrived(self) -> dict[str, int]:
        with suppress(OSError, ValueError, LookupError, TypeError):
            told = json.loads(self._note.read_text(encoding="utf-8"))[self._settings.target]
            return {str(day): int(revision) for day, revision in told.items()}
        return {}
