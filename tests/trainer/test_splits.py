"""Walk-forward splits: nothing of the future, or of a seam, gets into training."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hub.errors import SettingsError
from hub.market.interval import MINUTE_MS
from tests.trainer.files import unhurried
from trainer.splits import walk_forward


def times_of(*minutes: int) -> NDArray[np.int64]:
    return np.array(minutes, np.int64) * MINUTE_MS


def test_splits_of_plain_minutes_are_where_one_would_draw_them() -> None:
    """300 minutes, windows of 5, horizon 3, embargo 2: nine minutes are left out at each seam."""
    splits = walk_forward(times_of(*range(300)), 2, 50, 2, 3, window=5)
    parts = [[(int(part[0]), int(part[-1])) for part in (split.train, split.validation, split.test)] for split in splits]
    assert parts == [
        [(0, 131), (141, 190), (200, 249)],
        [(0, 181), (191, 240), (250, 299)],
    ]


def test_a_hole_in_time_makes_no_test_shorter() -> None:
    """Months that nobody collected are no test, and a few days beside them are no good one: the test goes on before the hole."""
    splits = walk_forward(times_of(*range(300), *range(10_000, 10_020)), 2, 50, 0, 1, window=5)
    assert [(int(split.test[0]), int(split.test[-1])) for split in splits] == [(224, 273), (274, 319)]


def test_too_little_for_a_training_part_is_said() -> None:
    with pytest.raises(SettingsError, match="100 windows are too few for 3 splits of 50 minutes"):
        walk_forward(times_of(*range(100)), 3, 50, 0, 5)
    with pytest.raises(SettingsError, match="0 windows are too few"):
        walk_forward(times_of(), 1, 50, 0, 5)
    with pytest.raises(SettingsError, match="at least one split"):
        walk_forward(times_of(*range(100)), 0, 50, 0, 5)


@st.composite
def calls(draw: st.DrawFn) -> tuple[NDArray[np.int64], int, int, int, int, int]:
    """Windows of one or two symbols every few minutes, with holes between stretches, in any order."""
    minutes: list[int] = []
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, 50))
        step = draw(st.integers(1, 7))
        for _ in range(draw(st.integers(1, 5))):
            length = draw(st.integers(1, 300))
            minutes += range(at, at + length, step)
            at += length + draw(st.integers(1, 500))
    order = draw(st.permutations(range(len(minutes)))) if draw(st.booleans()) and len(minutes) < 200 else range(len(minutes))
    spans = draw(st.tuples(st.integers(1, 4), st.integers(1, 120), st.integers(0, 60), st.integers(1, 30), st.integers(1, 60)))
    return times_of(*(minutes[place] for place in order)), *spans


@unhurried
@given(calls())
def test_nothing_leaks(call: tuple[NDArray[np.int64], int, int, int, int, int]) -> None:
    """What a part has seen or was told of is over, and an embargo has passed, before the next part sees anything."""
    times, n_splits, test_span, embargo, horizon, window = call
    try:
        splits = walk_forward(times, n_splits, test_span, embargo, horizon, window=window)
    except SettingsError:
        assume(False)
    assert len(splits) == n_splits
    minutes = times // MINUTE_MS
    for split in splits:
        used = np.concatenate([split.train, split.validation, split.test])
        assert len(np.unique(used)) == len(used), "no window is used twice"
        assert min(map(len, (split.train, split.validation, split.test))) > 0
        for earlier, later in ((split.train, split.validation), (split.validation, split.test), (split.train, split.test)):
            last_told = minutes[earlier].max() + horizon
            first_seen = minutes[later].min() - (window - 1)
            assert last_told + embargo < first_seen
        for part in (split.train, split.validation, split.test):
            assert np.all(np.diff(minutes[part]) >= 0), "each part ascends in time"
        assert all(len(np.unique(minutes[part])) <= test_span for part in (split.test, split.validation))
    for before, after in pairwise(splits):
        assert minutes[before.test].max() < minutes[after.test].min(), "splits ascend in time"
        assert set(before.train) <= set(after.train), "training grows"
    tested = np.concatenate([split.test for split in splits])
    begun = minutes[splits[0].test].min()
    assert sorted(tested) == sorted(np.flatnonzero(minutes >= begun)), "after the first training part all is tested, once"


@unhurried
@given(calls())
def test_no_window_is_left_out_without_a_reason(call: tuple[NDArray[np.int64], int, int, int, int, int]) -> None:
    """Purging takes what would leak, and no more: the first minute that is left out of training could not have stayed."""
    times, n_splits, test_span, embargo, horizon, window = call
    try:
        splits = walk_forward(times, n_splits, test_span, embargo, horizon, window=window)
    except SettingsError:
        assume(False)
    minutes = times // MINUTE_MS
    for split in splits:
        for earlier, later in ((split.train, split.validation), (split.validation, split.test)):
            between = (minutes > minutes[earlier].max()) & (minutes < minutes[later].min())
            assert np.all(minutes[between] + horizon + embargo >= minutes[later].min() - (window - 1))
