"""Windows over stretches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.files import unhurried
from trainer.windows import Features, Labels, Windows


def rows(*lengths: int, width: int = 3) -> tuple[list[Features], list[Labels]]:
    """Stretches whose every feature says which row of which stretch it is, and whose label is the next row's number."""
    features, labels = [], []
    for stretch, length in enumerate(lengths):
        number = np.arange(length)
        features.append((number[:, None] + 1000 * stretch + np.arange(width) / 10).astype(np.float32))
        labels.append(np.stack([number + 1.0, number + 2.0], axis=1) + 1000 * stretch)
    return features, labels


def test_a_window_is_the_rows_up_to_its_end_and_its_label_that_rows() -> None:
    features, labels = rows(10, 7)
    windows = Windows(features, labels, window=4)
    assert list(zip(windows.stretch.tolist(), windows.row.tolist(), strict=True)) == [
        *((0, row) for row in range(3, 10)),
        *((1, row) for row in range(3, 7)),
    ]
    inputs, outcomes = windows.gather(np.array([0, 7, 10]))
    assert np.array_equal(inputs[0], features[0][0:4])
    assert np.array_equal(inputs[1], features[1][0:4])
    assert np.array_equal(inputs[2], features[1][3:7])
    assert np.array_equal(outcomes, [labels[0][3], labels[1][3], labels[1][6]])
    assert (inputs.dtype, inputs.flags.c_contiguous, outcomes.dtype) == (np.float32, True, np.float64)


def test_what_is_not_known_is_in_no_window() -> None:
    """Neither rows of warm-up, nor a hole in a feature, nor a label that the stretch ends before."""
    features, labels = rows(20)
    features[0][:2] = np.nan
    features[0][11, 1] = np.nan
    labels[0][17:, 1] = np.nan
    assert Windows(features, labels, window=4).row.tolist() == [5, 6, 7, 8, 9, 10, 15, 16]


def test_a_step_takes_every_so_manieth_row_of_each_stretch() -> None:
    """From where the first window ends, so that a NaN does not move the others."""
    features, labels = rows(20, 9)
    assert Windows(features, labels, window=4, step=5).row.tolist() == [3, 8, 13, 18, 3, 8]
    features[0][5] = np.nan
    assert Windows(features, labels, window=4, step=5).row.tolist() == [3, 13, 18, 3, 8]


def test_another_column_is_told_at_the_ends() -> None:
    """Splits need the times of the ends."""
    windows = Windows(*rows(6, 5), window=4)
    assert windows.at_ends([np.arange(6) * 60_000, np.arange(100, 105) * 60_000]).tolist() == [
        *(minute * 60_000 for minute in (3, 4, 5, 103, 104))
    ]


def test_too_short_stretches_have_no_windows_and_wrong_shapes_are_refused() -> None:
    assert len(Windows(*rows(3), window=4)) == 0
    assert len(Windows(*rows(3, 3), window=4)) == 0
    assert len(Windows(*rows(3, 4), window=4)) == 1
    features, labels = rows(5)
    with pytest.raises(ValueError, match="as many rows"):
        Windows(features, [labels[0][:4]], window=4)
    with pytest.raises(ValueError, match="at least one stretch"):
        Windows([], [])


def test_batches_bring_every_window_once_and_the_same_for_the_same_seed() -> None:
    """In a new order in every epoch, so that the optimiser does not learn the calendar."""
    windows = Windows(*rows(40, 30), window=4)
    chosen = np.arange(0, len(windows), 2)
    told = [labels[:, 0] for _, labels in windows.batches(chosen, 8)]
    assert [len(part) for part in told] == [8, 8, 8, 8]
    assert np.concatenate(told).tolist() == windows.gather(chosen)[1][:, 0].tolist()

    def order(rng: np.random.Generator) -> list[float]:
        return np.concatenate([labels[:, 0] for _, labels in windows.batches(chosen, 8, rng)]).tolist()

    rng = np.random.default_rng(1)
    first, second = order(rng), order(rng)
    assert sorted(first) == sorted(second) == sorted(np.concatenate(told).tolist())
    assert first != second
    assert first == order(np.random.default_rng(1))


@unhurried
@given(st.lists(st.integers(1, 30), min_size=1, max_size=4), st.integers(1, 8), st.integers(1, 5), st.integers(0, 40), st.integers(0, 40))
def test_windows_are_those_that_a_loop_would_find(lengths: list[int], window: int, step: int, spoilt: int, unknown: int) -> None:
    """Whatever the lengths, the step, and the place of what is not known."""
    features, labels = rows(*lengths)
    for stretch in range(len(lengths)):
        features[stretch][spoilt : spoilt + 1] = np.nan
        labels[stretch][unknown : unknown + 1] = np.nan
    windows = Windows(features, labels, window=window, step=step)
    expected = [
        (stretch, end)
        for stretch, length in enumerate(lengths)
        for end in range(window - 1, length, step)
        if not np.isnan(features[stretch][end - window + 1 : end + 1]).any() and not np.isnan(labels[stretch][end]).any()
    ]
    assert list(zip(windows.stretch.tolist(), windows.row.tolist(), strict=True)) == expected
    inputs, _ = windows.gather(np.arange(len(windows)))
    for place, (stretch, end) in enumerate(expected):
        assert np.array_equal(inputs[place], features[stretch][end - window + 1 : end + 1])
