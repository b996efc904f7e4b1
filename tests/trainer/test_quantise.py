"""INT8 on the shipped shape of network: small, the same answers, and nothing of this machine in the file."""

import base64
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from hub.market.features import FEATURES
from trainer.export import OUTPUTS, golden, session, to_onnx
from trainer.model import Forecaster
from trainer.quantise import anonymous, variants
from trainer.spec import RUNS, load_spec

DYNAMIC = "dynamic, signed in 7 bits"


@pytest.fixture(scope="module")
def graph() -> bytes:
    torch.manual_seed(3)
    return to_onnx(Forecaster(load_spec(RUNS / "default.toml")))


@pytest.fixture(scope="module")
def fp32(graph: bytes) -> bytes:
    return anonymous(graph)


@pytest.fixture(scope="module")
def made(graph: bytes, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return dict(variants(graph, windows(16), tmp_path_factory.mktemp("scratch") / "export"))


def windows(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(4).normal(size=(count, 60, len(FEATURES))).astype(np.float32)


def answers(content: bytes, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """[outputs, windows, horizons], one window at a time."""
    running = session(content)
    return np.stack([np.concatenate(running.run(list(OUTPUTS), {"features": row[None]})) for row in rows], axis=1).astype(np.float64)


def test_the_shipped_shape_is_a_third_of_its_size(fp32: bytes, made: dict[str, bytes]) -> None:
    """Names alone would be a fifth of the file."""
    assert len(made[DYNAMIC]) <= 0.35 * len(fp32)


def test_every_variant_says_nearly_the_same(fp32: bytes, made: dict[str, bytes]) -> None:
    """One that saturates, or was fitted to the wrong ranges, would be far off."""
    rows = windows(40)
    exact = answers(fp32, rows)
    for name, content in made.items():
        assert np.abs(answers(content, rows)[-1] - exact[-1]).max() < 0.02, name


def test_dynamic_and_static_with_and_without_attention_are_compared(made: dict[str, bytes]) -> None:
    assert [sum(word in name for name in made) for word in ("dynamic", "static", "attention")] == [3, 2, 2]
    assert len(set(made.values())) == len(made)


def test_nothing_of_this_machine_is_in_the_file(fp32: bytes, made: dict[str, bytes], tmp_path: Path) -> None:
    """Exporters leave paths and stack traces in doc strings, and modules' names everywhere."""
    for content in (fp32, *made.values()):
        model = onnx.load_from_string(content)
        onnx.checker.check_model(model)
        assert not any(node.doc_string or node.metadata_props for node in model.graph.node)
        for word in (b"/", b"torch", b"site-packages", b".py"):
            assert word not in b"".join(name.encode() for node in model.graph.node for name in (node.name, *node.input, *node.output))
        assert {each.domain for each in model.opset_import} == {""}
        assert b"site-packages" not in content
        assert str(tmp_path.parent).encode() not in content


def test_the_golden_window_is_answered_as_it_says_and_fits_a_manifest(made: dict[str, bytes]) -> None:
    """The hub feeds it to the file it was sent: float16, so that 16 KiB are enough."""
    content = made[DYNAMIC]
    told = golden(content, windows(1)[0])
    assert len(told["inputs"]) < 10_000
    rows = np.frombuffer(base64.b64decode(told["inputs"]), "<f2").reshape(1, 60, len(FEATURES)).astype(np.float32)
    for name, answer in zip(OUTPUTS, session(content).run(list(OUTPUTS), {"features": rows}), strict=True):
        assert np.abs(answer[0] - told["outputs"][name]).max() <= told["tol"][name] * 1e-3
