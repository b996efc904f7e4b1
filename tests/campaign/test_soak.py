"""A station that runs for days holds no more memory, files and threads than on the first."""

import time
from pathlib import Path
from statistics import median, quantiles

import numpy as np
import psutil
import pytest

from tests.campaign.house import House

SPEED = 900.0
"""Fifteen minutes of the market a second: a day in 96 s."""
DAY_S = 86_400 / SPEED
DRIFT_MB_AN_HOUR = 1.0
"""Of the clock on the wall, however fast the hub's own time goes."""


def soak(folder: Path, warm_up: float, days: float) -> tuple[np.ndarray, np.ndarray, list[int], list[int]]:
    """After so many days of warm-up: seconds, MB of the hub's own process, open files, threads."""
    plugins = {"scorecard": {"window": "12h"}}  # what it remembers is full within the warm-up, as is what the news remember
    with House(folder, speed=SPEED, plugins=plugins) as house:
        house.until_well(120)
        time.sleep(warm_up * DAY_S)
        hub, begun = psutil.Process(house.pid), time.monotonic()
        rows = []
        while time.monotonic() - begun < days * DAY_S:
            rows.append((time.monotonic() - begun, hub.memory_info().rss / 2**20, hub.num_fds(), hub.num_threads()))
            house.witness.heard.clear()
            time.sleep(0.5)
        house.until_well(60)
        health = house.ask("health")
        assert {row["name"]: row["state"] for row in health["plugins"] if row["state"] in {"failed", "retrying"}} == {}
        assert sum(row["minutes_missing"] for row in health["symbols"]) == 0
        assert house.lost() == []
        assert "Traceback" not in house.log
    at, memory, files, threads = zip(*rows, strict=True)
    return np.array(at), np.array(memory), list(files), list(threads)


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_seven_days_cost_no_memory_no_file_and_no_thread(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After a warm-up of five days, for as long as the news and the scoreboard remember."""
    at, memory, files, threads = soak(tmp_path, 5.0, 7.0)
    slope = float(np.polyfit(at / 3600, memory, 1)[0])
    early, late = (slice(0, len(at) // 4), slice(-len(at) // 4, None))
    with capsys.disabled():
        each_day = ", ".join(f"{median(day):.1f}" for day in np.array_split(memory, 7))
        print(f"\n7 days in {at[-1] / 60:.0f} min: {slope:+.2f} MB an hour; MB, day by day: {each_day}")
        for what, counts in (("files", files), ("threads", threads)):
            print(f"{median(counts[early]):.0f} to {median(counts[late]):.0f} {what}")
    assert slope < DRIFT_MB_AN_HOUR
    assert quantiles(files[late], n=10)[-1] <= quantiles(files[early], n=10)[-1] + 1
    assert median(threads[late]) <= median(threads[early])
