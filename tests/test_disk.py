"""Disks that are full, failing or not to be written: what was confirmed stays, and the user reads what to do."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hub.clock import SystemClock
from hub.runtime.store import SqliteStore
from hub.testing import bars
from tests.disks import can_inject, can_mount, injected, mounted, not_permitted

ROOT = Path(__file__).parents[1]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
AT_WORK = str(Path(__file__).parent / "crash" / "at_work.py")
HUB = [sys.executable, "-m", "hub"]

mounts = pytest.mark.skipif(not can_mount(), reason="no mount namespace here: run as root, or allow user namespaces")
traces = pytest.mark.skipif(not can_inject(), reason="strace may not be used here")


def at_work(*arguments: object) -> list[str]:
    return [sys.executable, AT_WORK, *map(str, arguments)]


def told(command: Sequence[str]) -> list[dict[str, Any]]:
    """What a recorder at work says, line by line."""
    run = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=100, check=False)
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def of(key: str, lines: Sequence[dict[str, Any]]) -> list[Any]:
    return [line[key] for line in lines if key in line]


@mounts
def test_a_full_disk_gives_up_its_reserve_for_bars_and_recovers_when_there_is_space(tmp_path: Path) -> None:
    """K1, on a real file system of 4 MB: commits fail cleanly, reads go on, nothing that was confirmed is lost."""
    filler = tmp_path / "filler"
    fill = f"mount -t tmpfs -o size=4m none {tmp_path}; dd if=/dev/zero of={filler} bs=1k count=3400 2>/dev/null"
    lines = told(mounted(at_work(tmp_path, 2000, "--ballast", 262_144, "--clear-up", filler, 5), fill))
    assert of("ballast", lines) == [True, True], "reserved at the start, and again when there is space"
    assert of("log", lines) == ["the reserve on the disk is given up, for bars only", "storage failing", "storage works again"]
    assert len(of("failed", lines)) >= 5
    assert all(f"{tmp_path}/tickerml.db: the disk is full; free some space" == words for words in of("failed", lines))
    assert all(line["readable"] == line["confirmed"] for line in lines if "failed" in line), "reads go on"
    assert "kept for bars" in of("alert", lines)[0]
    assert of("sound", lines) == [True]


@traces
@pytest.mark.parametrize("call", ["pwrite64", "fallocate,ftruncate,pwrite64"])
def test_writes_that_find_no_space_cost_no_confirmed_bar(tmp_path: Path, call: str) -> None:
    """K1, at any write: the log's, the database's, the index of the log's."""
    lines = told(injected(at_work(tmp_path, 150), f"{call}:error=ENOSPC:when=60+40"))
    assert len(of("failed", lines)) > 10
    assert {line["kind"] for line in lines if "failed" in line} <= {"DiskFull", "TransientError"}
    assert of("sound", lines) == [True]


@traces
def test_syncs_that_fail_confirm_nothing_and_three_in_a_row_are_an_alarm(tmp_path: Path) -> None:
    """K3: EIO is what a dying card says."""
    lines = told(injected(at_work(tmp_path, 150), "fdatasync:error=EIO:when=40..44", "fsync:error=EIO:when=4..6"))
    failed = [line for line in lines if "failed" in line]
    assert len(failed) >= 3
    assert all("the disk does not do its work: disk I/O error" in line["failed"] for line in failed)
    assert of("log", lines) == ["storage failing", "storage works again"]
    assert of("sound", lines) == [True]


@traces
def test_a_sync_that_fails_now_and_then_is_tried_again_in_silence(tmp_path: Path) -> None:
    """The connection is opened anew, and the same minute is recorded."""
    lines = told(injected(at_work(tmp_path, 150), "fdatasync:error=EIO:when=40+25"))
    assert len(of("failed", lines)) >= 3
    assert of("log", lines) == []
    assert of("sound", lines) == [True]


@traces
def test_a_disk_that_turns_read_only_is_named_and_used_again_when_it_is_well(tmp_path: Path) -> None:
    """K5: Linux does that to a file system with errors."""
    lines = told(injected(at_work(tmp_path, 60), "pwrite64:error=EROFS:when=60..75"))
    assert of("failed", lines)
    assert of("sound", lines) == [True]


def refused(command: Sequence[str], folder: Path) -> str:
    """The words of a hub that does not start; never a traceback."""
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=ENVIRONMENT, timeout=60, check=False)
    assert run.returncode == 1, run.stderr
    assert "Traceback" not in run.stderr + run.stdout
    return run.stderr


@pytest.fixture(params=["stopped", "killed"])
def station(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder with a configuration, and a data_dir as a hub left it."""
    (tmp_path / "config.yaml").write_text("plugins:\n  collector: {source: simulated}\n", encoding="utf-8")
    with closing(SqliteStore.open(tmp_path / "data" / "tickerml.db", SystemClock())) as store:
        store.record(bars(1, 2, 3))
        left = {file.name: file.read_bytes() for file in store.path.parent.iterdir()}
    if request.param == "killed":
        for name, content in left.items():
            (tmp_path / "data" / name).write_bytes(content)
    return tmp_path


@mounts
def test_a_data_dir_on_a_read_only_mount_is_named_with_the_fix(station: Path) -> None:
    """K5. What is there can still be looked at."""
    data = station / "data"
    read_only = f"mount --bind {data} {data}; mount -o remount,bind,ro {data}"
    words = refused(mounted([*HUB, "run"], read_only), station)
    assert f"{data.relative_to(station)}: cannot be used as data_dir: Read-only file system; make it writable" in words
    for command in (["status"], ["bars", "gaps"], ["bars", "export", "--symbol", "BTC/USDT"]):
        run = subprocess.run(
            mounted([*HUB, *command], read_only), cwd=station, capture_output=True, text=True, env=ENVIRONMENT, check=False
        )
        assert (run.returncode, run.stderr) == (0, "")
    doctor = subprocess.run(mounted([*HUB, "doctor"], read_only), cwd=station, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert doctor.returncode == 5
    assert "Traceback" not in doctor.stderr
    assert "FAIL  disk: " in doctor.stdout
    assert "data_dir" in doctor.stdout


def test_a_data_dir_without_permission_is_named_with_the_fix(station: Path) -> None:
    """K5."""
    words = refused(not_permitted([*HUB, "run"], station / "data"), station)
    assert "data: cannot be used as data_dir: Permission denied; make it writable for this user, or set data_dir" in words


def test_a_store_without_permission_is_named_with_the_fix(station: Path) -> None:
    """K5: copied there by another user."""
    (station / "data" / "hub.lock").touch()
    (station / "data" / "tickerml.db").chmod(0o444)
    words = refused(not_permitted([*HUB, "run"], station / "data"), station)
    assert "data/tickerml.db: cannot be written: " in words
    assert "make the folder writable for this user" in words


def test_a_data_dir_that_cannot_be_made_is_named_with_the_fix(station: Path) -> None:
    """K5."""
    (station / "config.yaml").write_text("data_dir: nowhere/data\nplugins: {}\n", encoding="utf-8")
    (station / "nowhere").write_text("a file", encoding="utf-8")
    words = refused([*HUB, "run"], station)
    assert "nowhere/data: cannot be used as data_dir: Not a directory; make it writable for this user, or set data_dir" in words
