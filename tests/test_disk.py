"""Disks that are full, failing or not to be written: what was confirmed stays, and the user reads what to do."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from hub.clock import SystemClock
from hub.runtime.disk.store import SqliteStore
from hub.testing import bars
from tests.disks import beside, can_inject, can_mount, injected, mounted, not_permitted
from tests.hubs import HUB, log_of, log_until, running, write_values

ROOT = Path(__file__).parents[1]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
AT_WORK = str(Path(__file__).parent / "crash" / "at_work.py")

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


MIB = 1 << 20


def free_bytes(place: Path) -> int:
    return shutil.disk_usage(place).free


def fill(filler: Path, leave: int) -> None:
    """So that not more than this is free."""
    with filler.open("ab") as file, suppress(OSError):
        while (more := free_bytes(filler.parent) - leave) > 0:
            file.write(b"x" * min(more, MIB))
            file.flush()


class Stored:
    """What stands in the store of a hub that has a mount of its own."""

    def __init__(self, process: int, store: Path) -> None:
        self._process = process
        self._look = f"import sqlite3, sys; print(sqlite3.connect('file:{store}?mode=ro', uri=True).execute(sys.argv[1]).fetchone()[0])"

    def count(self, what: str) -> int:
        look = beside(self._process, [sys.executable, "-c", self._look, what])
        return int(subprocess.run(look, capture_output=True, text=True, check=True).stdout)

    def until_more(self, what: str, than: int, seconds: float = 60.0) -> int:
        """What is counted there, once it is more than that."""
        end = time.monotonic() + seconds
        while (found := self.count(what)) <= than:
            assert time.monotonic() < end, f"still {found}: {what}"
            time.sleep(0.2)
        return found


BARS, OTHERS = "SELECT count(*) FROM bar", "SELECT count(*) FROM fact WHERE kind IN ('Forecast', 'Score')"


@mounts
def test_a_disk_that_fills_under_a_hub_keeps_room_for_bars_to_the_end(tmp_path: Path) -> None:
    """The ladder, rung by rung: warned, shed, nothing but bars, the reserve; and down again without a restart."""
    write_values(
        tmp_path,
        data_dir="disk",
        clock={"speed": 300},
        plugins={"collector": {"source": "simulated", "backfill": "2d"}, "inference": {"every": "1m"}, "scorecard": {}},
    )
    disk = tmp_path / "disk"
    (disk / "backups").mkdir(parents=True)
    old = [f"backups/tickerml-2025-01-0{day}T0317Z.tar.gz" for day in (1, 2)]
    make = f"mount -t tmpfs -o size=400m none {disk}; mkdir {disk}/backups; touch {' '.join(str(disk / name) for name in old)}"
    with running(tmp_path, program=mounted(HUB, make)) as process:
        log_until(tmp_path, "hub runs")
        inside = Path(f"/proc/{process.pid}/root{disk}")
        store, filler = Stored(process.pid, disk / "tickerml.db"), inside / "filler"
        assert "only" in log_until(tmp_path, "MiB are free on the disk"), "the first rung: below 1 GiB it is said"
        others = store.until_more(OTHERS, 0)
        assert (inside / "ballast").stat().st_size == 32 * MIB
        assert (inside / old[0]).exists(), "there is room for both"

        fill(filler, 60 * MIB)
        log_until(tmp_path, "what is left is kept for bars")
        others, recorded = store.count(OTHERS), store.count(BARS)
        store.until_more(BARS, recorded + 20)
        assert store.count(OTHERS) == others, "below 64 MiB nothing but bars"

        fill(filler, 0)
        log_until(tmp_path, "the reserve on the disk is given up, for bars only")
        store.until_more(BARS, store.count(BARS) + 20)
        filler.unlink()
        store.until_more(OTHERS, others)
        assert process.poll() is None
    assert "Traceback" not in log_of(tmp_path)


@mounts
def test_a_hub_that_starts_on_a_nearly_full_disk_lets_go_of_what_is_there_twice(tmp_path: Path) -> None:
    write_values(tmp_path, data_dir="disk", plugins={"collector": {"source": "simulated", "backfill": "30m"}})
    disk = tmp_path / "disk"
    old = [disk / f"backups/tickerml-2025-01-0{day}T0317Z.tar.gz" for day in (1, 2, 3)]
    disk.mkdir()
    make = f"mount -t tmpfs -o size=100m none {disk}; mkdir {disk}/backups; touch {' '.join(map(str, old))}"
    with running(tmp_path, program=mounted(HUB, make)) as process:
        log_until(tmp_path, "what can be had again is let go of")
        inside = Path(f"/proc/{process.pid}/root{disk}")
        assert old[2].name in {file.name for file in (inside / "backups").iterdir()}
        assert not {old[0].name, old[1].name} & {file.name for file in (inside / "backups").iterdir()}
        assert not (inside / "ballast").exists()
        Stored(process.pid, disk / "tickerml.db").until_more(BARS, 0)
