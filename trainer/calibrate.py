"""Makes the numbers mean what they say: P(up), the expected return and the interval are fitted to what came, on validation alone."""

import numpy as np
import torch
from numpy.typing import NDArray

from hub.market.outcome import HORIZONS
from trainer.dataset import Dataset, Index
from trainer.metrics import Numbers
from trainer.model import HIGH, LOW, MOST_WILDNESS, WILDNESS, Forecaster

BATCH = 4096
MOST_SLOPE = 2.0
NEWTON_STEPS = 25
USUAL = np.array([0.4, 0.0])
"""Slope and bias to begin with: a network that was trained to its end speaks twice as loud as it knows (LOG.md)."""
TRUST = np.array([600.0, 10_000.0])
"""How much those weigh beside what came, as curvature: that prices rose, or were easy, for some weeks says little of the next."""
SLOPES = np.linspace(-0.4, 0.4, 33)


def calibrate(model: Forecaster, data: Dataset, validation: Index) -> None:
    """Fit `model.calibration` to these windows, per horizon.

    P(up): logistic regression on the logit (Platt 1999). Expected return: least squares through 0, never beyond what was said.
    Interval: each side stretched until a tenth lies outside it (conformalised quantiles, Romano et al. 2019), in calm and wild hours alike.
    """
    raw = _raw(model, data, validation)
    labels = data.labels(validation).astype(np.float64)
    wild = np.clip(data.newest(validation)[:, WILDNESS].astype(np.float64), -MOST_WILDNESS, MOST_WILDNESS)
    fit = model.calibration
    for horizon in range(len(HORIZONS)):
        logit, middle, low, high = (part[:, horizon] for part in raw)
        label = labels[:, horizon]
        moved = label != 0.0
        slope, bias = _logistic(logit[moved], label[moved] > 0.0)
        shrink = float(np.clip((middle * label).sum() / max(1e-12, (middle * middle).sum()), 0.0, 1.0))
        expected = middle * shrink
        fit.slope[horizon], fit.bias[horizon], fit.shrink[horizon] = slope, bias, shrink
        fit.below[:, horizon] = torch.tensor(_stretch(expected - label, middle - low, wild, 1.0 - LOW))
        fit.above[:, horizon] = torch.tensor(_stretch(label - expected, high - middle, wild, HIGH))


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
    """Slope and bias of P(up) = sigmoid(slope * logit + bias) by Newton's method, drawn to what is usual."""
    weights = USUAL.copy()
    inputs = np.stack([logit, np.ones_like(logit)], axis=1)
    for _ in range(NEWTON_STEPS):
        p = 1.0 / (1.0 + np.exp(-inputs @ weights))
        slope = inputs.T @ (p - up) + TRUST * (weights - USUAL)
        curve = (inputs * (p * (1.0 - p))[:, None]).T @ inputs + np.diag(TRUST)
        weights = weights - np.linalg.solve(curve, slope)
    return float(np.clip(weights[0], 0.0, MOST_SLOPE)), float(np.clip(weights[1], -0.2, 0.2))


def _stretch(miss: Numbers, width: Numbers, wild: Numbers, level: float) -> tuple[float, float]:
    """Logarithm of the factor on one side's `width`, and its slope on wildness, that leave 1 - level of the outcomes outside.

    For every slope the factor is the quantile; of the slopes, the one of least pinball loss is chosen.
    """
    best = (np.inf, 0.0, 0.0)
    for slope in SLOPES:
        bent = width * np.exp(slope * wild)
        factor = float(np.clip(np.quantile(miss / bent, level), 0.5, 2.0))
        beyond = miss - factor * bent
        best = min(best, (float(np.maximum(level * beyond, (level - 1.0) * beyond).mean()), float(np.log(factor)), float(slope)))
    return best[1:]
