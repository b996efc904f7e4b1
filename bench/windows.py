"""Samples a second of `trainer.windows` beside a data set that slices a pandas frame for each sample.

The frame is what a file of bars becomes with features and labels as further columns. `bare` is the quickest slicing there is: a frame of
nothing but the features, already in the right type.
"""

import time
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from bench.row import Row, side_by_side
from trainer.windows import Windows

WINDOW, FEATURES, HORIZONS, BATCH = 60, 46, 3, 256
NAMES = [f"feature {number}" for number in range(FEATURES)]
LABELS = [f"label {number}" for number in range(HORIZONS)]
Pair = tuple[np.ndarray, np.ndarray]


def stacked(ends: np.ndarray, sample: Callable[[int], Pair]) -> Iterator[Pair]:
    """What a loader does: one sample after the other, then a batch of them."""
    for first in range(0, len(ends), BATCH):
        features, labels = zip(*map(sample, ends[first : first + BATCH]), strict=True)
        yield np.stack(features), np.stack(labels)


def per_second(batches: Iterator[Pair]) -> float:
    begun, samples = time.perf_counter(), 0
    for features, labels in batches:
        assert features.shape[1:] == (WINDOW, FEATURES)
        samples += len(labels)
    return samples / (time.perf_counter() - begun)


def rows(minutes: int = 200_000, rounds: int = 5) -> list[Row]:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(minutes, FEATURES)).astype(np.float32)
    labels = rng.normal(size=(minutes, HORIZONS))
    windows = Windows([features], [labels], window=WINDOW)
    frame = pd.concat([pd.DataFrame({"open_time": np.arange(minutes)}), pd.DataFrame(features, columns=NAMES)], axis=1)
    frame[LABELS] = labels
    bare, bare_labels = pd.DataFrame(features), pd.DataFrame(labels)

    def row_by_row(end: int) -> Pair:
        return frame.iloc[end - WINDOW + 1 : end + 1][NAMES].to_numpy(np.float32), frame.iloc[end][LABELS].to_numpy(np.float64)

    def barely(end: int) -> Pair:
        return bare.iloc[end - WINDOW + 1 : end + 1].to_numpy(np.float32), bare_labels.iloc[end].to_numpy()

    found = []
    for _ in range(rounds):
        few, many = (rng.choice(len(windows), count, replace=False) for count in (BATCH * 8, BATCH * 200))
        ends = windows.row[few]
        found.append((per_second(stacked(ends, row_by_row)), per_second(stacked(ends, barely)), per_second(windows.batches(many, BATCH))))
    return [
        side_by_side("training windows", "windows/s", "a pandas slice for each", [(row[2], row[0]) for row in found], 60),
        side_by_side("training windows", "windows/s", "the barest pandas slice", [(row[2], row[1]) for row in found], 1),
    ]
