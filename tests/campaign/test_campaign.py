"""Whatever happens to the house, nothing is lost, and it is well again by itself."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.campaign.faults import FAULTS
from tests.disks import can_inject, can_mount, mounted
from tests.hubs import ENVIRONMENT

SHORT = {
    "hub killed": 3,
    "broker killed, back empty": 1,
    "InfluxDB killed": 1,
    "all killed at once": 1,
    "line to the broker cut": 1,
    "line to InfluxDB cut": 1,
    "exchange says anything but bars": 1,
    "clock a day off at start": 1,
    "disk full": 1,
    "nobody takes the dumps": 1,
    "hostile payloads": 1,
}
LONG = {fault.name: 10 for fault in FAULTS} | {
    "hub killed": 300,
    "broker killed, back empty": 30,
    "InfluxDB killed": 30,
    "line to the broker cut": 30,
    "line to InfluxDB cut": 30,
    "line to the broker half-open": 3,
}


def table_of(folder: Path, times: dict[str, int], seconds: float) -> list[dict[str, Any]]:
    """The campaign in a process of its own, with a small disk of its own where this machine lets us have one."""
    data = folder / "data"
    data.mkdir()
    needed = {"disk full": can_mount(), "syncs of the disk fail": can_inject()}
    plan = [f"{name}={number}" for name, number in times.items() if needed.get(name, True)]
    command = [sys.executable, "-m", "tests.campaign", str(folder), *plan]
    if can_mount():
        command = mounted(command, f"mount -t tmpfs -o size=600m none {data}")
    run = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=seconds, check=False)
    print(run.stderr)
    assert run.stdout, run.stderr[-5000:]
    rows: list[dict[str, Any]] = json.loads(run.stdout)
    return rows


def judge(rows: list[dict[str, Any]]) -> None:
    assert {row["fault"]: row["lost"] for row in rows if row["lost"]} == {}


@pytest.mark.timeout(400)
def test_a_short_campaign_loses_nothing(tmp_path: Path) -> None:
    judge(table_of(tmp_path, SHORT, 360))


@pytest.mark.timeout(200)
def test_the_harness_sees_what_is_lost(tmp_path: Path) -> None:
    """A harness that cannot fail proves nothing."""
    [found] = [row["lost"] for row in table_of(tmp_path, {"spoil": 1}, 120)]
    assert sum("None on disk" in words for words in found) == 1
    assert sum("at the exchange" in words for words in found) == 2
    assert sum("None in InfluxDB" in words for words in found) == 2
    assert sum("was said and is not on disk" in words for words in found) == 2


@pytest.mark.torture
@pytest.mark.timeout(5400)
def test_the_campaign_loses_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """300 kills of the hub, 30 of InfluxDB, 30 of the broker, and everything else ten times; the table is shown."""
    rows = table_of(tmp_path, LONG, 5000)
    with capsys.disabled():
        from tests.campaign.__main__ import table

        print(f"\n{table(rows)}")
    judge(rows)
