"""What a model file says of itself, in its metadata."""

import json
from typing import Any

import onnx
from google.protobuf.message import DecodeError

METADATA = "tickerml"


def told_by(content: bytes) -> dict[str, Any]:
    """What a model file says of itself. ValueError where it says nothing."""
    try:
        model = onnx.load_from_string(content)
    except DecodeError as error:
        raise ValueError("not an ONNX file") from error
    for entry in model.metadata_props:
        if entry.key == METADATA:
            told: dict[str, Any] = json.loads(entry.value)
            return told
    raise ValueError("no model of ours: its metadata says nothing")
