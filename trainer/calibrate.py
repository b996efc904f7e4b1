"""Makes the numbers mean what they say: P(up), the expected return and the interval are fitted to what came, on validation alone."""

import numpy as np
import torch
from numpy.typing import NDArray

from hub.market.outcome import HORIZONS
from trainer.dataset import Dataset, Index
from trainer.metrics import Numbers
from trainer.model import HIGH, LOW, Forecaster

BATCH = 4096
MOST_SLOPE = 2.0
NEWTON_STEPS = 25


def calibrate(model: Forecaster, data: Dataset, validation: Index) -> None:
    """Fit `model.calibration` to these windows, per horizon.

    P(up): logistic regression on the logit (Platt 1999). Expected return: least squares through 0, never beyond what was said.
    Interval: each side stretched until a tenth lies outside it (conformalised quantiles, Romano et al. 2019).
    """
    raw = _raw(model, data, validation)
    labels = data.labels(validation).astype(np.float64)
    fit = model.calibration
    for horizon in range(len(HORIZONS)):
        logit, middle, low, high = (part[:, horizon] for part in raw)
        label = labels[:, horizon]
        moved = label != 0.0
        slope, bias = _logistic(logit[moved], label[moved] > 0.0)
        shrink = float(np.clip((middle * label).sum() / max(1e-12, (middle * middle).sum()), 0.0, 1.0))
        expected = middle * shrink
        values = {
            "slope": slope,
            "bias": bias,
            "shrink": shrink,
            "below": _stretch((expected - label) / (middle - low), 1.0 - LOW),
            "above": _stretch((label - expected) / (high - middle), HIGH),
        }
        for name, value in values.items():
            getattr(fit, name)[horizon] = value


@torch.no_grad()
def _raw(model: Forecaster, data: Dataset, ends: Index) -> list[Numbers]:
    model.eval()
    device = next(model.parameters()).device
    parts = []
    for first in range(0, len(ends), BATCH):
        rows = torch.from_numpy(data.rows(ends[first : first + BATCH])).to(device)
        parts.append([part.double().cpu().numpy() for part in model.raw(rows)])
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def _logistic(logit: Numbers, up: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and bias of P(up) = sigmoid(slope * logit + bias) by Newton's method, drawn a little to 1 and 0."""
    weights, prior = np.array([1.0, 0.0]), np.array([50.0, 200.0])
    start = weights.copy()
    inputs = np.stack([logit, np.ones_like(logit)], axis=1)
    for _ in range(NEWTON_STEPS):
        p = 1.0 / (1.0 + np.exp(-inputs @ weights))
        slope = inputs.T @ (p - up) + prior * (weights - start)
        curve = (inputs * (p * (1.0 - p))[:, None]).T @ inputs + np.diag(prior)
        weights = weights - np.linalg.solve(curve, slope)
    return float(np.clip(weights[0], 0.0, MOST_SLOPE)), float(np.clip(weights[1], -0.2, 0.2))


def _stretch(reach: Numbers, level: float) -> float:
    """The factor on one side of the interval that leaves 1 - level of the outcomes outside."""
    return float(np.clip(np.quantile(reach, level), 0.5, 2.0))
