"""The rule by which a shadow takes the live model's place: it must not promote what is worse, and must not wait for ever."""

from dataclasses import replace

import numpy as np
import pytest

from hub.market.interval import MINUTE_MS
from hub.market.metrics import mean_by_hours
from hub.market.verdict import LEAST_HOURS, LEAST_PAIRS, Pairs, Said, verdict

SLOT = 5 * MINUTE_MS
SERIES = 6
HORIZON = np.sqrt(np.array([5, 10, 30, 5, 10, 30]))


def pairs(slots: int = 288, seed: int = 0, *, worse: float = 1.0, skew: float = 0.0, drawn: float = 0.0) -> Pairs:
    """A day of six series. The live model's interval fits; the shadow's is `worse` times as wide, its P(up) off by `skew`.

    `drawn`: how much both models' P(up) differ by chance.
    """
    chance = np.random.default_rng(seed)
    unit = 5e-4 * np.tile(HORIZON, slots)
    outcome = chance.normal(0.0, 1.0, slots * SERIES) * unit
    nothing, reach = np.zeros_like(unit), 1.2816 * unit
    live = Said(nothing, -reach, reach, 0.5 + drawn * chance.normal(size=len(unit)))
    shadow = Said(nothing, -reach * worse, reach * worse, np.clip(0.5 + skew + drawn * chance.normal(size=len(unit)), 0, 1))
    return Pairs(np.repeat(np.arange(slots) * SLOT, SERIES), np.tile(np.arange(SERIES), slots), outcome, live, shadow)


def test_a_model_that_says_the_same_is_promoted() -> None:
    """It was trained on newer bars, and is no worse."""
    found = verdict(pairs())
    assert (found.choice, found.change, found.pairs, found.hours) == ("promote", 0.0, 1728, 24)


@pytest.mark.parametrize("harm", [{"worse": 1.6}, {"worse": 0.5}, {"skew": 0.2}, {"skew": -0.2}])
@pytest.mark.parametrize("seed", range(5))
def test_a_worse_model_is_rejected(harm: dict[str, float], seed: int) -> None:
    """Intervals too wide or too narrow, or a chance that is off: a day shows it."""
    found = verdict(pairs(seed=seed, **harm))
    assert found.choice == "reject"
    assert "worse than the live model: loss +" in found.reason


@pytest.mark.parametrize("seed", range(5))
def test_a_better_model_is_promoted(seed: int) -> None:
    """The roles swapped."""
    bad = pairs(seed=seed, worse=1.6)
    found = verdict(replace(bad, live=bad.shadow, shadow=bad.live))
    assert found.choice == "promote"
    assert found.change is not None
    assert found.change < 0


def test_one_that_is_worse_by_the_margin_is_hardly_ever_promoted() -> None:
    """At most one time in twenty is promised; 120 days are tried."""
    promoted = sum(verdict(pairs(seed=seed, worse=1.2, drawn=0.05)).choice == "promote" for seed in range(120))
    loss = np.mean([verdict(pairs(seed=seed, worse=1.2, drawn=0.05)).change or 0.0 for seed in range(20)])
    assert loss > 0.005
    assert promoted <= 8


def test_one_that_was_worse_on_these_very_minutes_is_never_promoted() -> None:
    """Whatever its interval says: the sign of what was measured has the last word."""
    for seed in range(200):
        found = verdict(pairs(seed=seed, drawn=0.03))
        assert found.change is not None
        assert found.choice != "promote" or found.change <= 0.0


@pytest.mark.parametrize(
    ("slots", "choice"), [(LEAST_PAIRS // SERIES - 1, "wait"), (LEAST_HOURS * 12, "promote"), (LEAST_HOURS * 12 - 12, "wait")]
)
def test_too_few_forecasts_or_hours_prove_nothing(slots: int, choice: str) -> None:
    """The reason says how many are needed."""
    found = verdict(pairs(slots))
    assert found.choice == choice
    assert choice == "promote" or "288 in 12 are needed to tell" in found.reason


def test_nothing_at_all_is_no_division_by_zero() -> None:
    """The first slot of a shadow."""
    assert verdict(pairs(0)).choice == "wait"


def test_outcomes_of_exactly_nothing_are_neither_up_nor_down() -> None:
    """A market that stands still judges nobody's direction."""
    still = pairs()
    still = replace(still, outcome=np.zeros_like(still.outcome), shadow=replace(still.shadow, p_up=still.shadow.p_up + 0.3))
    assert verdict(still).change == 0.0


def test_the_interval_of_a_mean_holds_the_truth_although_neighbours_are_alike() -> None:
    """Values of one hour share half their noise; an interval that took them for independent would miss most of the time."""
    missed = [0, 0]
    for seed in range(400):
        chance = np.random.default_rng(seed)
        values = np.repeat(chance.normal(size=24), 12) + chance.normal(size=288)
        _, low, high = mean_by_hours(values, np.arange(288) * SLOT)
        missed[0] += low > 0
        missed[1] += high < 0
    assert max(missed) <= 32  # one in twenty is 20; three standard deviations of chance beyond
    assert min(missed) >= 8
