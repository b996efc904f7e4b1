"""From the trainer's command to the hub's forecasts and back: a real broker, a real hub, real processes."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hub.clock import SystemClock
from hub.errors import HubError
from hub.runtime import control
from hub.settings import MqttSettings
from plugins.inference.slot import MOST_FAILURES
from tests.brokers import Mosquitto, Proxy
from tests.crash.killed_at import STEPS
from tests.disks import can_mount, mounted
from tests.hubs import ENVIRONMENT, HUB, hub, log_of, log_until, running, status_until, write_values
from tests.models import digest
from tests.offers import other_model, padded
from tests.publishing import exported, trainer
from trainer.keygen import make_keys
from trainer.publish import offer_of, publish

CRASH = Path(__file__).parent / "crash"
KILLED_AT = str(CRASH / "killed_at.py")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    folder = tmp_path / "broker"
    folder.mkdir()
    with Mosquitto(folder) as mosquitto:
        yield mosquitto


def home_of(tmp_path: Path, port: int, *, trusting: bool = True, backfill: str = "30m") -> Path:
    """A hub's folder, and in it a trainer's: a pair of keys, and what it has exported."""
    home = tmp_path / "home"
    home.mkdir()
    collector = {"source": "simulated", "backfill": backfill}
    write_values(home, mqtt={"port": port, "embedded": False}, plugins={"collector": collector, "inference": {"shadow": "0m"}})
    make_keys(home)
    if trusting:
        assert hub(home, "models", "trust", "tickerml.pub").returncode == 0
    return home


def models(home: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(hub(home, "models", "list", "--json").stdout)
    return found


@pytest.mark.timeout(240)
def test_a_model_is_published_taken_and_taken_back(tmp_path: Path, broker: Mosquitto) -> None:
    """Exit codes and words as the user meets them."""
    home, content = home_of(tmp_path, broker.port, trusting=False), other_model()
    exported(home, "mine", content)
    with running(home):
        status_until(home, lambda shown: shown.get("running"))
        refused = trainer(home, "publish", "mine", "--wait", "60s")
        assert refused.returncode == 5, refused.stderr
        assert "hub models trust tickerml.pub" in refused.stderr
        assert hub(home, "models", "trust", "tickerml.pub").returncode == 0
        taken = trainer(home, "publish", "mine", "--wait", "60s")
        assert taken.returncode == 0, taken.stderr + log_of(home)[-3000:]
        assert "accepted: live" in taken.stdout
        assert models(home)["live"]["sha256"] == digest(content)
        assert "starter" in hub(home, "models", "rollback").stdout
        assert models(home)["live"]["name"] == "starter"
        again = trainer(home, "publish", "mine", "--wait", "60s")
        assert again.returncode == 5
        assert "withdrawn before" in again.stderr
    assert models(home)["live"] is None, "from the disk, without a hub"


def test_where_no_hub_is_the_command_says_what_may_be_missing(tmp_path: Path, broker: Mosquitto) -> None:
    home = home_of(tmp_path, broker.port)
    exported(home, "mine", other_model())
    silent = trainer(home, "publish", "mine", "--wait", "3s")
    assert silent.returncode == 4
    assert "no hub has asked for it" in silent.stderr
    broker.kill()
    down = trainer(home, "publish", "mine", "--wait", "3s")
    assert down.returncode == 4
    assert "refuses connections" in down.stderr


def test_a_mistake_is_named(tmp_path: Path, broker: Mosquitto) -> None:
    home = home_of(tmp_path, broker.port)
    missing = trainer(home, "publish", "nothing")
    assert (missing.returncode, "`trainer export nothing` makes it" in missing.stderr) == (1, True)
    exported(home, "mine", other_model())
    (home / "tickerml.key").unlink()
    unsigned = trainer(home, "publish", "mine")
    assert (unsigned.returncode, "tickerml.key: cannot be read" in unsigned.stderr) == (1, True)


class CuttingProxy(Proxy):
    """Breaks every connection once so many bytes have gone through it."""

    def __init__(self, target: int, every: int) -> None:
        super().__init__(target)
        self.bytes = self.cuts = 0
        self._every = every
        self._left = every

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(16_384):
                writer.write(data)
                await writer.drain()
                self.bytes += len(data)
                self._left -= len(data)
                if self._left <= 0:
                    self._left, self.cuts = self._every, self.cuts + 1
                    self.cut()
        except OSError:
            pass
        writer.transport.abort()


@pytest.mark.timeout(240)
async def test_four_megabytes_come_over_a_line_that_is_cut_at_every_one(tmp_path: Path, broker: Mosquitto) -> None:
    """What has arrived is not asked for again: at most 1.3 times the file goes over the line."""
    plain = other_model()
    home, content = home_of(tmp_path, broker.port), padded(plain, 4_000_000)
    run = exported(home, "large", content, plain)
    with running(home):
        await asyncio.to_thread(status_until, home, lambda shown: shown.get("running"))
        async with CuttingProxy(broker.port, 1_000_000) as line:
            settings = MqttSettings(host="127.0.0.1", port=line.port, embedded=False)
            begun = time.monotonic()
            answer = await publish(
                settings, *offer_of(run, SystemClock()), home / "tickerml.key", timedelta(seconds=120), lambda _words: None
            )
            took = time.monotonic() - begun
    assert answer.status == "live"
    assert line.cuts >= 3
    assert line.bytes <= 1.3 * len(content), f"{line.bytes / len(content):.2f} times the file, in {took:.1f} s"


def kills_at_each_step(tmp_path: Path, port: int, steps: Sequence[str]) -> None:
    """A model serves at every start; and the same `trainer publish`, that was waiting all the time, brings its model home."""
    home = home_of(tmp_path, port)
    for number, step in enumerate(steps):
        plain = other_model(0.001 * (number + 1))
        content = padded(plain, 700_000)
        exported(home, f"m{number}", content, plain)
        with running(home, program=(sys.executable, KILLED_AT, step)) as doomed:
            status_until(home, lambda shown, doomed=doomed: shown.get("running") or doomed.poll() is not None)
            with offering(home, f"m{number}") as trainer:
                assert doomed.wait(60) == -signal.SIGKILL, step
                serves = models(home)
                with running(home):
                    shown = status_until(home, lambda shown: shown.get("running"))
                    assert shown["plugins"], serves
                    assert trainer.wait(90) == 0, step + log_of(home)[-3000:]
                    assert models(home)["live"]["sha256"] == digest(content), step
        files = sorted(file.name for file in (home / "data" / "inference" / "models").iterdir())
        assert not [name for name in files if name.endswith(".part")], step


def asked(home: Path) -> list[dict[str, Any]]:
    """Forecasts of all symbols, made now. HubError where there are none, DependencyDown where the hub went down over them."""
    found: list[dict[str, Any]] = control.ask(home / "data", "forecast/now")
    return found


def crashed(home: Path, process: subprocess.Popen[bytes]) -> int:
    """Ask for forecasts until the hub has gone, and with which code."""
    end = time.monotonic() + 60
    while process.poll() is None:
        assert time.monotonic() < end, log_of(home)[-3000:]
        with suppress(HubError, OSError):
            asked(home)
        time.sleep(0.1)
    return process.returncode


@contextmanager
def offering(home: Path, name: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "trainer", "publish", name, "--wait", "80s"]
    with subprocess.Popen(command, cwd=home, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.timeout(500)
def test_a_hub_that_is_killed_in_a_delivery_has_a_model_and_gets_the_new_one(tmp_path: Path, broker: Mosquitto) -> None:
    """At every third of the steps; all of them take a minute longer, and are tried in the campaign."""
    kills_at_each_step(tmp_path, broker.port, list(STEPS)[::3])


@pytest.mark.torture
def test_twenty_kills_at_each_step_of_a_delivery(tmp_path: Path, broker: Mosquitto) -> None:
    kills_at_each_step(tmp_path, broker.port, list(STEPS) * int(os.environ.get("TICKERML_KILLS", "20")))


@pytest.mark.timeout(240)
def test_a_model_that_takes_the_hub_down_serves_no_fourth_time(tmp_path: Path, broker: Mosquitto) -> None:
    """It passed its test, and crashes where it runs: after three of that, the model before it forecasts, without anybody's help."""
    home, content = home_of(tmp_path, broker.port, backfill="27h"), other_model()
    exported(home, "mine", content)
    program = (sys.executable, str(CRASH / "aborting_model.py"))
    with running(home, program=program) as process:
        status_until(home, lambda shown: shown.get("running"))
        assert trainer(home, "publish", "mine", "--wait", "60s").returncode == 0
        endings = [crashed(home, process)]
    for _ in range(MOST_FAILURES - 1):
        with running(home, program=program) as process:
            endings.append(crashed(home, process))
    assert endings == [-signal.SIGABRT] * MOST_FAILURES
    with running(home, program=program):
        status_until(home, lambda shown: shown.get("running") and models(home)["live"]["name"] == "starter")
        answer = models(home)["answer"]
        assert (answer["status"], "went down 3 times" in answer["reason"]) == ("rolled_back", True)
        assert {row["model"]["name"] for row in asked(home)} == {"starter"}
        again = trainer(home, "publish", "mine", "--wait", "60s")
        assert (again.returncode, "withdrawn before" in again.stderr) == (5, True)


@pytest.mark.skipif(not can_mount(), reason="needs leave to mount")
def test_on_a_small_disk_a_model_is_refused_with_the_space_that_is_left(tmp_path: Path, broker: Mosquitto) -> None:
    """M12: bars come first; a model needs twice its size and 256 MiB."""
    home = home_of(tmp_path, broker.port)
    exported(home, "mine", other_model())
    data = home / "data"
    with running(
        home, program=mounted(HUB, f"cp -r {data} {home}/kept; mount -t tmpfs -o size=100m none {data}; cp -r {home}/kept/. {data}")
    ):
        log_until(home, "connected to the broker")
        refused = trainer(home, "publish", "mine", "--wait", "60s")
        assert refused.returncode == 5, refused.stderr
        assert "MiB are free, too few for a new model" in refused.stderr
