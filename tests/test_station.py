"""A station on two hosts: one hub collects, another forecasts and scores, on the same broker, each with a folder of its own."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from hub.clock import SystemClock
from hub.market.interval import to_ms
from hub.runtime.disk.store import SqliteStore
from tests.brokers import MOSQUITTO, Mosquitto, Witness
from tests.hubs import HUB, drop_in, hub, log_of, log_until, running, status_until, stop, write_values
from tests.namespaces import IP, Host, can_have_namespaces, two_hosts

PLUGINS: dict[str, Any] = {
    "collector": {"source": "simulated", "backfill": "27h"},
    "inference": {"patience": "4m"},
    "scorecard": {"window": "1d"},
    "news": {"simulated": True, "ollama": {"enabled": False}},
}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    (tmp_path / "broker").mkdir()
    with Mosquitto(tmp_path / "broker") as mosquitto:
        yield mosquitto


def host(folder: Path, broker: Mosquitto) -> Path:
    """Both hosts have the same configuration."""
    folder.mkdir()
    write_values(folder, mqtt={"port": broker.port, "embedded": False}, plugins=PLUGINS)
    return folder


def until(wanted: Callable[[], Any], *folders: Path, seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < end, [log_of(folder)[-2500:] for folder in folders]
        time.sleep(0.3)


def bars_of(folder: Path, symbol: str) -> dict[int, float]:
    if not (folder / "data" / "tickerml.db").exists():
        return {}
    store = SqliteStore.open(folder / "data" / "tickerml.db", SystemClock(), read_only=True)
    try:
        return {to_ms(bar.open_time): bar.close for bar in store.bars(symbol, 0, 2**60)}
    finally:
        store.close()


@pytest.mark.timeout(240)
def test_one_host_collects_and_another_forecasts(tmp_path: Path, broker: Mosquitto) -> None:
    """Forecasts come from bars that went over the broker; the station is spoken for by one hub, and asked as one."""
    main, part = host(tmp_path / "main", broker), host(tmp_path / "part", broker)
    with (
        Witness(broker.port, "tickerml/#") as witness,
        running(_only(main, "collector", "news")) as first,
        running(part, options=("--plugins", "inference,scorecard")) as second,
    ):
        until(lambda: min(len(bars_of(part, symbol)) for symbol in ("BTC-USDT", "ETH-USDT")) >= 1600, main, part)
        witness.shout("tickerml/hub/request/forecast/now", b'{"transaction": "x", "symbol": "BTC/USDT"}', 1)
        until(lambda: _answers(witness, "forecast/now"), main, part)
        until(lambda: witness.on("tickerml/forecast/BTC-USDT/5m"), main, part)
        forecast = json.loads(witness.on("tickerml/forecast/BTC-USDT/5m")[-1])
        assert bars_of(main, "BTC-USDT")[to_ms_of(forecast["open_time"])] == forecast["last_close"]
        there, here = bars_of(main, "BTC-USDT"), bars_of(part, "BTC-USDT")
        assert here.items() <= there.items()
        time.sleep(1.0)
        said = _answers(witness, "forecast/now")
        assert [each["status"] for each in said if each["status"] == "ok"] == ["ok"]
        witness.shout("tickerml/hub/request/health", b'{"transaction": "y"}', 1)
        until(lambda: _answers(witness, "health"), main, part)
        time.sleep(0.5)
        assert len(_answers(witness, "health")) == 1, "only the main hub speaks for the station"
        assert set(json.loads(witness.on("tickerml/hub/info")[-1])["plugins"]) == {"collector", "news"}
        assert hub(part, "status").returncode == 0
        assert stop(second) == 0
        assert witness.on("tickerml/hub/state")[-1] == b"online"
        assert json.loads(witness.on("tickerml/plugin/inference/state")[-1])["state"] == "stopped"
        bars = [payload for topic, payload, _ in list(witness.heard) if topic == "tickerml/bar/BTC-USDT/1m"]
        opened = [json.loads(payload)["open_time"] for payload in bars]
        assert opened == sorted(set(opened)), "each bar once, in order: the part publishes none"
        with running(part, options=("--plugins", "inference,scorecard")) as again:
            status_until(part, lambda shown: shown.get("running"))
            again.send_signal(signal.SIGKILL)
            again.wait()
        assert first.poll() is None


def to_ms_of(text: str) -> int:
    return to_ms(datetime.fromisoformat(text))


def _only(folder: Path, *names: str) -> Path:
    values = json.loads((folder / "config.yaml").read_text())
    values["plugins"] = {name: section for name, section in values["plugins"].items() if name in names}
    (folder / "config.yaml").write_text(json.dumps(values))
    return folder


def _answers(witness: Witness, verb: str) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in witness.on(f"tickerml/hub/response/{verb}")]


def test_a_plugin_without_a_section_is_a_usage_error(tmp_path: Path, broker: Mosquitto) -> None:
    folder = host(tmp_path / "x", broker)
    for names, words in (("inference,nothing", "nothing: no such section"), (",", "name a plugin")):
        answer = hub(folder, "run", "--plugins", names)
        assert (answer.returncode, words in answer.stderr) == (2, True)


def test_without_a_main_hub_it_says_what_is_missing(tmp_path: Path, broker: Mosquitto) -> None:
    folder = host(tmp_path / "x", broker)
    with running(folder, options=("--plugins", "inference")):
        until(lambda: "gives no bars" in log_of(folder), folder, seconds=60)
        assert "does a hub run without --plugins on this broker" in log_of(folder)


SHARED = """
\"\"\"Says of every bar which host had it.\"\"\"
from hub import *

class Settings(PluginSettings):
    host: str = "?"

@hookimpl
def register_settings():
    return Settings

@hookimpl
def register_transforms(hub):
    settings = hub.settings_for(Settings)
    async def tell(bar):
        yield Alert(symbol=bar.symbol, source="shared", text=f"{bar.open_time.isoformat()} {settings.host}")
    return [Transform("shared", tell, consumes=(Bar,), produces=(Alert,), spread=True)]
"""


@pytest.mark.timeout(240)
@pytest.mark.parametrize("isolated", [True, False])
def test_a_flow_that_is_spread_has_every_message_once_on_one_of_the_hosts(tmp_path: Path, broker: Mosquitto, isolated: bool) -> None:
    """Both hosts work; what one has, the other has not."""
    collector = {"source": "simulated", "backfill": "30m"}
    hosts = [tmp_path / "one", tmp_path / "two"]
    for host_folder in hosts:
        host_folder.mkdir()
        drop_in(host_folder, "shared", SHARED)
        sections = {"collector": collector, "shared": {"host": host_folder.name, "isolated": isolated}}
        write_values(host_folder, mqtt={"port": broker.port, "embedded": False}, clock={"speed": 60}, plugins=sections)
    with (
        Witness(broker.port, "tickerml/#") as witness,
        running(hosts[0]),
        running(hosts[1], options=("--plugins", "shared")),
    ):
        for folder in hosts:
            status_until(folder, lambda shown: shown.get("running") and any(each["state"] == "running" for each in shown["plugins"]))
        time.sleep(1.0)
        begun = len(witness.heard)

        def told() -> list[tuple[str, str]]:
            since = [
                (topic, json.loads(payload)) for topic, payload, _ in list(witness.heard)[begun:] if topic.startswith("tickerml/alert/")
            ]
            return [(f"{topic} {each['text'].split()[0]}", each["text"].split()[1]) for topic, each in since]

        until(lambda: len(told()) >= 20 and len({host for _, host in told()}) == 2, *hosts)
        bars = [bar for bar, _ in told()]
        assert len(bars) == len(set(bars)), "each bar once, on either host"


@pytest.mark.skipif(not can_have_namespaces(), reason="needs leave to make network namespaces")
@pytest.mark.timeout(240)
def test_on_two_hosts_with_a_cable_that_is_cut(tmp_path: Path) -> None:
    """The part forecasts from what came over the cable; after a cut it catches up by itself."""
    with two_hosts() as (one, other):
        conf = tmp_path / "mosquitto.conf"
        conf.write_text(f"listener 1883 {one.address}\nallow_anonymous true\nuser root\n")
        mqtt = {"host": one.address, "port": 1883, "embedded": False}
        folders = [tmp_path / "one", tmp_path / "other"]
        for folder in folders:
            folder.mkdir()
            write_values(folder, mqtt=mqtt, plugins=PLUGINS)
        _only(folders[0], "collector")
        options = ("--plugins", "inference,scorecard")
        with (
            subprocess.Popen(one.inside([MOSQUITTO, "-c", str(conf)]), stderr=subprocess.DEVNULL) as broker,
            running(folders[0], program=one.inside(HUB)),
            running(folders[1], program=other.inside(HUB), options=options),
        ):
            try:
                until(lambda: len(bars_of(folders[1], "ETH-USDT")) >= 1600, *folders)
                here = bars_of(folders[1], "ETH-USDT")
                assert here.items() <= bars_of(folders[0], "ETH-USDT").items()
                cable(other, up=False)
                log_until(folders[1], "MQTT offline", 60)
                cable(other, up=True)
                begun = max(here)
                until(lambda: max(bars_of(folders[1], "ETH-USDT")) > begun, *folders, seconds=150)
            finally:
                broker.terminate()


def cable(host: Host, *, up: bool) -> None:
    links = subprocess.run([IP, "-n", host.name, "-o", "link"], check=True, capture_output=True, text=True).stdout
    name = next(line.split(": ")[1].split("@")[0] for line in links.splitlines() if "vb" in line)
    subprocess.run([IP, "-n", host.name, "link", "set", name, "up" if up else "down"], check=True)
