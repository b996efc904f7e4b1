"""The benchmark runs, in small; what it measures is not judged here."""

import importlib
import math
from pathlib import Path
from typing import Any

import pytest

from bench.__main__ import names, table
from bench.plot import plot
from bench.row import Row, side_by_side

SMALL: dict[str, dict[str, Any]] = {
    "age": {"young": 2, "old": 3, "rounds": 1, "times": 1},
    "backfill": {"bars": 1500, "rounds": 1},
    "bus": {"count": 200, "rounds": 1},
    "forecast": {"rounds": 2},
    "help": {"rounds": 1},
    "idle": {"seconds": 1.0, "settle_s": 0.0},
    "memory": {"bars": 1500},
    "serving": {"runs": 3, "rounds": 1},
    "skill": {"minutes": 3_000, "seconds": 0.5},
    "start": {"rounds": 1},
    "training": {"minutes": 3_000, "steps": 1, "rounds": 1},
    "disk": {"minutes": 10},
    "influx": {"count": 500, "rounds": 1},
    "windows": {"minutes": 60_000, "rounds": 1},
}


@pytest.mark.parametrize("name", SMALL)
def test_every_row_can_be_measured(name: str) -> None:
    """A benchmark that has rotted is found here, not on the day it is needed."""
    assert name in names()
    rows = importlib.import_module(f"bench.{name}").rows(**SMALL[name])
    assert rows
    for row in rows:
        assert math.isfinite(row.ours)
        assert row.unit
        assert row.met is not None or not row.target
    assert table(rows, "").row_count == len(rows)


def test_the_picture_shows_every_promise(tmp_path: Path) -> None:
    rows = [Row("kept", 50, "MB", at_most=100), Row("broken", 200, "MB", at_most=100), Row("told", 1, "s")]
    assert [row.reached for row in rows] == [2.0, 0.5, None]
    plot(rows, "a machine", tmp_path / "x.svg")
    text = (tmp_path / "x.svg").read_text()
    assert "kept" in text
    assert "broken" in text
    assert "told" not in text


def test_a_row_is_met_by_its_ratio_or_by_its_bound() -> None:
    """The ratio is the median of the rounds': one busy moment of the machine neither flatters nor harms."""
    row = side_by_side("x", "bars/s", "bare", [(50, 100), (60, 100), (1, 100)], 0.5)
    assert (row.ratio, row.met, row.target) == (0.5, True, "ratio >= 0.5")
    assert Row("x", 101, "MB", at_most=100).met is False
    assert Row("x", 101, "MB").met is None
