"""What ten minutes of a processor teach: our loop and this project's first program on one market, judged on what they have not seen.

The market is made for it: of every move a little is taken back in the next minutes, so there is about as little to learn as in real ones.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader

from bench.row import Row
from bench.training import FirstProgram, Slices
from hub.market import metrics
from hub.market.features import FEATURES
from tests.trainer.toy import market
from trainer.dataset import Dataset, Index
from trainer.fit import Fit
from trainer.forecasts import network
from trainer.spec import RUNS, Spec, load_spec

HORIZON = 0
"""The first: five minutes."""
PULL = 0.02
"""Of the last five minutes' move a minute: least squares on the last 12 moves has an AUC of 0.533, the starter 0.526 on real minutes."""
WARM_UP = 5.0
AHEAD = 40
"""Minutes between what is trained on and what is judged."""
JUDGED = 40_000
"""Windows, evenly over what nobody has trained on."""


def split(data: Dataset) -> tuple[Index, Index]:
    """The last fifth of each symbol is for judging."""
    train, test = [], []
    for number in range(len(data.symbols)):
        [places] = np.nonzero(data.symbol == number)
        cut = len(places) * 4 // 5
        train.append(places[: cut - AHEAD])
        test.append(places[cut:])
    left = np.concatenate(test)
    return np.concatenate(train), left[:: max(1, len(left) // JUDGED)]


def skill(data: Dataset, test: Index, p_up: np.ndarray) -> float:
    """AUC of the first horizon."""
    outcome = data.outcome[test, HORIZON]
    moved = outcome != 0.0
    return float(metrics.auc(outcome[moved] > 0.0, p_up[moved]) or 0.5)


def by_ours(spec: Spec, data: Dataset, train: Index, test: Index, seconds: float) -> tuple[float, float]:
    """Windows a second of processor time, and AUC."""
    with tempfile.TemporaryDirectory() as name:
        trial = Fit(spec, data, train, test[:2_000], Path(name))
        begun, steps = time.process_time(), 0
        for _ in trial.steps_taken():
            steps += 1
            if time.process_time() - begun > min(WARM_UP, seconds / 4):
                break
        rate = steps / (time.process_time() - begun)
        epochs = max(1, round(rate * seconds / trial.steps_an_epoch))
        fit = Fit(spec.model_copy(update={"epochs": epochs}), data, train, test[:2_000], Path(name) / "whole")
        begun = time.process_time()
        seen = 0
        for _ in fit.steps_taken():
            seen += spec.batch
            if time.process_time() - begun > seconds:
                break
        took = time.process_time() - begun
        fit.model.load_state_dict(fit._averaged)
        ask = network(fit.model.eval())
        said = np.concatenate([ask(data.rows(test[first : first + 2048]))[3] for first in range(0, len(test), 2048)])
    return seen / took, skill(data, test, said[:, HORIZON])


def by_a_straight_line(data: Dataset, train: Index, test: Index) -> float:
    """AUC of least squares on the newest minute's features."""
    some = train[::5]
    known, asked = (np.column_stack([data.newest(places), np.ones(len(places))]) for places in (some, test))
    line = np.linalg.lstsq(known, data.outcome[some, HORIZON], rcond=None)[0]
    return skill(data, test, asked @ line)


def by_the_first_program(data: Dataset, train: Index, test: Index, seconds: float) -> tuple[float, float]:
    """As it was published, a window at a time out of a frame; its direction learns beside its price."""
    torch.manual_seed(0)
    model = FirstProgram()
    frame = pd.DataFrame(data.newest(train), columns=list(FEATURES)).assign(label=data.labels(train)[:, HORIZON])
    optimizer, loader = torch.optim.Adam(model.parameters()), DataLoader(Slices(frame, list(FEATURES)), batch_size=32, shuffle=True)
    begun, seen = time.process_time(), 0
    while time.process_time() - begun < seconds:
        for rows, labels in loader:
            price, up = model(rows)
            optimizer.zero_grad()
            (nn.functional.mse_loss(price[:, 0], labels) + nn.functional.binary_cross_entropy(up[:, 0], (labels > 0).float())).backward()
            optimizer.step()
            seen += len(rows)
            if time.process_time() - begun > seconds:
                break
    took = time.process_time() - begun
    model.eval()
    mixed = np.random.default_rng(0).permutation(test)  # it attends over its whole batch, and has learnt from batches in no order
    with torch.no_grad():
        said = np.concatenate(
            [model(torch.from_numpy(data.rows(mixed[first : first + 32])))[1][:, 0].numpy() for first in range(0, len(mixed), 32)]
        )
    return seen / took, skill(data, mixed, said)


def rows(minutes: int = 400_000, seconds: float = 600.0) -> list[Row]:
    """Both, one after the other."""
    data, spec = market(minutes, PULL), load_spec(RUNS / "default.toml").model_copy(update={"precision": "fp32"})
    train, test = split(data)
    ours, our_auc = by_ours(spec, data, train, test, seconds)
    theirs, their_auc = by_the_first_program(data, train, test, seconds)
    line = by_a_straight_line(data, train, test)
    known = f"five minutes ahead, out of sample; one run, one seed; least squares on the newest features: {line:.3f}"
    beside, note = "the first program as written", f"{seconds:.0f} s of processor time"
    return [
        Row("windows seen", ours, "windows/s", theirs, beside, ours / theirs, at_least=20, note=note),
        Row("AUC reached", our_auc, "AUC", their_auc, beside, our_auc / their_auc, at_least=1, note=known),
    ]
