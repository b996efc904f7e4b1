"""Remembers which database has everything from the oldest fact on; another one, or an emptied one, gets it all again."""

import os
from pathlib import Path

from hub import TransientError


class Destination:
    """A file that names the database. While it does not, what was delivered so far does not count."""

    def __init__(self, folder: Path, name: str) -> None:
        self._file = folder / "destination"
        self._doubted = folder / "destination.doubted"
        self._name = name

    @property
    def known(self) -> bool:
        """Whether this database has been sent everything from the beginning."""
        try:
            return self._file.read_text(encoding="utf-8") == self._name
        except OSError:
            return False

    def doubt(self) -> None:
        """Something of it is about to be made anew; if we die now, it is not known afterwards."""
        if self._file.exists():
            self._file.replace(self._doubted)

    def believe(self) -> None:
        """It was not made anew after all."""
        if self._doubted.exists():
            self._doubted.replace(self._file)

    def note(self) -> None:
        """From here on it gets everything."""
        new = self._file.with_suffix(".new")
        try:
            with new.open("w", encoding="utf-8") as file:
                file.write(self._name)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._file)
            self._doubted.unlink(missing_ok=True)
        except OSError as error:
            raise TransientError(f"{self._file}: cannot be written: {error.strerror}") from error
