"""The one password of the page: from the configuration, or made at the first start and kept as a scrypt hash (RFC 7914)."""

import hmac
import secrets
from base64 import b64decode, b64encode
from hashlib import scrypt, sha256
from pathlib import Path

from hub.whole_file import note_down

COST = 2**14
"""With blocks of 8: 16 MiB and some 50 ms for each try."""
FIRST = "first-password"
HASH = "password.scrypt"


class Password:
    """Where no password is given, one is made, and stands in a file to be read once."""

    def __init__(self, folder: Path, given: str | None) -> None:
        """TransientError where the folder cannot be written."""
        self.first = folder / FIRST
        self._file = folder / HASH
        self._given = None if given is None else _hashed(given)
        if self._given is None and not self._file.exists():
            made = secrets.token_urlsafe(15)
            note_down(self.first, f"{made}\n", private=True)
            self.change(made)

    def change(self, password: str) -> None:
        """From now on it is this; whoever has signed in must do so again."""
        note_down(self._file, _hashed(password), private=True)

    def matches(self, typed: str) -> bool:
        """Takes 50 ms, on purpose: call it in a thread."""
        try:
            _, cost, salt, digest = self._stored().split("$")
        except (OSError, ValueError):
            return False  # the file is spoilt: `hub dashboard password` makes another
        tried = scrypt(typed.encode(errors="replace"), salt=b64decode(salt), n=int(cost), r=8, p=1, dklen=32, maxmem=2**26)
        return hmac.compare_digest(tried, b64decode(digest))

    def read(self) -> None:
        """Somebody knows it now: the file with the first one goes."""
        self.first.unlink(missing_ok=True)

    @property
    def mark(self) -> str:
        """Another for every password; tells nothing about it."""
        return sha256(self._stored().encode()).hexdigest()[:16]

    def _stored(self) -> str:
        return self._given or self._file.read_text(encoding="ascii").strip()


def _hashed(password: str) -> str:
    salt = secrets.token_bytes(16)
    digest = scrypt(password.encode(), salt=salt, n=COST, r=8, p=1, dklen=32, maxmem=2**26)
    return f"scrypt${COST}${b64encode(salt).decode()}${b64encode(digest).decode()}"
