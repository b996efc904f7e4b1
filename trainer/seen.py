"""Which minutes a model has been trained on: what is to be judged honestly must lie outside of them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hub.market.interval import MINUTE_MS, from_ms, to_ms
from hub.market.outcome import HORIZONS

Times = NDArray[np.int64]
HOLE_MS = 2 * 1440 * MINUTE_MS
"""Shorter holes count as seen: what came before and after them says too much."""
AFTER_MS = max(HORIZONS) * MINUTE_MS
"""An outcome reaches this far beyond the window it belongs to."""


def stretches_of(times: Times) -> list[tuple[str, str]]:
    """First and last of the open times (ms, any order) of every stretch without a hole of two days, outcomes included, as RFC 3339."""
    every = np.unique(times)
    edges = np.flatnonzero(np.diff(every) >= HOLE_MS)
    first, last = every[np.concatenate([[0], edges + 1])], every[np.concatenate([edges, [len(every) - 1]])]
    return [(_iso(int(start)), _iso(int(end) + AFTER_MS)) for start, end in zip(first, last, strict=True)]


def seen(times: Times, facts: dict[str, Any], window: int) -> NDArray[np.bool_]:
    """Whether the window of so many minutes that ends at each of the times (ms), or its outcome, touches what was trained on."""
    found = np.zeros(len(times), np.bool_)
    for start, end in _stretches(facts):
        found |= (times >= start - AFTER_MS - MINUTE_MS) & (times <= end + window * MINUTE_MS)
    return found


def _stretches(facts: dict[str, Any]) -> Sequence[tuple[int, int]]:
    """A model that does not say its stretches counts as trained on all that lies between its first and last minute."""
    told = facts.get("trained_on") or [(facts["trained_from"], facts["trained_until"])]
    return [(to_ms(datetime.fromisoformat(start)), to_ms(datetime.fromisoformat(end))) for start, end in told]


def _iso(ms: int) -> str:
    return from_ms(ms).isoformat().replace("+00:00", "Z")
