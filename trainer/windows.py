"""Windows to learn from: an hour of feature rows, and what came after it; gathered a batch at a time, never copied one by one."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Features = NDArray[np.float32]
Labels = NDArray[np.float64]
Index = NDArray[np.intp]
Number = TypeVar("Number", bound=np.generic)


class Windows:
    """All windows of some stretches. A window ends in the last row that is known; its label lies after that."""

    def __init__(self, features: Sequence[Features], labels: Sequence[Labels], *, window: int = 60, step: int = 1) -> None:
        """`features` [n, f] and `labels` [n, h] of each stretch, NaN where there is none; a window ends every `step` rows.

        Windows with a NaN inside, or in their label, are left out. ValueError where the arrays do not fit each other.
        """
        if window < 1 or step < 1 or not features:
            raise ValueError("a window and a step of at least 1, and at least one stretch, are needed")
        if [len(part) for part in features] != [len(part) for part in labels]:
            raise ValueError("every stretch needs as many rows of labels as of features")
        self.window = window
        self._rows = np.ascontiguousarray(np.concatenate(features), np.float32)  # [all rows, f]
        self._views = _views(self._rows, window)
        self._labels = np.ascontiguousarray(np.concatenate(labels), np.float64)  # [all rows, h]
        self._starts = np.cumsum([0, *map(len, features)])
        found = [_ends(rows, known, window, step) for rows, known in zip(features, labels, strict=True)]
        self.stretch = np.repeat(np.arange(len(found)), [len(ends) for ends in found])
        """Which stretch each window is of, [windows]."""
        self.row = np.concatenate([*found, np.empty(0, np.intp)])
        """The row of that stretch in which it ends, [windows]."""
        self._ends = self._starts[self.stretch] + self.row

    def __len__(self) -> int:
        return len(self.row)

    def at_ends(self, columns: Sequence[NDArray[Number]]) -> NDArray[Number]:
        """What another column of each stretch, such as its open times, says in the rows in which windows end, [windows]."""
        found: NDArray[Number] = np.concatenate(columns)[self._ends]
        return found

    def gather(self, chosen: Index) -> tuple[Features, Labels]:
        """Windows [len(chosen), window, f] and labels [len(chosen), h] of the windows with these numbers, each in one piece of memory."""
        ends = self._ends[chosen]
        return self._views[ends - (self.window - 1)].reshape(len(ends), self.window, self._rows.shape[1]), self._labels[ends]

    def gather_labels(self, chosen: Index) -> Labels:
        """Labels [len(chosen), h] alone."""
        found: Labels = self._labels[self._ends[chosen]]
        return found

    def newest(self, chosen: Index) -> Features:
        """The last row of each window, [len(chosen), f]."""
        found: Features = self._rows[self._ends[chosen]]
        return found

    def batches(self, chosen: Index, size: int, rng: np.random.Generator | None = None) -> Iterator[tuple[Features, Labels]]:
        """`chosen` in batches of `size`, the last one smaller; in a new order each time where there is an `rng`, else as they stand."""
        order = chosen if rng is None else rng.permutation(chosen)
        for first in range(0, len(order), size):
            yield self.gather(order[first : first + size])


def _views(rows: Features, window: int) -> Features:
    """Every `window` rows that follow each other in memory, not copied, [rows - window + 1, window * f]; some are of two stretches."""
    width = rows.shape[1]
    if len(rows) < window:
        return np.empty((0, window * width), np.float32)
    return sliding_window_view(rows.reshape(-1), window * width)[::width]  # flat: gathering from it is twice as quick


def _ends(features: Features, labels: Labels, window: int, step: int) -> Index:
    """Rows in which a window ends that is complete, and whose label is known."""
    whole = np.isfinite(features).all(axis=1)
    good_before = np.concatenate([[0], np.cumsum(whole)])  # good rows before each row
    complete = good_before[window:] - good_before[:-window] == window  # of the windows that end in row window - 1, window, ...
    known = np.isfinite(labels[window - 1 :]).all(axis=1)
    return np.flatnonzero((complete & known)[::step]) * step + window - 1
