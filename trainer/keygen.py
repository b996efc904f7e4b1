"""The pair of keys with which models are signed; what the hub trusts is the public one."""

import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.errors import HubError
from hub.keys import key_id

PRIVATE = "tickerml.key"
PUBLIC = "tickerml.pub"


@dataclass(frozen=True)
class KeyPair:
    """Where the two keys lie, and their name."""

    private: Path
    public: Path
    id: str


def make_keys(folder: Path) -> KeyPair:
    """Write a new pair into `folder`. HubError where one is there already, or the folder cannot be written."""
    private, public = folder / PRIVATE, folder / PUBLIC
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    open_key = key.public_key()
    text = open_key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    if there := [str(file) for file in (private, public) if file.exists()]:
        raise HubError(f"{' and '.join(there)}: a key is never overwritten; move it away, or choose another folder with --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_new(private, secret, 0o600)
        _write_new(public, text, 0o644)
    except OSError as error:
        raise HubError(f"{error.filename or folder}: cannot be written: {error.strerror}; choose another folder with --out") from error
    return KeyPair(private, public, key_id(open_key.public_bytes_raw()))


def _write_new(file: Path, content: bytes, mode: int) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
