"""Windows a second in training: our loop beside the bare steps of the same network, and beside this project's first program."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from bench.row import Row, interleaved, side_by_side
from hub.market.features import FEATURES
from tests.trainer.toy import market
from trainer.dataset import Dataset
from trainer.fit import Fit
from trainer.model import Forecaster, loss
from trainer.spec import RUNS, Spec, load_spec

WINDOW = 60


class Slices(TorchDataset[tuple[Tensor, Tensor]]):
    """A window is cut out of the frame whenever one is asked for."""

    def __init__(self, frame: pd.DataFrame, names: list[str]) -> None:
        self._frame, self._names = frame, names

    def __len__(self) -> int:
        return len(self._frame) - WINDOW

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor]:
        rows = self._frame.iloc[place : place + WINDOW][self._names].to_numpy(np.float32)
        return torch.tensor(rows), torch.tensor(self._frame.iloc[place + WINDOW]["label"], dtype=torch.float32)


class FirstProgram(nn.Module):
    """As it was published: the sequence is taken for the batch, and the feed-forward part has torch's 2,048 units."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(len(FEATURES), 128)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(d_model=128, nhead=4), num_layers=4, enable_nested_tensor=False)
        self.price, self.up = nn.Linear(128, 3), nn.Linear(128, 1)

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        last = self.encoder(self.project(rows))[:, -1]
        return self.price(last), torch.sigmoid(self.up(last))


def rows(minutes: int = 16_000, steps: int = 12, rounds: int = 5) -> list[Row]:
    """The default spec, and the first program."""
    data, spec = market(minutes), load_spec(RUNS / "default.toml").model_copy(update={"precision": "fp32"})
    frame = pd.DataFrame(data.newest(np.arange(minutes // 2)), columns=list(FEATURES)).assign(label=0.0)
    with tempfile.TemporaryDirectory() as folder:
        fit = Fit(spec, data, np.arange(len(data)), np.arange(100), Path(folder))
        ours, bare, first = _our_loop(fit, spec, steps), _bare_steps(spec, data, steps), _first_program(frame, max(1, steps // 4))
        measured = interleaved(rounds, ours, bare, first)
    return [
        side_by_side("training loop", "windows/s", "bare forward and backward", [(row[0], row[1]) for row in measured], 0.95),
        side_by_side("training, default spec", "windows/s", "the first program as written", [(row[0], row[2]) for row in measured], 20),
    ]


def _our_loop(fit: Fit, spec: Spec, steps: int) -> Callable[[], float]:
    def measure() -> float:
        begun = time.perf_counter()
        for _ in fit.steps_taken(steps):
            pass
        return steps * spec.batch / (time.perf_counter() - begun)

    return measure


def _bare_steps(spec: Spec, data: Dataset, steps: int) -> Callable[[], float]:
    """The same network and loss on a tensor that is ready: no windows gathered, no optimiser, no averages."""
    chosen = np.arange(spec.batch)
    rows, labels = torch.from_numpy(data.rows(chosen)), torch.from_numpy(data.labels(chosen))
    model = Forecaster(spec)

    def measure() -> float:
        begun = time.perf_counter()
        for _ in range(steps):
            model.zero_grad(set_to_none=True)
            loss(model.voices(rows), labels).backward()  # type: ignore[no-untyped-call]
        return steps * spec.batch / (time.perf_counter() - begun)

    return measure


def _first_program(frame: pd.DataFrame, steps: int) -> Callable[[], float]:
    def measure() -> float:
        model = FirstProgram()
        optimizer, loader = torch.optim.Adam(model.parameters()), DataLoader(Slices(frame, list(FEATURES)), batch_size=32, shuffle=True)
        begun, seen = time.perf_counter(), 0
        for step, (rows, labels) in enumerate(loader):
            price, _ = model(rows)
            optimizer.zero_grad()
            nn.functional.mse_loss(price[:, 0], labels).backward()
            optimizer.step()
            seen += len(rows)
            if step + 1 == steps:
                break
        return seen / (time.perf_counter() - begun)

    return measure
