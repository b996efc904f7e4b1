"""`trainer train`: walk forward over the newest stretches, then train on everything; each step is kept, so a killed run goes on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hub.errors import HubError
from hub.market.features import FEATURE_HASH
from hub.market.outcome import HORIZONS
from trainer import team
from trainer.calibrate import calibrate
from trainer.dataset import Dataset, Index
from trainer.fit import Fit, Progress, read_whole, write_whole
from trainer.forecasts import forecasts_of, network
from trainer.model import Forecaster
from trainer.precision import device_named
from trainer.run import Run
from trainer.seen import stretches_of
from trainer.spec import Spec
from trainer.splits import Split, walk_forward

EMBARGO = 1440
"""Minutes left out between the parts of a split."""
FEWEST_TRAINING_WINDOWS = 2_000
VALIDATION = 1 / 3
"""How long a validation is beside a test: enough to calibrate on, and no more, since what is newest teaches most."""


@dataclass(frozen=True)
class Stage:
    """One of the models of a run, as the progress bar sees it."""

    name: str
    """`fold 1` ... or `final`."""
    step: int
    steps: int
    loss: float


Tell = Callable[[Stage], None]


def train(
    run: Run, spec: Spec, data: Dataset, source: Path, *, quick: bool = False, device: str = "auto", tell: Tell = lambda _stage: None
) -> None:
    """Fill runs/NAME: forecasts of every fold's test, the final model's weights, run.json. HubError where there is too little data.

    `source`: the folder that the data was loaded from; `quick`: it is a part of it only.
    """
    tests = folds(data, spec)
    last = final_split(data, spec)
    _enough(tests, last)
    with team.together(device_named(device)):
        _same_experiment(run, spec, data)
        for number, split in enumerate(tests, 1):
            if team.agreed(run.load_forecasts(f"fold-{number}.npz", data) is None):
                model = _fitted(run, f"fold {number}", spec, data, split, device, tell)
                if team.leads():
                    run.save_forecasts(f"fold-{number}.npz", data, forecasts_of(network(model), data, split.test))
        if team.agreed(read_whole(run.weights) is None):
            model = _fitted(run, "final", spec, data, last, device, tell)
            if team.leads():
                write_whole(run.weights, {"state": model.state_dict()})
        if team.leads():
            run.write("run.json", {**_facts(run, spec, data, last), "data": str(source.absolute()), "quick": quick})


def folds(data: Dataset, spec: Spec) -> list[Split]:
    """The walk-forward: `spec.folds` tests over the newest `spec.tested` of all minutes, each with its own past."""
    dense = data.on_grid(np.arange(len(data)), spec.every, spec.dense)
    minutes = len(np.unique(data.open_time))
    span = max(1, round(minutes * spec.tested / spec.folds))
    found = walk_forward(
        data.open_time[dense], spec.folds, span, EMBARGO, max(HORIZONS), window=spec.window, validation_span=_validation(span)
    )
    return [_on_grid(data, spec, dense, split) for split in found]


def final_split(data: Dataset, spec: Spec) -> Split:
    """All there is: a little of the newest for calibration, nothing for a test."""
    dense = data.on_grid(np.arange(len(data)), spec.every, spec.dense)
    span = _validation(round(len(np.unique(data.open_time)) * spec.tested / spec.folds))
    [split] = walk_forward(data.open_time[dense], 1, span, EMBARGO, max(HORIZONS), window=spec.window)
    return Split(dense[np.concatenate([split.train, split.validation])], data.on_grid(dense[split.test], spec.every), np.empty(0, np.intp))


def _validation(test_span: int) -> int:
    return max(1, round(test_span * VALIDATION))


def _on_grid(data: Dataset, spec: Spec, dense: Index, split: Split) -> Split:
    """Training is dense; what is judged stands on the forecasts' own grid."""
    return Split(dense[split.train], data.on_grid(dense[split.validation], spec.every), data.on_grid(dense[split.test], spec.every))


def load_model(run: Run) -> Forecaster:
    """The final model of a run, calibrated."""
    saved = read_whole(run.weights)
    if saved is None:
        raise HubError(f"{run.weights}: not there; `trainer train --run {run.name}` makes it")
    model = Forecaster(run.spec())
    model.load_state_dict(saved["state"])
    return model.eval()


def _fitted(run: Run, stage: str, spec: Spec, data: Dataset, split: Split, device: str, tell: Tell) -> Forecaster:
    folder = run.folder / stage.replace(" ", "-")
    fit = Fit(spec, data, split.train, split.validation, folder, device=device)

    def heard(progress: Progress, loss: float) -> None:
        if team.leads():
            tell(Stage(stage, progress.step, fit.steps, loss))

    model = fit.run(heard)
    calibrate(model, data, split.validation)
    if team.leads():
        run.write(f"{folder.name}/curve.json", {"curve": fit.progress.curve, "precision": fit.precision})
    return model.to(torch.device("cpu"))


def _enough(folds: list[Split], last: Split) -> None:
    smallest = min(len(split.train) for split in (*folds, last))
    if smallest < FEWEST_TRAINING_WINDOWS or not all(len(split.validation) and len(split.test) for split in folds):
        raise HubError(
            f"too little data: the first fold has {smallest} training windows, {FEWEST_TRAINING_WINDOWS} are needed;"
            " ingest or fetch more history (a month of two symbols is enough to begin with)"
        )


def _same_experiment(run: Run, spec: Spec, data: Dataset) -> None:
    """A run is one spec on one data set; anything else needs another name."""
    told = {"spec": spec.model_dump(), "data": fingerprint(data)}
    known = team.agreed(run.read("experiment.json"))
    if known is None:
        if team.leads():
            run.write("experiment.json", told)
    elif known != told:
        what = "spec" if known["spec"] != told["spec"] else "data"
        raise HubError(f"{run.folder}: was begun with other {what}; choose another --run, or delete that folder")


def fingerprint(data: Dataset) -> dict[str, Any]:
    """Enough of the data to tell whether it is the same."""
    return {
        "symbols": list(data.symbols),
        "rows": len(data.open_time),
        "first": int(data.open_time.min()),
        "last": int(data.open_time.max()),
        "feature_hash": FEATURE_HASH,
        "outcomes": float(abs(data.outcome[::101]).sum(where=data.outcome[::101] == data.outcome[::101])),
    }


def _facts(run: Run, spec: Spec, data: Dataset, last: Split) -> dict[str, Any]:
    stretches = stretches_of(data.open_time[np.concatenate([last.train, last.validation])])
    return {
        "name": run.name,
        "spec": spec.model_dump(),
        "symbols": list(data.symbols),
        "trained_from": stretches[0][0],
        "trained_until": stretches[-1][1],
        "trained_on": stretches,
        "windows": len(last.train),
        "feature_hash": FEATURE_HASH,
    }
