"""From the trainer's command to the hub's forecasts and back: a real broker, a real hub, real processes."""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hub.clock import SystemClock
from hub.settings import MqttSettings
from tests.brokers import Mosquitto, Proxy
from tests.hubs import ENVIRONMENT, hub, log_of, running, status_until, write_config
from tests.models import digest
from tests.offers import golden_of, other_model, padded
from trainer.keygen import make_keys
from trainer.publish import offer_of, publish
from trainer.run import Run

PLUGINS = "  inference: {shadow: 0m}\n"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    folder = tmp_path / "broker"
    folder.mkdir()
    with Mosquitto(folder) as mosquitto:
        yield mosquitto


def home_of(tmp_path: Path, port: int, *, trusting: bool = True) -> Path:
    """A hub's folder, and in it a trainer's: a pair of keys, and what it has exported."""
    home = tmp_path / "home"
    home.mkdir()
    write_config(home, PLUGINS, port=port, embedded=False)
    make_keys(home)
    if trusting:
        assert hub(home, "models", "trust", "tickerml.pub").returncode == 0
    return home


def exported(home: Path, name: str, content: bytes, plain: bytes | None = None) -> Run:
    """runs/NAME as `trainer export` leaves it, as far as publishing needs it."""
    run = Run.named(name, home / "runs")
    run.folder.mkdir(parents=True)
    run.model.write_bytes(content)
    run.write("export.json", {"golden": golden_of(plain or content).model_dump(mode="json")})
    return run


def trainer(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trainer", *words]
    return subprocess.run(command, cwd=home, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False)


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


def kills_while_publishing(tmp_path: Path, port: int, kills: int) -> None:
    """SIGKILL the hub again and again while one model after the other comes in; at every start a model serves."""
    home, chance = home_of(tmp_path, port), random.Random(1)
    plain = [other_model(0.01 * number) for number in range(1, kills + 2)]
    for number, each in enumerate(plain):
        exported(home, f"m{number}", padded(each, 900_000), each)
    for number in range(kills):
        with running(home) as process:
            status_until(home, lambda shown: shown.get("running"))
            assert models(home)["live"]["sha256"], number
            with subprocess.Popen(
                [sys.executable, "-m", "trainer", "publish", f"m{number}", "--wait", "60s"],
                cwd=home,
                env=ENVIRONMENT,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            ) as offering:
                time.sleep(chance.uniform(1.0, 4.0))
                process.kill()
                offering.kill()
    with running(home):
        status_until(home, lambda shown: shown.get("running"))
        last = trainer(home, "publish", f"m{kills}", "--wait", "60s")
        assert last.returncode == 0, last.stderr + log_of(home)[-3000:]
        assert models(home)["live"]["sha256"] == digest((home / "runs" / f"m{kills}" / "model.onnx").read_bytes())


@pytest.mark.timeout(300)
def test_a_hub_that_is_killed_while_a_model_comes_in_always_has_one_that_serves(tmp_path: Path, broker: Mosquitto) -> None:
    kills_while_publishing(tmp_path, broker.port, 6)


@pytest.mark.torture
def test_240_kills_while_models_come_in(tmp_path: Path, broker: Mosquitto) -> None:
    kills_while_publishing(tmp_path, broker.port, int(os.environ.get("TICKERML_KILLS", "240")))
