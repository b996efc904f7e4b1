"""The model that comes with the hub: what its file says of itself, and that its page says the same."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from hub.market.features import FEATURE_HASH, FEATURES
from tests.trainer.toy import market
from trainer.export import OUTPUTS, session
from trainer.model_file import told_by
from trainer.starter import starter_file


@pytest.fixture(scope="module")
def content() -> bytes:
    return starter_file().read_bytes()


@pytest.fixture(scope="module")
def told(content: bytes) -> dict[str, Any]:
    return told_by(content)


def test_it_is_small_and_of_the_features_that_the_hub_computes(content: bytes, told: dict[str, Any]) -> None:
    """A hub whose formulas changed would refuse it: then it must be trained again."""
    assert len(content) < 2_000_000
    assert told["feature_set"] == {"names": list(FEATURES), "hash": FEATURE_HASH}
    assert (told["name"], told["window"], told["horizons"], told["symbols"]) == ("starter", 60, [5, 10, 30], ["BTC-USDT", "ETH-USDT"])
    assert {"version", "scaling", "trained_from", "trained_until", "trained_on", "scores", "created_at"} <= set(told)


def test_its_scores_are_those_that_may_be_shipped(told: dict[str, Any]) -> None:
    """Out of sample, walk-forward, both symbols pooled."""
    for horizon, least in {"5": 0.525, "10": 0.529, "30": 0.532}.items():
        scores = told["scores"][horizon]
        assert least <= round(scores["auc"], 4) < 0.56
        assert scores["mse_skill"] > -0.001
        assert scores["pinball_skill"] > 0.09
        assert scores["ece"] <= 0.01
        assert 0.78 <= scores["coverage80"] <= 0.82


def test_it_answers_with_a_forecast_that_can_be(content: bytes) -> None:
    """One window at a time, as the hub asks; and its weights are 8-bit integers."""
    data = market(pull=0.0)
    running = session(content)
    for row in data.rows(np.arange(0, len(data), 1500)):
        expected, low, high, p_up = running.run(list(OUTPUTS), {"features": row[None]})
        assert (low < expected).all()
        assert (expected < high).all()
        assert ((p_up > 0.3) & (p_up < 0.7)).all()
    model = onnx.load_from_string(content)
    large = [each for each in model.graph.initializer if np.prod(each.dims) > 1_000]
    assert {each.data_type for each in large} <= {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}
    assert not any(each.external_data for each in model.graph.initializer)


def test_its_page_says_what_the_file_says(told: dict[str, Any], content: bytes) -> None:
    """A starter that is trained again brings its report along."""
    page = (Path(__file__).parents[2] / "docs" / "starter.md").read_text()
    assert f"{len(content):,} bytes" in page or f"| {len(content):,} |" in page
    assert all(f"{told['scores'][horizon]['auc']:.4f}" in page for horizon in ("5", "10", "30"))
    assert all(begun[:10] in page for begun, _ in told["trained_on"])
    assert "Nothing is left after costs" in page
