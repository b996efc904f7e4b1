"""Offers made for tests: a signed envelope for any file, and a trainer that hands over what is asked for."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.market.features import FEATURES
from hub.messages import ModelChunk, ModelManifest, ModelWant
from hub.offer import OUTPUTS, Golden, Offer, offer_for, sign
from tests.models import line_model

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
NOW = datetime(2025, 5, 20, tzinfo=UTC)


def trust(folder: Path, key: Ed25519PrivateKey = KEY) -> None:
    """Put the public half where the plugin in `folder` (its data) looks for it."""
    (folder / "trusted").mkdir(parents=True, exist_ok=True)
    (folder / "trusted" / "it.pub").write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def golden_of(content: bytes, window: int = 60) -> Golden:
    """What the file says of a window of small numbers."""
    exact = np.random.default_rng(1).normal(0, 0.5, (window, len(FEATURES))).astype("<f2")
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    answers = session.run(list(OUTPUTS), {"features": exact.astype(np.float32)[None]})
    return Golden(
        inputs=base64.b64encode(exact.tobytes()).decode(),
        outputs={name: tuple(map(float, answer[0])) for name, answer in zip(OUTPUTS, answers, strict=True)},
        tol=dict.fromkeys(OUTPUTS, 0.01),
    )


def offer_of(content: bytes, counter: int = 1, *, now: datetime = NOW, golden: Golden | None = None, **changed: Any) -> Offer:
    """The honest offer of a file, with some fields changed."""
    told = next(onnx_told(content))
    made = offer_for(content, told, golden or golden_of(content), counter, now, now + timedelta(days=14))
    return Offer.model_validate(made.model_dump(by_alias=True) | changed)


def onnx_told(content: bytes) -> Any:
    import json

    return (json.loads(entry.value) for entry in onnx.load_from_string(content).metadata_props if entry.key == "tickerml")


def chunks_for(want: ModelWant, content: bytes, offer: Offer) -> list[ModelChunk]:
    """What a trainer answers."""
    size = offer.chunk_size
    return [ModelChunk(sha256=want.sha256, index=each, data=content[each * size : (each + 1) * size]) for each in want.chunks]


def signed(offer: Offer, key: Ed25519PrivateKey = KEY) -> ModelManifest:
    return sign(offer, key)


def other_model(bias: float = 0.01, **told: Any) -> bytes:
    """Another file than the starter."""
    import json

    return line_model(bias=bias, name="other", told=json.dumps({"version": str(bias), **told}))


def padded(content: bytes, size: int) -> bytes:
    """The same model, made as large as wanted by metadata that nobody reads."""
    model = onnx.load_from_string(content)
    told: Mapping[str, str] = {entry.key: entry.value for entry in model.metadata_props}
    rng = np.random.default_rng(1)
    filler = base64.b64encode(rng.bytes(size * 3 // 4)).decode()
    onnx.helper.set_model_props(model, {**told, "filler": filler})
    found: bytes = model.SerializeToString()
    return found
