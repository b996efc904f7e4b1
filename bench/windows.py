"""Samples a second of `trainer.windows` beside a data set that slices a pandas frame for each sample; prints both and their ratio.

The frame is what a file of bars becomes with features and labels as further columns. `bare` is the quickest slicing there is: a frame of
nothing but the features, already in the right type.

python bench/windows.py [minutes] [rounds]
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

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


def main(minutes: int = 200_000, rounds: int = 7) -> None:
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
    slow, quicker, ours = (round(statistics.median(column)) for column in zip(*found, strict=True))
    ratio, ratio_bare = (statistics.median(row[2] / row[other] for row in found) for other in (0, 1))
    rates = {"pandas_per_s": slow, "pandas_bare_per_s": quicker, "windows_per_s": ours}
    print(json.dumps({"minutes": minutes, **rates, "ratio": round(ratio, 1), "ratio_bare": round(ratio_bare, 1)}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
