"""Dumps as their user meets them: the command, a real sshd, and a trainer that reads back what the hub has."""

import json
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hub.clock import SystemClock
from hub.market.interval import to_ms
from hub.runtime.disk.store import SqliteStore
from plugins.etl.folder import manifest_in
from plugins.inference.window import surroundings
from tests.brokers import Mosquitto, Witness
from tests.disks import can_mount, mounted
from tests.hubs import ENVIRONMENT, HUB, hub, log_of, log_until, running, status_until, write_values
from tests.plugins.etl.days import DAY, a_day, prices
from tests.plugins.etl.test_etl import is_whole
from tests.publishing import trainer
from tests.sshd import Sshd, make_key
from trainer.moods import load as load_moods
from trainer.series import load

DAYS = 3


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    folder = tmp_path / "ssh"
    folder.mkdir()
    with Sshd(folder) as server:
        yield server


def station(folder: Path, **etl: Any) -> Path:
    """A folder with days of facts on disk and a hub that would dump them."""
    folder.mkdir(exist_ok=True)
    write_values(folder, plugins={"collector": {"source": "simulated", "backfill": "30m"}, "etl": etl})
    store = SqliteStore.open(folder / "data" / "tickerml.db", SystemClock())
    for day in range(DAYS):
        store.record(a_day(DAY + timedelta(days=day)))
    store.close()
    return folder


def sftp(server: Sshd, folder: Path) -> dict[str, Any]:
    return {"target": server.url(folder), "target_key_file": str(server.key), "known_hosts": str(server.known_hosts)}


def stored(home: Path, symbol: str) -> np.ndarray:
    """Open time, OHLC, volume and what else the trainer keeps, of every bar on disk."""
    store = SqliteStore.open(home / "data" / "tickerml.db", SystemClock(), read_only=True)
    found = store.bars(symbol, 0, 2**60)
    store.close()
    return np.array(
        [
            (to_ms(b.open_time), b.open, b.high, b.low, b.close, b.volume, b.quote_volume, b.trades, b.taker_buy_volume)
            for b in found
            if b.open_time < DAY + timedelta(days=DAYS)
        ],
        np.float64,
    )


def ingested(data: Path, symbol: str) -> np.ndarray:
    parts = load(data)[symbol]
    columns = ("open_time", "open", "high", "low", "close", "volume", "quote_volume", "trades", "taker_buy_volume")
    return np.concatenate([np.array([getattr(part, name) for name in columns], np.float64).T for part in parts])


def dump_all(home: Path) -> None:
    for day in range(DAYS):
        answer = hub(home, "dump", "--day", f"2025-05-{20 + day}", "--json")
        assert answer.returncode == 0, answer.stderr
        assert json.loads(answer.stdout)["day"] == f"2025-05-{20 + day}"


def test_what_comes_over_sftp_and_is_taken_in_again_is_what_the_store_has(tmp_path: Path, sshd: Sshd) -> None:
    """From the hub's disk to another machine, and from there to the trainer: the same bars to the bit, the same moods."""
    away = tmp_path / "away"
    away.mkdir()
    home = station(tmp_path / "home", **sftp(sshd, away))
    dump_all(home)
    assert all(is_whole(away / f"2025-05-{20 + day}") for day in range(DAYS))
    assert not list(away.rglob("*.part"))
    options = ("--data", "bars", "--key-file", str(sshd.key), "--known-hosts", str(sshd.known_hosts))
    answer = trainer(tmp_path, "ingest", sshd.url(away), *options)
    assert answer.returncode == 0, answer.stderr
    for symbol in ("BTC-USDT", "ETH-USDT"):
        assert np.array_equal(ingested(tmp_path / "bars", symbol), stored(home, symbol), equal_nan=True)
    hours = load_moods(tmp_path / "bars", "BTC")
    assert hours == [(to_ms(DAY + timedelta(days=day, hours=3)), -0.25, 4) for day in range(DAYS)]
    [stretch] = load(tmp_path / "bars")["BTC-USDT"]
    assert stretch.sentiment is not None
    assert set(np.unique(stretch.sentiment[~np.isnan(stretch.sentiment)])) == {-0.25}
    store = SqliteStore.open(home / "data" / "tickerml.db", SystemClock(), read_only=True)
    live = surroundings(store, "BTC-USDT", None, stretch.open_time)
    store.close()
    assert np.array_equal(live.sentiment, stretch.sentiment, equal_nan=True), "what a model sees live is what it was trained on"
    assert np.array_equal(live.articles, stretch.articles, equal_nan=True)
    again = trainer(tmp_path, "ingest", sshd.url(away), *options, "--json")
    total = json.loads(again.stdout)["total"]
    assert (total["kept"], total["revisions"], total["failed"]) == (0, 0, 0)


def test_from_a_folder_too_and_a_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    home = station(tmp_path / "home")
    dump_all(home)
    answer = trainer(tmp_path, "ingest", "home/data/etl", "--data", "bars")
    assert answer.returncode == 0, answer.stderr
    assert "left out: is the table forecasts of a dump" in answer.stdout
    assert np.array_equal(ingested(tmp_path / "bars", "BTC-USDT"), stored(home, "BTC-USDT"), equal_nan=True)
    file = home / "data" / "etl" / "2025-05-21" / "bars-ETH-USDT.csv"
    file.write_bytes(file.read_bytes().replace(b"100.5", b"100.6", 1))
    damaged = trainer(tmp_path, "ingest", "home/data/etl", "--data", "other")
    assert damaged.returncode == 1
    assert "2025-05-21/bars-ETH-USDT.csv: is not what manifest.json beside it says" in damaged.stderr


def test_a_host_key_that_is_another_than_known_stops_everything(tmp_path: Path, sshd: Sshd) -> None:
    """E3: not one byte goes to a server that may be somebody else."""
    away = tmp_path / "away"
    away.mkdir()
    home = station(tmp_path / "home", **sftp(sshd, away))
    sshd.know(make_key(tmp_path / "other"))
    answer = hub(home, "dump", "--day", "2025-05-20")
    assert answer.returncode == 4
    assert "another host key than known_hosts has" in answer.stderr
    assert "Traceback" not in answer.stderr
    sshd.known_hosts.write_text("")
    assert "not known" in hub(home, "dump", "--day", "2025-05-20").stderr
    assert list(away.iterdir()) == []
    assert "note  dump target" in hub(home, "doctor").stdout
    sshd.know(sshd.host_key)
    assert hub(home, "dump", "--day", "2025-05-20").returncode == 0
    assert "is there, and holds 1 files and folders" in hub(home, "doctor").stdout
    assert is_whole(away / "2025-05-20")


def test_a_login_that_is_refused_is_told_with_what_may_be_wrong(tmp_path: Path, sshd: Sshd) -> None:
    home = station(tmp_path / "home", **sftp(sshd, tmp_path) | {"target_key_file": str(make_key(tmp_path / "wrong"))})
    answer = hub(home, "dump", "--day", "2025-05-20")
    assert answer.returncode == 4
    assert "refuses the login" in answer.stderr


@pytest.mark.skipif(not can_mount(), reason="needs leave to mount")
def test_a_full_target_keeps_no_half_file_and_gets_the_rest_when_there_is_room(tmp_path: Path) -> None:
    """E3: a running hub tries again by itself; what is there under a file's own name is whole."""
    folder, away = tmp_path / "ssh", tmp_path / "away"
    folder.mkdir()
    away.mkdir()
    filler = away / "filler"
    with (
        Sshd(
            folder,
            wrapped=lambda command: mounted(command, f"mount -t tmpfs -o size=1200k none {away}; head -c 1100000 /dev/zero > {filler}"),
        ) as server,
        Mosquitto(_made(tmp_path / "broker")) as broker,
    ):
        home = station(tmp_path / "home", **sftp(server, away))
        configuration = json.loads((home / "config.yaml").read_text())
        clock = {"start": (DAY + timedelta(days=DAYS, minutes=1)).isoformat(), "speed": 60}
        write_values(home, **configuration | {"mqtt": {"port": broker.port, "embedded": False}, "clock": clock})
        with Witness(broker.port, "tickerml/dump") as witness, running(home):
            shown = status_until(
                home, lambda shown: any(each["name"] == "etl" and each["state"] == "retrying" for each in shown.get("plugins", []))
            )
            assert "sftp://" in next(each["error"] for each in shown["plugins"] if each["name"] == "etl")
            assert not witness.on("tickerml/dump")
            subprocess.run(
                [
                    "sftp",
                    "-q",
                    "-b",
                    "-",
                    "-i",
                    server.key,
                    "-o",
                    f"UserKnownHostsFile={server.known_hosts}",
                    "-P",
                    str(server.port),
                    "127.0.0.1",
                ],
                input=f"rm {filler}\n",
                text=True,
                check=True,
                capture_output=True,
            )
            end = time.monotonic() + 90
            while len(witness.on("tickerml/dump")) < DAYS:
                assert time.monotonic() < end, log_of(home)[-3000:]
                time.sleep(0.2)
        said = [json.loads(payload) for payload in witness.on("tickerml/dump")]
        assert sorted({each["day"] for each in said}) == [f"2025-05-{20 + day}" for day in range(DAYS)]
        assert all(file["url"].startswith(server.url(away)) for file in said[0]["files"])
        answer = trainer(
            tmp_path, "ingest", server.url(away), "--data", "bars", "--key-file", str(server.key), "--known-hosts", str(server.known_hosts)
        )
        assert answer.returncode == 0, answer.stderr


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_a_running_hub_dumps_when_it_is_asked_to(tmp_path: Path) -> None:
    home = station(tmp_path / "home")
    with running(home):
        log_until(home, "hub runs")
        status_until(home, lambda shown: shown.get("running"))
        answer = hub(home, "dump", "--day", "2025-05-20")
        assert answer.returncode == 0, answer.stderr
        assert "bars-BTC-USDT.csv" in answer.stdout
        assert is_whole(home / "data" / "etl" / "2025-05-20")
        bad = hub(home, "dump", "--day", "2199-01-01")
        assert (bad.returncode, "is not over yet" in bad.stderr) == (1, True)
    assert hub(home, "dump", "--day", "yesterday").returncode == 2


def test_without_a_section_it_dumps_all_the_same(tmp_path: Path) -> None:
    home = station(tmp_path / "home")
    write_values(home, plugins={"collector": {"source": "simulated"}})
    assert hub(home, "dump", "--day", "2025-05-21").returncode == 0
    assert is_whole(home / "data" / "etl" / "2025-05-21")


def test_kills_in_the_middle_leave_nothing_that_passes_for_a_dump(tmp_path: Path) -> None:
    """E2: SIGKILL at any moment."""
    home, chance = station(tmp_path / "home"), random.Random(1)
    place = home / "data" / "etl" / "2025-05-20"
    for _ in range(15):
        with subprocess.Popen(
            [*HUB, "dump", "--day", "2025-05-20"], cwd=home, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            time.sleep(chance.uniform(0.45, 0.9))
            process.send_signal(signal.SIGKILL)
        assert manifest_in(place) is None or is_whole(place)
    assert hub(home, "dump", "--day", "2025-05-20").returncode == 0
    assert is_whole(place)
    assert not list(place.glob("*.part"))


def test_bars_of_one_symbol_alone_are_dumped_too(tmp_path: Path) -> None:
    """A symbol that has no bar of that day has an empty table, and a gap that says so."""
    home = tmp_path / "home"
    home.mkdir()
    write_values(home, plugins={"etl": {}})
    store = SqliteStore.open(home / "data" / "tickerml.db", SystemClock())
    store.record(prices())
    store.close()
    told = json.loads(hub(home, "dump", "--day", "2025-05-20", "--json").stdout)
    assert {file["name"]: file["rows"] for file in told["files"] if file["name"].startswith("bars")} == {
        "bars-BTC-USDT.csv": 1440,
        "bars-ETH-USDT.csv": 0,
    }
    assert told["minutes_missing"] == 1440
