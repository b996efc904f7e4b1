"""What an ONNX file would have whoever runs it do is seen before it runs."""

from contextlib import suppress

import numpy as np
import onnx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from hub.offer import OfferRefused
from plugins.inference.onnx_look import look, metadata
from tests.models import line_model

CONTENT = line_model()


def model(*nodes: onnx.NodeProto, initializers: tuple[onnx.TensorProto, ...] = ()) -> bytes:
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph(list(nodes), "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])], [out], list(initializers))
    content: bytes = helper.make_model(graph).SerializeToString()
    return content


def test_a_plain_model_is_read_as_onnx_reads_it() -> None:
    theirs = onnx.load_from_string(CONTENT)
    assert look(CONTENT) == [node.op_type for node in theirs.graph.node]
    assert metadata(CONTENT) == {entry.key: entry.value for entry in theirs.metadata_props}


def test_an_operator_that_is_not_on_the_list_is_named() -> None:
    with pytest.raises(OfferRefused, match="'Loop'"):
        look(model(helper.make_node("Loop", ["x"], ["y"])))
    with pytest.raises(OfferRefused, match=r"'com\.microsoft\.Gelu'"):
        look(model(helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")))


def test_weights_in_another_file_are_refused_wherever_they_stand() -> None:
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    with pytest.raises(OfferRefused, match="another file"):
        look(model(helper.make_node("Add", ["x", "w"], ["y"]), initializers=(tensor,)))
    with pytest.raises(OfferRefused, match="another file"):
        look(model(helper.make_node("Constant", [], ["y"], value=tensor)))


def test_a_graph_inside_a_node_is_refused() -> None:
    inner = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "inner", [], [])
    with pytest.raises(OfferRefused, match="inside a node"):
        look(model(helper.make_node("Identity", ["x"], ["y"], body=inner)))


def test_functions_of_its_own_are_refused() -> None:
    made = onnx.load_from_string(CONTENT)
    made.functions.append(helper.make_function("own", "F", ["x"], ["y"], [helper.make_node("Identity", ["x"], ["y"])], []))
    with pytest.raises(OfferRefused, match="functions of its own"):
        look(made.SerializeToString())


@settings(max_examples=3_000, deadline=None)
@given(st.integers(0, len(CONTENT) - 1), st.binary(max_size=8), st.booleans())
def test_a_damaged_file_is_read_or_refused_and_nothing_else(place: int, bytes_: bytes, cut: bool) -> None:
    changed = CONTENT[:place] + bytes_ + (b"" if cut else CONTENT[place + len(bytes_) :])
    with suppress(OfferRefused):
        assert look(changed)


@settings(max_examples=2_000, deadline=None)
@given(st.binary(max_size=300))
@example(b"")
@example(b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
def test_any_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(OfferRefused):
        look(content)
