"""Whose models are taken: the public keys in the configuration, and those that `hub models trust` has put beside the data."""

import base64
import binascii
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hub import Hub
from hub.errors import HubError
from hub.keys import key_id
from hub.offer import public_key
from plugins.inference.settings import InferenceSettings

FOLDER = "trusted"


def trusted_keys(hub: Hub, settings: InferenceSettings) -> dict[str, Ed25519PublicKey]:
    """By id, read anew each time: a key that has just been added counts. One that cannot be read is said, and left out."""
    found: dict[str, Ed25519PublicKey] = {}
    for key in keys_named(hub, settings):
        try:
            public = key_given(key)
        except HubError as error:
            hub.log.error("a trusted key cannot be used", reason=str(error))
        else:
            found[key_id(public.public_bytes_raw())] = public
    return found


def keys_named(hub: Hub, settings: InferenceSettings) -> list[str]:
    """Keys and files of keys, as they are given."""
    return [*settings.trusted_keys, *sorted(map(str, (hub.data_dir / FOLDER).glob("*.pub")))]


def key_given(text: str) -> Ed25519PublicKey:
    """A key as its 32 bytes in base64, or as the name of its file. HubError where it is neither."""
    try:
        raw = base64.b64decode(text, validate=True)
        if len(raw) == 32:
            return Ed25519PublicKey.from_public_bytes(raw)
    except (binascii.Error, ValueError):
        pass
    return public_key(Path(text))


def trust(folder: Path, file: Path) -> str:
    """Copy a public key to where the hub looks for it; returns its id. HubError where it is none, or cannot be written."""
    key = public_key(file)
    name = key_id(key.public_bytes_raw())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.pub").write_bytes(file.read_bytes())
    except OSError as error:
        raise HubError(f"{folder}: cannot be written: {error.strerror}") from error
    return name
