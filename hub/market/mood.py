"""Which hour of news counts at which minute: the newest that was over long enough to have been read and judged."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from hub.market.interval import MINUTE_MS
from hub.market.trailing import Column

HOUR_MS = 60 * MINUTE_MS
KNOWN_AFTER_MS = 15 * MINUTE_MS
"""After the end of an hour its news are still coming in; so long, the hour before it counts, live and in training alike."""


def counted_hour(open_time: NDArray[np.int64]) -> NDArray[np.int64]:
    """Start (ms) of the hour of news that counts at the close of each bar."""
    known = open_time + MINUTE_MS - KNOWN_AFTER_MS
    return known - known % HOUR_MS - HOUR_MS


def moods(open_time: NDArray[np.int64], hours: Iterable[tuple[int, float, int]]) -> tuple[Column, Column]:
    """Mood and number of articles at each bar, NaN where that hour had no news. `hours`: start (ms), mood, articles."""
    told = {start: (mood, float(articles)) for start, mood, articles in hours}
    found = np.array([told.get(int(hour), (np.nan, np.nan)) for hour in counted_hour(open_time)], np.float64).reshape(-1, 2)
    return found[:, 0], found[:, 1]
