"""What an ONNX file asks of whoever runs it, read from its bytes: operators, and files beside it. The `onnx` package is not on the hub.

Protocol buffers' wire format (developers.google.com/protocol-buffers/docs/encoding), and of onnx.proto the few fields that matter.
"""

from collections.abc import Iterator

from hub.offer import OfferRefused

_HARMLESS = """
Add And Cast Clip Concat Constant ConstantOfShape DequantizeLinear Div DynamicQuantizeLinear Equal Erf Exp Expand Flatten Gather Gelu
Gemm Greater Identity LayerNormalization Less Log MatMul MatMulInteger Max Min Mul Neg Not Pow QuantizeLinear Range Reciprocal
ReduceMax ReduceMean ReduceSum Relu Reshape Shape Sigmoid Slice Softmax Softplus Split Sqrt Squeeze Sub Tanh Transpose Unsqueeze Where
"""
ALLOWED = frozenset(_HARMLESS.split())
"""Operators that only compute. None of them runs another graph, reads a file, or repeats for ever."""
DOMAINS = frozenset({"", "ai.onnx"})
MOST_NODES = 20_000
# Field numbers in onnx.proto.
_GRAPH, _FUNCTIONS = 7, 25
_NODE, _INITIALIZER, _SPARSE = 1, 5, 15
_OP_TYPE, _ATTRIBUTE, _DOMAIN = 4, 5, 7
_TENSOR, _SUBGRAPH, _TENSORS, _SUBGRAPHS, _SPARSE_TENSOR, _SPARSE_TENSORS = 5, 6, 10, 11, 22, 23
_EXTERNAL, _LOCATION = 13, 14
_METADATA, _KEY, _VALUE = 14, 1, 2


def look(content: bytes) -> list[str]:
    """The operators, in order. OfferRefused where the file is none, or asks for what it may not have."""
    parts = list(_fields(memoryview(content)))
    graphs = [value for number, value in parts if number == _GRAPH and isinstance(value, memoryview)]
    if any(number == _FUNCTIONS for number, _ in parts):
        raise OfferRefused("the model brings functions of its own: only plain graphs are taken")
    if len(graphs) != 1:
        raise OfferRefused("not an ONNX model: it has no graph, or several")
    operators = list(_operators(graphs[0]))
    if not operators:
        raise OfferRefused("not an ONNX model: its graph is empty")
    return operators


def metadata(content: bytes) -> dict[str, str]:
    """What the file says of itself. OfferRefused where it is no ONNX file."""
    found = {}
    for number, value in _fields(memoryview(content)):
        if number == _METADATA and isinstance(value, memoryview):
            parts = {part: bytes(text).decode("utf-8", "replace") for part, text in _fields(value) if isinstance(text, memoryview)}
            found[parts.get(_KEY, "")] = parts.get(_VALUE, "")
    return found


def _operators(graph: memoryview) -> Iterator[str]:
    nodes = 0
    for number, value in _fields(graph):
        if number == _SPARSE:
            raise OfferRefused("the model has sparse tensors: only plain ones are taken")
        if number == _NODE and isinstance(value, memoryview):
            nodes += 1
            if nodes > MOST_NODES:
                raise OfferRefused(f"the model has more than {MOST_NODES} nodes")
            yield _operator(value)
        elif number == _INITIALIZER and isinstance(value, memoryview):
            _no_other_file(value)


def _operator(node: memoryview) -> str:
    kind, domain = "", ""
    for number, value in _fields(node):
        if number == _OP_TYPE and isinstance(value, memoryview):
            kind = bytes(value).decode("utf-8", "replace")
        elif number == _DOMAIN and isinstance(value, memoryview):
            domain = bytes(value).decode("utf-8", "replace")
        elif number == _ATTRIBUTE and isinstance(value, memoryview):
            _plain(value)
    if kind not in ALLOWED or domain not in DOMAINS:
        named = f"{domain}.{kind}" if domain else kind
        raise OfferRefused(f"the model uses operator {named[:80]!r}, which is not on the list of harmless ones")
    return kind


def _plain(attribute: memoryview) -> None:
    for number, value in _fields(attribute):
        if number in {_SUBGRAPH, _SUBGRAPHS, _SPARSE_TENSOR, _SPARSE_TENSORS}:
            raise OfferRefused("the model has a graph, or a sparse tensor, inside a node: only plain ones are taken")
        if number in {_TENSOR, _TENSORS} and isinstance(value, memoryview):
            _no_other_file(value)


def _no_other_file(tensor: memoryview) -> None:
    for number, value in _fields(tensor):
        if number == _EXTERNAL or (number == _LOCATION and value != 0):
            raise OfferRefused("the model keeps weights in another file: all of it must be in one")


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview | None]]:
    """Numbers and values of a message's fields. OfferRefused where the bytes are no message."""
    place, end = 0, len(message)
    while place < end:
        key, place = _varint(message, place)
        number, wire = key >> 3, key & 7
        value: int | memoryview | None = None
        if wire == 0:
            value, place = _varint(message, place)
        elif wire == 2:
            length, place = _varint(message, place)
            value = message[place : place + length]
            place += length
        elif wire in {1, 5}:
            place += 8 if wire == 1 else 4
        else:
            raise OfferRefused("not an ONNX model: its bytes are no protocol buffer")
        if place > end or not number:
            raise OfferRefused("not an ONNX model: it is cut off, or no protocol buffer")
        yield number, value


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(message) and shift < 70:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
    raise OfferRefused("not an ONNX model: it is cut off, or no protocol buffer")
