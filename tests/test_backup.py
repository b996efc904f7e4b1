"""`hub backup` beside a running hub, `hub restore` into an empty folder, and every archive that is not what it should be."""

import asyncio
import gzip
import io
import json
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hub.clock import SystemClock
from hub.configuration import load_configuration
from hub.errors import HubError
from hub.runtime.backups.archive import MANIFEST
from hub.runtime.backups.backup import back_up, without
from hub.runtime.backups.nightly import archives, back_up_nightly, back_up_tonight, due, folder_of, told
from hub.runtime.backups.restore import restore
from hub.runtime.disk.store import SqliteStore
from hub.testing import FakeClock, FakeHub, bars
from tests.days import a_day
from tests.disks import can_mount, mounted
from tests.hubs import ENVIRONMENT, HUB, hub, running, status_until, write_values

NOW = datetime(2026, 5, 20, 12, 0, tzinfo=UTC)
SECRET = "hunter2-canary-0815"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data_dir with a store, a model, what plugins remember, and what must stay out."""
    folder = tmp_path / "data"
    (folder / "inference" / "models").mkdir(parents=True)
    (folder / "inference" / "trusted").mkdir()
    (folder / "dashboard").mkdir()
    (folder / "etl").mkdir()
    store = SqliteStore.open(folder / "tickerml.db", SystemClock())
    store.record(a_day(30))
    store.close()
    for name, content in {
        "inference/models/aa.onnx": b"a model",
        "inference/models/bb.part": b"half",
        "inference/trusted/k.pub": b"a key",
        "etl/etl.json": b"{}",
        "etl/2025-05-20/bars.csv": b"x",
        "dashboard/password.scrypt": SECRET.encode(),
        "strange/token.json": SECRET.encode(),
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def facts(data_dir: Path) -> Any:
    store = SqliteStore.open(data_dir / "tickerml.db", SystemClock(), read_only=True)
    try:
        return store.facts_after(0, (), 1) or [store.bars(symbol, 0, 2**53) for symbol in store.symbols()], store.last_seq()
    finally:
        store.close()


def made(tmp_path: Path, data_dir: Path) -> Path:
    config = tmp_path / "config.yaml"
    config.write_text(f"mqtt: {{password: '{SECRET}'}}\n", encoding="utf-8")
    back_up(data_dir, config, [SECRET], tmp_path / "b.tgz", NOW)
    return tmp_path / "b.tgz"


def test_what_is_restored_is_what_was_backed_up(tmp_path: Path, data: Path) -> None:
    file = made(tmp_path, data)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with tarfile.open(file) as archive:
        names = archive.getnames()
        contents = b"".join(archive.extractfile(name).read() for name in names)  # type: ignore[union-attr]
    assert names[0] == MANIFEST
    assert set(names) == {MANIFEST, "tickerml.db", "config.yaml", "inference/models/aa.onnx", "inference/trusted/k.pub", "etl/etl.json"}
    assert SECRET.encode() not in contents
    away = tmp_path / "away"
    manifest = restore(file, away / "data", away / "config.yaml")
    assert (manifest.made_at, manifest.secrets_left_out) == ("2026-05-20T12:00:00Z", 1)
    assert facts(away / "data") == facts(data)
    assert (away / "data" / "inference" / "models" / "aa.onnx").read_bytes() == b"a model"
    assert yaml.safe_load((away / "config.yaml").read_text()) == {"mqtt": {"password": None}}
    assert sorted(file.name for file in (away / "data").iterdir()) == ["etl", "inference", "tickerml.db"]


def test_a_store_that_is_there_is_never_touched(tmp_path: Path, data: Path) -> None:
    file, before = made(tmp_path, data), (data / "tickerml.db").read_bytes()
    with pytest.raises(HubError, match="holds a store already; move it away"):
        restore(file, data, tmp_path / "config.yaml")
    assert (data / "tickerml.db").read_bytes() == before
    (tmp_path / "config.yaml").write_text("# mine\n")
    restore(file, tmp_path / "new", tmp_path / "config.yaml")
    assert (tmp_path / "config.yaml").read_text() == "# mine\n"


def test_what_a_power_cut_has_left_is_cleared_up(tmp_path: Path, data: Path) -> None:
    """But not what another backup is at work in."""
    old, young, half = tmp_path / ".backup-old", tmp_path / ".backup-young", tmp_path / "away" / ".restore-x"
    for folder in (old, young, half):
        folder.mkdir(parents=True)
        (folder / "tickerml.db").touch()
    os.utime(young, (NOW.timestamp(), NOW.timestamp()))
    os.utime(old, (0, 0))
    restore(made(tmp_path, data), tmp_path / "away", tmp_path / "away.yaml")
    assert (old.exists(), young.exists(), half.exists()) == (False, True, False)


def rewritten(file: Path, change: Callable[[dict[str, bytes]], dict[str, bytes]], *, kind: bytes = tarfile.REGTYPE) -> None:
    """The same archive with other members."""
    with tarfile.open(file) as archive:
        found = {name: archive.extractfile(name).read() for name in archive.getnames()}  # type: ignore[union-attr]
    with tarfile.open(file, "w:gz") as archive:
        for name, content in change(found).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if name.endswith("link"):
                member.type, member.linkname, member.size = kind, "/etc/passwd", 0
            archive.addfile(member, io.BytesIO(content))


def told_so(found: dict[str, bytes], **changed: Any) -> dict[str, bytes]:
    manifest = json.loads(found[MANIFEST]) | changed
    return found | {MANIFEST: json.dumps(manifest).encode()}


CHANGES: list[tuple[str, Callable[[dict[str, bytes]], dict[str, bytes]]]] = [
    ("is not as it was written", lambda found: found | {"tickerml.db": found["tickerml.db"][:-1] + b"x"}),
    ("is not as it was written", lambda found: found | {"tickerml.db": found["tickerml.db"] + b"x"}),
    ("is missing", lambda found: {name: content for name, content in found.items() if name != "etl/etl.json"}),
    ("is not in its manifest", lambda found: found | {"extra": b""}),
    ("does not belong there", lambda found: found | {"../evil": b""}),
    ("does not belong there", lambda found: found | {"/etc/evil": b""}),
    ("does not belong there", lambda found: found | {"a-link": b""}),
    ("does not begin with a manifest", lambda found: {name: found[name] for name in sorted(found, reverse=True)}),
    ("was made by a newer hub", lambda found: told_so(found, format=2, version="9")),
    ("it has no store", lambda found: told_so(found, parts=[])),
    (
        "does not belong there",
        lambda found: told_so(found, parts=[*json.loads(found[MANIFEST])["parts"], {"name": "x/y", "bytes": 0, "sha256": ""}]),
    ),
    ("is no whole backup", lambda found: found | {MANIFEST: b"nonsense"}),
    ("is no whole backup", lambda found: told_so(found, parts=5)),
    ("is no whole backup", lambda _found: {}),
]


@pytest.mark.parametrize(("words", "change"), CHANGES, ids=[f"{number} {words}" for number, (words, _) in enumerate(CHANGES)])
def test_an_archive_that_is_not_what_it_should_be_leaves_nothing_behind(tmp_path: Path, data: Path, words: str, change: Any) -> None:
    file = made(tmp_path, data)
    rewritten(file, change, kind=tarfile.SYMTYPE)
    with pytest.raises(HubError, match=words):
        restore(file, tmp_path / "away", tmp_path / "away.yaml")
    assert not list((tmp_path / "away").iterdir())
    assert not (tmp_path / "away.yaml").exists()


@pytest.mark.parametrize("cut", [0, 10, 1000, -4000])
def test_half_an_archive_is_none(tmp_path: Path, data: Path, cut: int) -> None:
    file = made(tmp_path, data)
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(HubError, match="is no whole backup"):
        restore(file, tmp_path / "away", tmp_path / "away.yaml")
    assert not list((tmp_path / "away").iterdir())


def test_a_bomb_is_not_unpacked(tmp_path: Path, data: Path) -> None:
    """A member that is larger than its manifest says is read no further."""
    file = made(tmp_path, data)
    rewritten(file, lambda found: found | {"etl/etl.json": b"\0" * 50_000_000})
    assert len(gzip.compress(b"")) < file.stat().st_size < 5_000_000
    with pytest.raises(HubError, match=r"etl/etl.json is not as it was written"):
        restore(file, tmp_path / "away", tmp_path / "away.yaml")


@given(secret=st.text("abc'\":{}\\ 0#", min_size=6, max_size=12))
def test_no_secret_is_in_a_copied_configuration(secret: str) -> None:
    """However it is quoted."""
    for text in (f"a: {json.dumps(secret)}\n", "b: '" + secret.replace("'", "''") + "'\n", yaml.safe_dump({"c": [secret]}, width=1000)):
        left, _ = without(text, [secret])
        assert secret not in str(yaml.safe_load(left))


def test_no_room_is_said_before_anything_is_written(tmp_path: Path, data: Path) -> None:
    if not can_mount():
        pytest.skip("needs the right to mount a small file system")
    small = tmp_path / "small"
    small.mkdir()
    (tmp_path / "config.yaml").write_text(f"data_dir: {data}\n", encoding="utf-8")
    command = mounted([*HUB, "backup", str(small / "b.tgz")], f"mount -t tmpfs -o size=4m tmpfs {small}")
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert (done.returncode, "MiB are free, and a backup may need" in done.stderr) == (1, True), done.stderr


def test_every_night_one_and_the_last_few_are_kept(tmp_path: Path, data: Path) -> None:
    (tmp_path / "config.yaml").write_text(f"data_dir: {data}\nbackup: {{at: '02:00', keep: 2}}\n", encoding="utf-8")
    configuration = load_configuration(tmp_path / "config.yaml", {})
    assert "none yet" in told(configuration, NOW)[1]
    for day in range(4):
        now = NOW + timedelta(days=day)
        assert due(configuration, now)
        back_up_tonight(configuration, now)
        assert not due(configuration, now)
        assert not due(configuration, now.replace(hour=23)), "it is not yet night"
        assert due(configuration, now.replace(hour=2) + timedelta(days=1))
    (folder_of(configuration) / "tickerml-mine.tar.gz").touch()
    assert [made.day for made, _ in archives(folder_of(configuration))] == [22, 23]
    assert told(configuration, NOW + timedelta(days=4))[0]
    late, words = told(configuration, NOW + timedelta(days=9))
    assert (late, "6 days old" in words) == (False, True)


async def test_a_night_that_fails_is_told_tried_again_and_hurts_nobody(tmp_path: Path, data: Path) -> None:
    """The hub would end with this task."""
    (tmp_path / "config.yaml").write_text(f"data_dir: {data}\n", encoding="utf-8")
    configuration = load_configuration(tmp_path / "config.yaml", {})
    told = FakeHub(clock=FakeClock(NOW))
    app: Any = SimpleNamespace(clock=told.clock, log=told.log, configuration=configuration)
    running = asyncio.create_task(back_up_nightly(app))

    async def until(words: str) -> None:
        while words not in [entry["event"] for entry in told.logged.entries]:
            await told.clock.advance(600.0)
            await asyncio.sleep(0.01)

    (tmp_path / "config.yaml").write_bytes(b"\xff\xfe")
    await until("no backup tonight")
    (data / "backups").rmdir()
    (data / "backups").touch()
    told.logged.entries.clear()
    await until("no backup tonight")
    (data / "backups").unlink()
    (tmp_path / "config.yaml").write_text(f"data_dir: {data}\n", encoding="utf-8")
    await until("backed up")
    assert not running.done()
    running.cancel()
    await told.http.aclose()


def test_a_station_that_kept_its_data_elsewhere_does_so_again(tmp_path: Path, data: Path) -> None:
    """Where no configuration is, that of the archive says where the rest belongs."""
    home, away = tmp_path / "home", tmp_path / "away"
    for folder in (home, away):
        folder.mkdir()
    (home / "config.yaml").write_text(f"data_dir: {data}\n", encoding="utf-8")
    assert hub(home, "backup", str(tmp_path / "b.tgz")).returncode == 0
    data.rename(tmp_path / "old")
    done = hub(away, "restore", str(tmp_path / "b.tgz"))
    assert done.returncode == 0, done.stderr
    assert facts(data) == facts(tmp_path / "old")
    assert (away / "config.yaml").read_text() == f"data_dir: {data}\n"
    assert [file.name for file in away.iterdir()] == ["config.yaml"]
    (tmp_path / "none.tgz").write_bytes(b"nothing")
    (tmp_path / "new").mkdir()
    for name in ("none.tgz", "missing.tgz"):
        answer = hub(tmp_path / "new", "restore", str(tmp_path / name))
        assert (answer.returncode, "Traceback" in answer.stderr) == (1, False)
    assert not list((tmp_path / "new").iterdir())


@pytest.mark.timeout(120)
def test_a_running_hub_is_backed_up_and_another_goes_on_where_it_was(tmp_path: Path) -> None:
    """From the commands: the archive is of one moment, secrets are left out, and a restored hub starts and has every bar."""
    home, away = tmp_path / "home", tmp_path / "away"
    home.mkdir()
    away.mkdir()
    collector = {"source": "simulated", "backfill": "2h", "coingecko": {"api_key": SECRET}}
    write_values(home, clock={"speed": 60}, plugins={"collector": collector, "scorecard": {}})
    (home / "config.yaml").chmod(0o600)
    with running(home):
        status_until(home, lambda shown: all(row["last_bar"] for row in shown["symbols"]) and len(shown["symbols"]) == 2)
        done = hub(home, "backup", str(tmp_path / "b.tgz"))
        assert done.returncode == 0, done.stderr
    with tarfile.open(tmp_path / "b.tgz") as archive:
        assert SECRET.encode() not in b"".join(archive.extractfile(name).read() for name in archive.getnames())  # type: ignore[union-attr]
    back = hub(away, "restore", str(tmp_path / "b.tgz"))
    assert (back.returncode, "1 secrets were left out" in back.stdout) == (0, True), back.stderr
    before = hub(away, "bars", "export", "--symbol", "BTC/USDT").stdout.splitlines()
    assert hub(home, "bars", "export", "--symbol", "BTC/USDT").stdout.splitlines()[: len(before)] == before
    assert len(before) > 100
    with running(away):
        status_until(away, lambda shown: shown.get("running"))
        refused = hub(away, "restore", str(tmp_path / "b.tgz"))
        assert (refused.returncode, "another hub" in refused.stderr) == (1, True)
    again = hub(away, "restore", str(tmp_path / "b.tgz"))
    assert (again.returncode, "holds a store already" in again.stderr) == (1, True)
    assert hub(tmp_path, "backup", str(tmp_path / "c.tgz")).returncode == 1
    assert "ok    backup: none yet" in hub(away, "doctor").stdout
    assert bars(1.0)
