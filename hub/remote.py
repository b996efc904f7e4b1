"""Files elsewhere, by fsspec URL: a folder, sftp with a host key that must be known, s3. The only file that knows fsspec."""

import hashlib
import posixpath
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from hub.download import printable
from hub.errors import TransientError

BLOCK = 1024 * 1024
CONNECT_S = 20
SFTP = ("sftp", "ssh")
EXTRAS = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs", "smb": "smbprotocol"}
"""Packages that fsspec needs beside itself."""


@dataclass(frozen=True)
class Login:
    """How to be let in over sftp; what is None is left to ~/.ssh."""

    password: str | None = None
    key_file: Path | None = None
    known_hosts: Path | None = None


def problem_of(url: str) -> str | None:
    """What is wrong with a URL, in words; None for one that can be tried."""
    try:
        parts = urlsplit(url)
        host, password = parts.hostname, parts.password
    except ValueError:
        return "is no URL"
    if not re.fullmatch(r"[a-z][a-z0-9+.-]*", parts.scheme) or "://" not in url:
        return "must be a URL such as sftp://user@host/folder, s3://bucket/folder or file:///folder"
    if password is not None:
        return "must not hold a password: everybody would see it"
    if not url.isprintable() or ".." in unquote(parts.path).split("/") or parts.query or parts.fragment:
        return "must be a plain path, without .., query or fragment"
    if parts.scheme in SFTP and not host:
        return "names no host"
    return None


class Remote:
    """One folder elsewhere. All of it blocks; every failure is a TransientError that names the folder."""

    def __init__(self, url: str, login: Login | None = None) -> None:
        """`url`: one that has no problem. Connects when it is first used."""
        self.url = url.rstrip("/")
        self._login = login or Login()
        self._files: Any = None
        self._root = ""

    def __enter__(self) -> "Remote":
        with self._words():
            self._files, self._root = self._opened()
        return self

    def __exit__(self, *_error: object) -> None:
        self._files = None

    def put(self, file: Path, name: str) -> None:
        """Bring a file there: beside its place first, read back and compared, then renamed."""
        with self._words():
            place, part = self._place(name), self._place(f"{name}.part")
            self._files.makedirs(posixpath.dirname(place), exist_ok=True)
            expected = _copied(file, self._files.open(part, "wb"))
            with self._files.open(part, "rb") as back:
                if _digest(back) != expected:
                    raise TransientError(f"{self.url}: {name} did not arrive as it was sent; it is sent again")
            if self._files.exists(place):  # sftp renames onto nothing
                self._files.rm_file(place)
            self._files.mv(part, place)

    def remove(self, name: str) -> None:
        """Take a file away, if it is there."""
        with self._words():
            if self._files.exists(self._place(name)):
                self._files.rm_file(self._place(name))

    def fetch(self, name: str, to: Path, most: int) -> None:
        """Bring a file here. TransientError, too, where it is larger than `most` bytes."""
        with self._words(), self._files.open(self._place(name), "rb") as stream, to.open("wb") as out:
            left = most
            while data := stream.read(BLOCK):
                left -= len(data)
                if left < 0:
                    raise TransientError(f"{self.url}/{name}: is larger than the {most:,} bytes that it should have")
                out.write(data)

    def names(self, below: str = "") -> list[str]:
        """What lies in the folder, or in one below."""
        with self._words():
            place = self._place(below) if below else self._root
            return sorted(str(each).rstrip("/").rpartition("/")[2] for each in self._files.ls(place, detail=False))

    def _place(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}" if self._root else name

    def _opened(self) -> tuple[Any, str]:
        import fsspec  # a twentieth of a second, and more with what it needs

        parts = urlsplit(self.url)
        if parts.scheme in SFTP:
            from sshfs import SSHFileSystem  # asyncssh: half a second

            options: dict[str, Any] = {"connect_timeout": CONNECT_S, "login_timeout": CONNECT_S}
            options["known_hosts"] = str(self._login.known_hosts or Path.home() / ".ssh" / "known_hosts")  # without it, any host would do
            if parts.username:
                options["username"] = unquote(parts.username)
            if self._login.password is not None:
                options["password"] = self._login.password
            if self._login.key_file is not None:
                options["client_keys"] = [str(self._login.key_file)]
            files = SSHFileSystem(parts.hostname, port=parts.port or 22, skip_instance_cache=True, **options)
            return files, unquote(parts.path)
        try:
            files, root = fsspec.core.url_to_fs(self.url, skip_instance_cache=True)
        except ImportError as error:
            package = EXTRAS.get(parts.scheme, "what fsspec names for it")
            raise TransientError(f"{self.url}: needs another package; type: pip install {package}") from error
        return files, str(root)

    @contextmanager
    def _words(self) -> Iterator[None]:
        try:
            yield
        except TransientError:
            raise
        except Exception as error:  # a hundred file systems, and each has its own
            raise TransientError(f"{self.url}: {_reason(error)}") from error


def _copied(file: Path, out: Any) -> str:
    seen = hashlib.sha256()
    with file.open("rb") as stream, out:
        while data := stream.read(BLOCK):
            seen.update(data)
            out.write(data)
    return seen.hexdigest()


def _digest(stream: Any) -> str:
    seen = hashlib.sha256()
    while data := stream.read(BLOCK):
        seen.update(data)
    return seen.hexdigest()


def _reason(error: BaseException) -> str:
    """In words, and with the fix where it is known. Names of classes stand for packages that need not be here."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and len(chain) < 10:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    kinds = {type(each).__name__ for each in chain}
    if kinds & {"HostKeyNotVerifiable", "BadHostKeyException"}:
        return (
            "the server shows another host key than known_hosts has for it, or one that is not known: nothing was sent."
            " Was it set up anew? Then compare its fingerprint, `ssh-keygen -R HOST`, and connect once with `ssh` by hand"
        )
    if "PermissionDenied" in kinds:
        return "the server refuses the login; are user and key (or password) right, and is the key in its authorized_keys?"
    if kinds & {"KeyImportError", "KeyEncryptionError"}:
        return "the key file cannot be read, or has a passphrase; use one without"
    if any(isinstance(each, ConnectionError | TimeoutError | socket.gaierror) or each.__class__ is OSError for each in chain):
        return f"cannot be reached ({printable(str(error), 100)}); is that machine on, and its address right?"
    for each in chain:
        if isinstance(each, OSError) and each.strerror:
            return printable(each.strerror, 200)
    return printable(str(error), 200) or type(error).__name__
