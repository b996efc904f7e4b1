"""Walk-forward: train on the past, choose on what came next, test on what came after that, step on.

Nothing that one part has seen, as feature or as label, reaches into the next: windows at the seams are purged, and an embargo is left.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hub.errors import SettingsError
from hub.market.interval import MINUTE_MS

Index = NDArray[np.intp]


@dataclass(frozen=True)
class Split:
    """Numbers of windows; those of each part ascend in time."""

    train: Index
    validation: Index
    test: Index


def walk_forward(
    times: NDArray[np.int64],
    n_splits: int,
    test_span: int,
    embargo: int,
    horizon: int,
    *,
    window: int = 60,
    validation_span: int | None = None,
) -> list[Split]:
    """`n_splits` splits, the earliest first, whose test parts follow each other without a hole, up to the last window.

    `times`: open times (ms) of the last minute of each window, in any order, of one symbol or more. All else is in minutes.
    Validation is as long as a test, or `validation_span`, a hole in time counting as one window; training is all that was before.
    SettingsError where nothing is left to train on.
    """
    if min(n_splits, test_span, horizon, window) < 1 or embargo < 0:
        raise SettingsError("walk-forward needs at least one split, and spans of at least a minute")
    order = np.argsort(times, kind="stable")
    minutes = times[order] // MINUTE_MS
    passed = np.cumsum(np.minimum(np.diff(minutes, prepend=minutes[:1]), window))  # minutes, but for those of the holes
    seam = horizon + embargo + window - 1
    splits: list[Split] = []
    end = len(minutes)
    for number in range(n_splits):
        test = _last_span(passed, end, test_span)
        seen = _first_before(minutes, test, seam)
        validation = _last_span(passed, seen, validation_span or test_span)
        trained = _first_before(minutes, validation, seam)
        if not trained:
            raise SettingsError(
                f"{len(minutes)} windows are too few for {n_splits} splits of {test_span} minutes: nothing is left to train"
                f" {'the earliest' if number else 'any'} of them; ask for fewer or shorter ones, or bring more bars"
            )
        splits.append(Split(order[:trained], order[validation:seen], order[test:end]))
        end = test
    return splits[::-1]


def _last_span(passed: NDArray[np.int64], end: int, span: int) -> int:
    """The first of the windows before `end` that lie in the `span` minutes which the last of them closes."""
    return int(np.searchsorted(passed[:end], passed[end - 1] - span, side="right")) if end else 0


def _first_before(minutes: NDArray[np.int64], place: int, seam: int) -> int:
    """How many windows end more than `seam` minutes before the window at `place`."""
    return int(np.searchsorted(minutes, minutes[place] - seam, side="left")) if place < len(minutes) else 0
