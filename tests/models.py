"""Models made for tests, in a few kilobytes: a line through the newest feature row, with all that a model file must have."""

import json
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hub.market.features import FEATURE_HASH, FEATURES
from hub.market.outcome import HORIZONS
from hub.messages import ModelId

VOLATILITY, RETURN_5 = FEATURES.index("volatility_60"), FEATURES.index("return_5")


@lru_cache(maxsize=16)
def line_model(
    *, pull: float = 0.1, width: float = 1.3, bias: float = 0.0, window: int = 60, name: str = "line", told: str = "{}"
) -> bytes:
    """Expects the part `pull` of the last five minutes' move to come back; its interval reaches `width` volatilities.

    `told`: JSON that is laid over the metadata.
    """
    horizons = len(HORIZONS)
    move = np.zeros((len(FEATURES), horizons), np.float32)
    move[RETURN_5] = -pull
    volatility = np.zeros((len(FEATURES), horizons), np.float32)
    volatility[VOLATILITY] = 1.0
    values = {
        "last": np.array(window - 1, np.int64),
        "move": move,
        "volatility": volatility,
        "unit": (5e-4 * np.sqrt(np.array(HORIZONS))).astype(np.float32),
        "bias": np.full(horizons, bias, np.float32),
        "reach": np.full(horizons, width, np.float32),
    }
    nodes = [
        helper.make_node("Gather", ["features", "last"], ["row"], axis=1),
        helper.make_node("MatMul", ["row", "volatility"], ["wild"]),
        helper.make_node("Exp", ["wild"], ["factor"]),
        helper.make_node("Mul", ["factor", "unit"], ["usual"]),
        helper.make_node("MatMul", ["row", "move"], ["drawn"]),
        helper.make_node("Add", ["drawn", "bias"], ["expected"]),
        helper.make_node("Mul", ["expected", "usual"], ["log_return"]),
        helper.make_node("Mul", ["reach", "usual"], ["half"]),
        helper.make_node("Sub", ["log_return", "half"], ["log_return_low"]),
        helper.make_node("Add", ["log_return", "half"], ["log_return_high"]),
        helper.make_node("Sigmoid", ["expected"], ["p_up"]),
    ]
    return finished(nodes, values, window, name, json.loads(told))


def finished(nodes: Sequence[Any], values: dict[str, Any], window: int, name: str, told: dict[str, Any]) -> bytes:
    """The graph as a file with metadata; `told` is laid over it."""
    outputs = ("log_return", "log_return_low", "log_return_high", "p_up")
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", window, len(FEATURES)])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", len(HORIZONS)]) for output in outputs],
        [numpy_helper.from_array(value, key) for key, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    facts = {
        "name": name,
        "version": "1",
        "feature_set": {"names": list(FEATURES), "hash": FEATURE_HASH},
        "window": window,
        "horizons": list(HORIZONS),
        "symbols": ["BTC-USDT", "ETH-USDT"],
        "scaling": "inside the graph",
        "scores": {},
    }
    helper.set_model_props(model, {"tickerml": json.dumps(facts | told)})
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


@lru_cache(maxsize=64)
def digest(content: bytes) -> str:
    """What a model is known by."""
    return sha256(content).hexdigest()


class FakeSlot:
    """A slot that you fill by hand: the live model, those behind it, and one in shadow."""

    def __init__(self, *live: bytes, shadow: bytes | None = None) -> None:
        """`live`: the one that serves, then those that take its place when it has failed three times."""
        self.stack = list(live)
        self.in_shadow = shadow
        self.reports: list[tuple[str, bool, str]] = []

    def live(self) -> tuple[ModelId, bytes]:
        return served(self.stack[0]), self.stack[0]

    def shadow(self) -> tuple[ModelId, bytes] | None:
        return None if self.in_shadow is None else (served(self.in_shadow), self.in_shadow)

    def report(self, sha256: str, ok: bool, reason: str) -> None:
        self.reports.append((sha256, ok, reason))
        failed = self.reports[-200:].count((sha256, False, reason)) if sha256 == digest(self.stack[0]) else 0
        if failed >= 3 and len(self.stack) > 1:
            self.stack.pop(0)


@lru_cache(maxsize=64)
def served(content: bytes) -> ModelId:
    """Which model a file is, as the slot says."""
    facts = next(json.loads(entry.value) for entry in onnx.load_from_string(content).metadata_props if entry.key == "tickerml")
    return ModelId(name=facts["name"], version=facts["version"], sha256=digest(content))
