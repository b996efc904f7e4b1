"""Calibration: an interval that means what it says whatever the hour, and a probability that is not louder than what came."""

import numpy as np
import torch

from tests.trainer.toy import SMALL, market
from trainer.calibrate import calibrate
from trainer.dataset import Dataset
from trainer.forecasts import forecasts_of, network
from trainer.model import WILDNESS, Forecaster


def moody(data: Dataset) -> Dataset:
    """The same market, but what follows a wild hour is wilder yet than its volatility says."""
    ends = np.arange(len(data))
    wild = data.newest(ends)[:, WILDNESS].astype(np.float64)
    factor = np.exp(0.3 * (wild - np.median(wild)))
    return Dataset(data.symbols, data.windows, data.outcome * factor[:, None], data.volatility, data.open_time, data.symbol)


def test_calm_and_wild_hours_are_covered_alike() -> None:
    """One stretch for all hours would promise 80 % and keep 90 % in calm ones, 70 % in wild ones."""
    data = moody(market(pull=0.0, mood=1.0))
    torch.manual_seed(1)
    model = Forecaster(SMALL).eval()
    ends = data.on_grid(np.arange(len(data)), 5)
    calibrate(model, data, ends)
    said = forecasts_of(network(model), data, ends)
    wild = data.newest(ends)[:, WILDNESS] > np.median(data.newest(ends)[:, WILDNESS])
    inside = (data.outcome[ends] >= said.low) & (data.outcome[ends] <= said.high)
    for hours in (wild, ~wild):
        assert (np.abs(inside[hours].mean(axis=0) - 0.8) < 0.03).all()


def test_a_model_that_knows_nothing_is_made_to_say_so() -> None:
    """Chance weights speak loudly; what came does not bear them out."""
    data = market(pull=0.0)
    torch.manual_seed(1)
    model = Forecaster(SMALL).eval()
    ends = data.on_grid(np.arange(len(data)), 5)
    loud = forecasts_of(network(model), data, ends).p_up
    calibrate(model, data, ends)
    quiet = forecasts_of(network(model), data, ends).p_up
    assert np.abs(quiet - 0.5).mean() < np.abs(loud - 0.5).mean()
    assert np.abs(quiet.mean(axis=0) - 0.5).max() < 0.03
