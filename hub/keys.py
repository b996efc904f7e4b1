"""The short name of a public key, the same where a model is signed and where it is checked."""

import hashlib


def key_id(public_key: bytes) -> str:
    """16 hex digits for an Ed25519 public key, given as its 32 raw bytes."""
    return hashlib.sha256(public_key).hexdigest()[:16]
