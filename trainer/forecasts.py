"""What a model says about many windows, and the models that can be asked: a network in training, or a shipped ONNX file."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from trainer.dataset import Dataset, Index
from trainer.metrics import Numbers
from trainer.model import Forecaster

BATCH = 4096
Ask = Callable[[NDArray[np.float32]], tuple[Numbers, Numbers, Numbers, Numbers]]
"""[batch, window, features] to expected, low, high, p_up, each [batch, horizons]."""


@dataclass(frozen=True)
class Forecasts:
    """One model's word on the windows numbered `ends`; all but `ends` are [windows, horizons]."""

    ends: Index
    expected: Numbers
    """Log return."""
    low: Numbers
    high: Numbers
    p_up: Numbers

    def rows(self, chosen: NDArray[np.bool_] | Index) -> "Forecasts":
        """Some of them."""
        return Forecasts(self.ends[chosen], self.expected[chosen], self.low[chosen], self.high[chosen], self.p_up[chosen])


def joined(parts: list[Forecasts]) -> Forecasts:
    """The forecasts of several models about windows of their own."""
    return Forecasts(
        np.concatenate([part.ends for part in parts]),
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("expected", "low", "high", "p_up")),
    )


def forecasts_of(ask: Ask, data: Dataset, ends: Index, *, batch: int = BATCH) -> Forecasts:
    """Ask about every window."""
    answers = [ask(data.rows(ends[first : first + batch])) for first in range(0, len(ends), batch)]
    if not answers:
        nothing = np.empty((0, data.outcome.shape[1]))
        return Forecasts(ends, nothing, nothing, nothing, nothing)
    return Forecasts(ends, *(np.concatenate(column) for column in zip(*answers, strict=True)))


def network(model: Forecaster) -> Ask:
    """A network as it stands, in evaluation mode."""

    @torch.no_grad()
    def ask(rows: NDArray[np.float32]) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        model.eval()
        device = next(model.parameters()).device
        expected, low, high, p_up = (part.double().cpu().numpy() for part in model(torch.from_numpy(rows).to(device)))
        return expected, low, high, p_up

    return ask
