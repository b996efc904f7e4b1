"""FP32 to INT8, in every way that is right on processors with and without 8-bit instructions; which is best, the export's report says.

Signed weights over their whole range are not among them: without VNNI the products saturate, and are wrong by a third.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

Rows = NDArray[np.float32]
PRODUCTS = ["MatMul", "Gemm"]
RANGE_WINDOWS = 256
"""How many windows a static variant fits its ranges to."""


def variants(graph: bytes, rows: Rows, scratch: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each variant of an FP32 graph. `rows` [windows, window, features]: what a static one fits its ranges to."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    scratch.mkdir(parents=True, exist_ok=True)
    source, prepared, target = (scratch / f"{name}.onnx" for name in ("fp32", "prepared", "int8"))
    source.write_bytes(graph)
    try:
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        for name, make in _ways(prepared, rows).items():
            make(target)
            yield name, anonymous(target.read_bytes())
    finally:
        for file in (source, prepared, target):
            file.unlink(missing_ok=True)


def _ways(prepared: Path, rows: Rows) -> Mapping[str, Callable[[Path], None]]:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static

    attention = [node.name for node in onnx.load(prepared).graph.node if "attention/" in node.name]
    both: dict[str, Any] = {"op_types_to_quantize": PRODUCTS, "per_channel": True}
    signed = both | {"weight_type": QuantType.QInt8, "reduce_range": True}
    unsigned = both | {"weight_type": QuantType.QUInt8}
    static = signed | {"quant_format": QuantFormat.QDQ, "activation_type": QuantType.QUInt8}
    return {
        "dynamic, signed in 7 bits": lambda target: quantize_dynamic(prepared, target, **signed),
        "dynamic, unsigned": lambda target: quantize_dynamic(prepared, target, **unsigned),
        "dynamic, unsigned, attention left in FP32": lambda target: quantize_dynamic(
            prepared, target, nodes_to_exclude=attention, **unsigned
        ),
        "static": lambda target: quantize_static(prepared, target, _Windows(rows), **static),
        "static, attention left in FP32": lambda target: quantize_static(
            prepared, target, _Windows(rows), nodes_to_exclude=attention, **static
        ),
    }


class _Windows:
    """Windows one at a time, as the quantiser asks for them."""

    def __init__(self, rows: Rows) -> None:
        self._rest = iter(rows)

    def get_next(self) -> dict[str, Rows] | None:
        """The next input, None at the end."""
        rows = next(self._rest, None)
        return None if rows is None else {"features": rows[None]}

    def __iter__(self) -> "_Windows":
        return self

    def __next__(self) -> dict[str, Rows]:
        found = self.get_next()
        if found is None:
            raise StopIteration
        return found


def anonymous(content: bytes) -> bytes:
    """Without the doc strings and paths that exporters leave in it, and with short names: a fifth of a small file is names."""
    model = onnx.load_from_string(content)
    graph = model.graph
    kept = {entry.name for entry in (*graph.input, *graph.output)} | {""}
    short: dict[str, str] = {}

    def named(name: str) -> str:
        return name if name in kept else short.setdefault(name, f"{len(short):x}")

    for number, node in enumerate(graph.node):
        node.name, node.doc_string = f"n{number:x}", ""
        node.input[:], node.output[:] = map(named, list(node.input)), map(named, list(node.output))
        del node.metadata_props[:]
    for constant in graph.initializer:
        constant.name, constant.doc_string = named(constant.name), ""
    del graph.value_info[:], graph.metadata_props[:], model.metadata_props[:]
    model.doc_string = graph.doc_string = ""
    model.producer_name, model.producer_version, graph.name = "tickerml", "", "forecast"
    used = [each for each in model.opset_import if each.domain in {node.domain for node in graph.node}]
    del model.opset_import[:]
    model.opset_import.extend(used)
    short_file: bytes = model.SerializeToString()
    return short_file
