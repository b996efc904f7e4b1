"""What a model has been trained on is never taken for something new."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hub.market.interval import MINUTE_MS, to_ms
from hub.market.outcome import HORIZONS
from hub.testing import START
from trainer.seen import HOLE_MS, seen, stretches_of

FIRST = to_ms(START)
DAY = 1440


def minutes(*at: int) -> np.ndarray:
    return FIRST + np.array(at, np.int64) * MINUTE_MS


@given(st.lists(st.integers(0, 20 * DAY), min_size=1, max_size=30), st.integers(-2 * DAY, 22 * DAY), st.integers(1, 120))
def test_nothing_that_touches_what_was_trained_on_is_new(trained: list[int], asked: int, window: int) -> None:
    """Neither the window nor its outcome may overlap any window, or any outcome, of the training."""
    facts = {"trained_on": stretches_of(minutes(*trained))}
    if seen(minutes(asked), facts, window)[0]:
        return
    reach = max(HORIZONS)
    assert all(asked + reach < end or asked - window > end + reach for end in trained)


def test_months_between_two_stretches_are_new() -> None:
    facts = {"trained_on": stretches_of(minutes(*range(100), *range(10 * DAY, 10 * DAY + 100)))}
    assert len(facts["trained_on"]) == 2
    assert seen(minutes(50, 5 * DAY, 10 * DAY + 50, 20 * DAY), facts, 60).tolist() == [True, False, True, False]


def test_a_short_hole_counts_as_seen() -> None:
    """Between training and validation a day is left out; that is no new data."""
    hole = HOLE_MS // MINUTE_MS - 1
    assert len(stretches_of(minutes(0, hole))) == 1


def test_a_model_that_does_not_say_its_stretches_has_seen_all_between_its_ends() -> None:
    facts = {"trained_from": "2025-05-20T00:00:00Z", "trained_until": "2025-05-30T00:00:00Z"}
    assert seen(minutes(5 * DAY, 11 * DAY), facts, 60).tolist() == [True, False]
