"""What a trainer says of a model that it offers, signed: one vocabulary for both machines.

The exact bytes are signed, with a word in front that makes the signature good for nothing else (Ed25519, RFC 8032).
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hub.complaints import explain
from hub.errors import HubError
from hub.keys import key_id
from hub.messages import Count, Horizon, ModelManifest, Name, Sha256, UtcTime

CONTEXT = b"tickerml-model-v1\0"
CHUNK_BYTES = 131_072
MOST_BYTES = 8 * 1024 * 1024
"""Of a model file."""
MOST_MANIFEST_BYTES = 16_384
OUTPUTS = ("log_return", "log_return_low", "log_return_high", "p_up")
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
"""The first 64 bits of a chunk's SHA-256: tells a damaged chunk from a good one; what counts in the end is the whole file's."""


class OfferRefused(HubError):
    """An offer that is not taken; the message is the reason, for the trainer too."""

    exit_code = 5


class Golden(BaseModel):
    """A window, and what the model says of it where it was made."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    inputs: Annotated[str, Field(max_length=12_000)]
    """Base64 of float16, little-endian, [window, features]."""
    outputs: Mapping[str, tuple[float, ...]]
    """By output name, [horizons]."""
    tol: Mapping[str, Annotated[float, Field(ge=0)]]
    """How far from these it may be on another machine."""

    @model_validator(mode="after")
    def _every_output(self) -> "Golden":
        if set(self.outputs) != set(OUTPUTS) or set(self.tol) != set(OUTPUTS):
            raise ValueError(f"outputs and tol need {', '.join(OUTPUTS)}, no more and no less")
        return self


class Offer(BaseModel):
    """All that is signed."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, populate_by_name=True)

    schema_: Literal[1] = Field(default=1, alias="schema")
    name: Name
    version: Annotated[str, Field(min_length=1, max_length=64)]
    counter: Count
    """Grows with every offer; the hub takes none that is older than what it has taken."""
    sha256: Sha256
    size: Annotated[int, Field(gt=0, le=MOST_BYTES)]
    chunk_size: Annotated[int, Field(ge=1024, le=CHUNK_BYTES)] = CHUNK_BYTES
    chunks: Annotated[tuple[Digest, ...], Field(min_length=1, max_length=4096)]
    feature_hash: Annotated[str, Field(min_length=1, max_length=64)]
    window: Annotated[int, Field(ge=1, le=1440)]
    horizons: Annotated[tuple[Horizon, ...], Field(min_length=1, max_length=16)]
    golden: Golden
    scores: dict[str, Any] | None = None
    created_at: UtcTime
    expires_at: UtcTime
    """To be taken until then; a model that runs is never stopped by it."""

    @model_validator(mode="after")
    def _complete(self) -> "Offer":
        if len(self.chunks) != -(-self.size // self.chunk_size):
            raise ValueError(f"{self.size} bytes in chunks of {self.chunk_size} are not {len(self.chunks)} chunks")
        return self

    def length_of(self, index: int) -> int:
        """Bytes of one chunk."""
        return min(self.chunk_size, self.size - index * self.chunk_size)


def digest(chunk: bytes) -> str:
    """A chunk's `Digest`."""
    return hashlib.sha256(chunk).hexdigest()[:16]


def sign(offer: Offer, key: Ed25519PrivateKey) -> ModelManifest:
    """The envelope. OfferRefused where it would be larger than a hub takes."""
    payload = offer.model_dump_json(by_alias=True, exclude_none=True).encode()
    made = ModelManifest(
        payload=base64.b64encode(payload).decode(),
        keyid=key_id(key.public_key().public_bytes_raw()),
        sig=key.sign(CONTEXT + payload).hex(),
    )
    if (size := len(made.model_dump_json())) > MOST_MANIFEST_BYTES:
        raise OfferRefused(f"the manifest has {size} bytes, and a hub reads {MOST_MANIFEST_BYTES}: leave out some of the scores")
    return made


def opened(manifest: ModelManifest, trusted: Mapping[str, Ed25519PublicKey]) -> Offer:
    """The offer in an envelope that one of the trusted keys, by id, has signed. OfferRefused, in words, otherwise."""
    key = trusted.get(manifest.keyid)
    if key is None:
        raise OfferRefused(f"no trusted key signed it (it says key {manifest.keyid}); type on the hub: hub models trust tickerml.pub")
    try:
        payload = base64.b64decode(manifest.payload, validate=True)
        key.verify(bytes.fromhex(manifest.sig), CONTEXT + payload)
    except (binascii.Error, ValueError, InvalidSignature) as error:
        raise OfferRefused(
            f"the signature of key {manifest.keyid} does not fit: it was changed on its way, or another key signed it"
        ) from error
    try:
        return Offer.model_validate_json(payload)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, where))}: {text}" for where, text in explain(error, Offer))
        raise OfferRefused(f"not an offer that this version understands: {problems}"[:900]) from error


def offer_for(content: bytes, told: Mapping[str, Any], golden: Golden, counter: int, created_at: datetime, expires_at: datetime) -> Offer:
    """The offer of a model file; `told` is its own metadata."""
    pieces = [content[first : first + CHUNK_BYTES] for first in range(0, len(content), CHUNK_BYTES)]
    return Offer(
        name=told["name"],
        version=told["version"],
        counter=counter,
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        chunks=tuple(map(digest, pieces)),
        feature_hash=told["feature_set"]["hash"],
        window=told["window"],
        horizons=tuple(told["horizons"]),
        golden=golden,
        scores=told.get("scores") or None,
        created_at=created_at,
        expires_at=expires_at,
    )


def public_key(file: Path) -> Ed25519PublicKey:
    """HubError, with the file's name, where it is no public key of ours."""
    found = _key(file, load_pem_public_key, "tickerml.pub")
    if not isinstance(found, Ed25519PublicKey):
        raise HubError(f"{file}: is another kind of key; tickerml.pub of `trainer keygen` is needed")
    return found


def private_key(file: Path) -> Ed25519PrivateKey:
    """HubError, with the file's name, where it is no private key of ours."""
    found = _key(file, lambda text: load_pem_private_key(text, None), "tickerml.key")
    if not isinstance(found, Ed25519PrivateKey):
        raise HubError(f"{file}: is another kind of key; tickerml.key of `trainer keygen` is needed")
    return found


def _key(file: Path, load: Callable[[bytes], object], usual: str) -> object:
    try:
        return load(file.read_bytes())
    except OSError as error:
        raise HubError(f"{file}: cannot be read: {error.strerror}; `trainer keygen` makes {usual}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise HubError(f"{file}: is no key in PEM; `trainer keygen` makes {usual}") from error
