"""The hub as systemd sees it, without systemd: what it is told, what the unit allows, and what an installation leaves behind."""

import asyncio
import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from hub.flow import Source
from hub.messages import Article, Bar, PluginState
from hub.runtime.systemd import DEAF_FOR_S, STALE_FOR, Systemd, lifeless
from hub.testing import START, FakeClock
from tests.brokers import free_port, wait_for_port
from tests.hubs import ROOT, drop_in, hub, log_of, running, status_until, write_config, write_values
from tests.influx import INFLUXD

UNIT = ROOT / "systemd" / "tickerml.service"
PR_SET_MDWE, REFUSE_EXEC_GAIN = 65, 1


class Listener:
    """What systemd would hear."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "notify"
        self.heard: list[tuple[float, dict[str, str]]] = []
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._line.bind(str(self.file))
        self._thread = threading.Thread(target=self._listen)

    def _listen(self) -> None:
        while text := self._line.recv(4096):
            self.heard.append((time.monotonic(), dict(line.split("=", 1) for line in text.decode().splitlines())))

    def said(self, name: str) -> list[str]:
        return [states[name] for _, states in self.heard if name in states]

    def until(self, name: str, times: int = 1, seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while len(self.said(name)) < times:
            assert time.monotonic() < end, f"{name} was not said: {self.heard}"
            time.sleep(0.05)

    @contextmanager
    def listening(self) -> Iterator["Listener"]:
        self._thread.start()
        try:
            yield self
        finally:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
                line.sendto(b"", str(self.file))
            self._thread.join()
            self._line.close()


def test_ready_alive_and_stopping_are_told(tmp_path: Path) -> None:
    """READY once the hub runs, then a sign of life every third of what is waited for, and no child inherits the line."""
    write_config(tmp_path, f"  dashboard: {{port: {free_port()}}}\n")
    with Listener(tmp_path).listening() as systemd:
        environment = {"NOTIFY_SOCKET": str(systemd.file), "WATCHDOG_USEC": "1500000"}
        with running(tmp_path, env=environment) as process:
            systemd.until("WATCHDOG", 3)
            assert systemd.said("READY") == ["1"]
            assert "2 plugins" in systemd.said("STATUS")[-1]
            children = psutil.Process(process.pid).children(recursive=True)
            assert len(children) == 2, "the broker, and a plugin that was started before the hub was ready"
            assert not any("NOTIFY_SOCKET" in child.environ() for child in children)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
            systemd.until("STOPPING")
    names = [next(iter(states)) for _, states in systemd.heard]
    assert names[0] == "READY"
    assert names[-1] == "STOPPING"


def test_a_hub_that_is_held_up_gives_no_sign_of_life(tmp_path: Path) -> None:
    """A plugin in its own process blocks it: systemd kills and starts it anew, which nobody else can."""
    write_values(tmp_path, plugins={"collector": {"source": "simulated", "backfill": "30m"}, "blocks": {"isolated": False}})
    drop_in(tmp_path, "blocks", BLOCKS)
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1500000"}
    with Listener(tmp_path).listening() as systemd, running(tmp_path, env=environment):
        systemd.until("WATCHDOG", 2)
        (tmp_path / "go").touch()
        time.sleep(1.0)
        before = len(systemd.said("WATCHDOG"))
        time.sleep(3.0)
        assert len(systemd.said("WATCHDOG")) <= before + 1
        systemd.until("WATCHDOG", before + 3)


BLOCKS = """
import time
from pathlib import Path

from hub import Alert, Source, hookimpl


@hookimpl
def register_sources(hub):
    async def stream():
        while not Path("go").exists():
            await hub.clock.sleep(0.1)
        time.sleep(6)
        yield []

    return [Source("x", stream, (Alert,))]
"""


def app(*, connected: bool = True, silent_s: float = 1.0, produces: Any = Bar, **state: Any) -> Any:
    """As much of a hub as is looked at."""
    clock = FakeClock()
    told = {"name": "collector", "state": "running", "since": START, **state}
    watch = SimpleNamespace(name="collector", state=PluginState.model_validate(told))
    clock.jump(STALE_FOR + timedelta(seconds=1))
    source = Source("collector", print, produces=(produces,))  # type: ignore[arg-type]
    member = SimpleNamespace(declared=SimpleNamespace(flows=[source]))
    bus = SimpleNamespace(connected=connected, silent_s=silent_s)
    return SimpleNamespace(bus=bus, clock=clock, members={"collector": member}, watches={"collector": watch})


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({}, None),
        ({"state": "retrying", "error": "the exchange is away"}, None),
        ({"state": "stale"}, "collector has brought no bar since 00:00 UTC"),
        ({"state": "stale", "since": START + timedelta(minutes=5)}, None),
        ({"state": "stale", "produces": Article}, None),
        ({"silent_s": DEAF_FOR_S + 1}, "the broker brings nothing back for 121 s"),
        ({"silent_s": DEAF_FOR_S + 1, "connected": False}, None),
    ],
)
def test_life_is_bars_and_the_way_to_the_broker_and_back(told: dict[str, Any], words: str | None) -> None:
    """What is known to be away outside is no reason to start anew; a source that says that all is well and brings nothing is."""
    assert lifeless(app(**told)) == words


async def test_without_systemd_nothing_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    Systemd().tell(READY="1")
    Systemd(str(tmp_path / "nobody")).tell(READY="1")
    assert Systemd("x", "9000000").every_s == 3.0
    assert Systemd("x", "nonsense").every_s == Systemd().every_s
    await asyncio.sleep(0)


def test_the_unit_is_hardened_and_names_what_is_installed() -> None:
    """2.0 is the most; a bare unit has 9.6."""
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr
    level = float(re.findall(r"exposure level for tickerml.service: ([\d.]+)", done.stdout)[0])
    assert level <= 2.0
    verified = subprocess.run(["systemd-analyze", "verify", str(UNIT)], capture_output=True, text=True, check=False).stderr
    assert [line for line in verified.splitlines() if "tickerml.service" in line and "is not executable" not in line] == []
    text = UNIT.read_text(encoding="utf-8")
    assert "RestartPreventExitStatus=3" in text, "a wrong configuration does not mend itself"
    assert int(re.findall(r"WatchdogSec=(\d+)", text)[0]) >= 60


@pytest.mark.timeout(120)
def test_the_hub_forecasts_without_memory_that_can_be_written_and_executed(tmp_path: Path) -> None:
    """MemoryDenyWriteExecute, as the unit asks for; onnxruntime and all plugins work with it."""
    if ctypes.CDLL(None).prctl(PR_SET_MDWE + 1, 0, 0, 0, 0) < 0:  # PR_GET_MDWE
        pytest.skip("this kernel cannot deny it")
    plugins = {
        "collector": {"source": "simulated", "backfill": "26h"},
        "inference": {"patience": "4m"},
        "scorecard": {},
        "dashboard": {"port": free_port()},
    }
    write_values(tmp_path, clock={"speed": 60}, plugins=plugins)
    denied = f"import ctypes, os, sys; assert not ctypes.CDLL(None).prctl({PR_SET_MDWE}, {REFUSE_EXEC_GAIN}, 0, 0, 0)"
    denied += "; os.execv(sys.executable, [sys.executable, '-m', 'hub', *sys.argv[1:]])"
    with running(tmp_path, program=(sys.executable, "-c", denied)):
        shown = status_until(tmp_path, lambda shown: shown.get("running") and all(row["last_forecast"] for row in shown["symbols"]), 80)
        assert {plugin["state"] for plugin in shown["plugins"]} == {"running"}, log_of(tmp_path)[-2000:]


def test_influxdb_listens_on_the_loopback_alone_with_the_drop_in(tmp_path: Path) -> None:
    """Debian's own listens everywhere."""
    text = (ROOT / "systemd" / "influxdb-loopback.conf").read_text(encoding="utf-8")
    told = dict(line.removeprefix("Environment=").split("=", 1) for line in text.splitlines() if line.startswith("Environment="))
    ports = {name: free_port() for name, value in told.items() if ":" in value}
    environment = {name: f"{value.rpartition(':')[0]}:{ports[name]}" if name in ports else value for name, value in told.items()}
    places = {f"INFLUXDB_{name}_DIR": str(tmp_path / name) for name in ("META", "DATA")} | {"INFLUXDB_DATA_WAL_DIR": str(tmp_path / "wal")}
    with subprocess.Popen([INFLUXD], env={"HOME": str(tmp_path), **places, **environment}, stderr=subprocess.DEVNULL) as influxd:
        try:
            wait_for_port(ports["INFLUXDB_HTTP_BIND_ADDRESS"], 30)
            listening = [each.laddr for each in psutil.Process(influxd.pid).net_connections() if each.status == psutil.CONN_LISTEN]
            assert {address.ip for address in listening} == {"127.0.0.1"}
            assert {address.port for address in listening} == set(ports.values())
        finally:
            influxd.kill()


@pytest.mark.torture
@pytest.mark.timeout(900)
def test_an_installation_is_made_brought_up_to_date_and_removed(tmp_path: Path) -> None:
    """Into a folder instead of /: an upgrade keeps the configuration, and plugins that were installed beside it."""
    script, root = ROOT / "systemd" / "install.sh", tmp_path / "root"
    environment = {**os.environ, "ROOT": str(root)}

    def run(*words: str) -> str:
        return subprocess.run([script, *words], env=environment, capture_output=True, text=True, check=True).stdout

    assert "installed: 0.1.0" in run("install")
    config, python = root / "etc" / "tickerml" / "config.yaml", root / "opt" / "tickerml" / "bin" / "python"
    assert "\ndata_dir: /var/lib/tickerml\n" in config.read_text(encoding="utf-8")
    assert hub(tmp_path, "plugins", "new", "mine").returncode == 0
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", str(tmp_path / "mine")], check=False)
    config.write_text(config.read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
    run("install")
    assert config.read_text(encoding="utf-8").endswith("# mine\n")
    shown = subprocess.run([python.parent / "hub", "-c", config, "graph"], capture_output=True, text=True, check=True).stdout
    assert "dashboard" in shown
    kept = "configuration is still in"
    assert kept in run("uninstall")
    assert not (root / "opt" / "tickerml").exists()
    assert config.exists()
    assert "removed, with configuration and data" in run("uninstall", "--purge")
    assert not config.exists()
    assert shutil.which("sh")
    assert subprocess.run([script, "nonsense"], env=environment, capture_output=True, check=False).returncode == 2
