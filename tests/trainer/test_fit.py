"""Training: it learns what can be learnt, and nothing where there is nothing; a killed run loses nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trainer.toy import SMALL, market
from trainer.calibrate import calibrate
from trainer.dataset import Dataset
from trainer.fit import Fit, Progress, read_whole, write_whole
from trainer.forecasts import forecasts_of, network
from trainer.metrics import auc, coverage
from trainer.spec import RUNS, Spec, load_spec
from trainer.train import folds

DEFAULT = load_spec(RUNS / "default.toml").model_copy(
    update={"batch": 256, "epochs": 1, "warm_up": 5, "averaging": 0.9, "precision": "fp32"}
)


class Killed(Exception):
    """The light went out."""


def fitted(folder: Path, pull: float, spec: Spec = SMALL, *, shuffled: bool = False) -> tuple[float, float]:
    data = market(pull=pull)
    split = folds(data, spec)[-1]
    learnt = shuffle(data) if shuffled else data
    model = Fit(spec, learnt, split.train, split.validation, folder, device="cpu").run()
    calibrate(model, data, split.validation)
    said = forecasts_of(network(model), data, split.test)
    outcome = data.outcome[split.test, 0]
    return auc(outcome > 0, said.p_up[:, 0]), coverage(outcome, said.low[:, 0], said.high[:, 0])


@pytest.mark.timeout(180)
def test_a_market_with_memory_is_learnt(tmp_path: Path) -> None:
    """Two epochs of a tiny model, on the future it has not seen; and its interval covers what it says."""
    skill, covered = fitted(tmp_path, 0.15)
    assert skill > 0.6
    assert 0.75 < covered < 0.85


@pytest.mark.timeout(180)
def test_a_fair_coin_is_not(tmp_path: Path) -> None:
    """What scores here would be a leak."""
    skill, _ = fitted(tmp_path, 0.0)
    assert 0.44 < skill < 0.56


def shuffle(data: Dataset) -> Dataset:
    """Every window with the outcome of another."""
    order = np.random.default_rng(9).permutation(len(data))
    return Dataset(data.symbols, data.windows, data.outcome[order], data.volatility, data.open_time, data.symbol)


@pytest.mark.timeout(180)
def test_the_shipped_spec_learns_from_outcomes_and_nothing_from_shuffled_ones(tmp_path: Path) -> None:
    """The canary: whatever scores on outcomes of other windows has looked where it must not."""
    skill, _ = fitted(tmp_path / "true", 0.15, DEFAULT)
    canary, _ = fitted(tmp_path / "shuffled", 0.15, DEFAULT, shuffled=True)
    assert skill > 0.6
    assert 0.4 < canary < 0.6


@pytest.mark.timeout(180)
def test_a_run_killed_after_a_validation_ends_as_if_nothing_had_been(tmp_path: Path) -> None:
    """To the bit: the order of the batches comes from the seed and the epoch alone."""
    data = market()
    split = folds(data, SMALL)[-1]

    def run(folder: Path, killed_at: int | None = None) -> dict[str, torch.Tensor]:
        fit = Fit(SMALL, data, split.train, split.validation, folder, device="cpu")

        def tell(progress: Progress, _loss: float) -> None:
            if progress.step == killed_at:
                raise Killed

        return fit.run(tell).state_dict()

    whole = run(tmp_path / "whole")
    steps = Fit(SMALL, data, split.train, split.validation, tmp_path / "x", device="cpu").steps_an_epoch
    with pytest.raises(Killed):
        run(tmp_path / "killed", killed_at=steps + 2)
    again = run(tmp_path / "killed")
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_a_checkpoint_is_whole_or_the_one_before(tmp_path: Path) -> None:
    """A full disk leaves the last one good, and nothing of a foreign file is run."""
    file = tmp_path / "checkpoint.pt"
    write_whole(file, {"step": 1})
    with pytest.raises(Exception, match="pickle"):
        write_whole(file, {"step": lambda: None})
    assert read_whole(file) == {"step": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_no_label_of_training_reaches_into_what_is_judged() -> None:
    """Purged and embargoed: a day and the longest horizon lie between."""
    data = market()
    for split in folds(data, SMALL):
        times = data.open_time
        assert times[split.train].max() + (1440 + 30) * 60_000 < times[split.validation].min()
        assert times[split.validation].max() + (1440 + 30) * 60_000 < times[split.test].min()
        assert not np.intersect1d(split.train, split.test).size
