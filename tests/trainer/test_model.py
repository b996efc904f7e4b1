"""The networks: what they may look at, what their numbers mean, and the seed's defects that must not come back."""

import pytest
import torch
from torch import Tensor

from hub.market.features import FEATURES
from hub.market.outcome import HORIZONS
from trainer.model import Forecaster, loss
from trainer.spec import RUNS, Spec, load_spec

SPECS = {name: load_spec(RUNS / f"{name}.toml") for name in ("default", "seed")}


@pytest.fixture(params=SPECS, ids=str)
def model(request: pytest.FixtureRequest) -> Forecaster:
    torch.manual_seed(3)
    return Forecaster(SPECS[request.param]).eval()


def windows(count: int = 4) -> Tensor:
    return torch.randn(count, 60, len(FEATURES), generator=torch.Generator().manual_seed(5))


def test_one_window_is_not_moved_by_the_others_of_its_batch(model: Forecaster) -> None:
    """Attention over the batch looks like skill where batches are in time's order: windows next to each other share their future."""
    rows = windows()
    alone = [part[1] for part in model(rows)]
    others = rows.clone()
    others[[0, 2, 3]] = torch.randn(3, 60, len(FEATURES))
    for before, after in zip(alone, (part[1] for part in model(others)), strict=True):
        torch.testing.assert_close(before, after, rtol=1e-5, atol=1e-7)


def test_every_minute_of_the_window_is_seen(model: Forecaster) -> None:
    """A model that looks at the last row alone needs no attention."""
    rows = windows(1).requires_grad_()
    model(rows)[3].sum().backward()
    assert rows.grad is not None
    assert (rows.grad.abs().sum(dim=2) > 0).all()


def test_the_order_of_the_minutes_matters(model: Forecaster) -> None:
    """The position is added to the projected row; without it the window would be a bag of minutes."""
    with torch.no_grad():
        torch.nn.init.normal_(model.networks[0].position)
        rows = windows(1)
        turned = rows.clone()
        turned[:, :50] = turned[:, :50].flip(1)
        assert not torch.allclose(model(rows)[3], model(turned)[3], atol=1e-7)


def test_there_is_an_interval_and_a_direction_for_every_horizon(model: Forecaster) -> None:
    """[batch, horizons] each; low below expected below high, and a probability."""
    expected, low, high, p_up = model(windows())
    assert {part.shape for part in (expected, low, high, p_up)} == {(4, len(HORIZONS))}
    assert (low < expected).all()
    assert (expected < high).all()
    assert ((p_up > 0) & (p_up < 1)).all()


def test_a_wilder_hour_makes_wider_intervals_in_the_same_proportion(model: Forecaster) -> None:
    """Volatility is part of the graph: the heads speak in its units."""
    place = FEATURES.index("volatility_60")
    rows = torch.zeros(1, 60, len(FEATURES))
    model.scaling.factor[place] = 0.0  # the network itself does not see it
    wild = rows.clone()
    wild[..., place] = 1.0
    with torch.no_grad():
        calm_width, wild_width = ((high - low) for _, low, high, _ in (model(rows), model(wild)))
    torch.testing.assert_close(wild_width, calm_width * torch.e)


def test_a_feature_that_never_moved_in_training_counts_as_nothing() -> None:
    """Taker volume and sentiment may be missing from all of history; live values must not meet weights that chance made."""
    model = Forecaster(Spec(kind="patch")).eval()
    deviation = torch.ones(len(FEATURES))
    deviation[7] = 0.0
    model.scaling.fit(torch.zeros(len(FEATURES)), deviation)
    rows = windows(2)
    other = rows.clone()
    other[..., 7] += 100.0
    for before, after in zip(model(rows), model(other), strict=True):
        torch.testing.assert_close(before, after)


def test_the_loss_is_least_for_the_truth() -> None:
    """Cross-entropy of the direction, pinball of each quantile; an outcome of 0 has no direction."""
    labels = torch.tensor([[1.0, -1.0, 0.0]])
    right = (torch.tensor([[9.0, -9.0, 0.0]]), labels, labels, labels)
    wrong = (torch.tensor([[-9.0, 9.0, 0.0]]), -labels, -labels, -labels)
    assert loss(right, labels) < 0.01 < loss(wrong, labels)
    assert loss((torch.tensor([[9.0, -9.0, 99.0]]), labels, labels, labels), labels) == loss(right, labels)
