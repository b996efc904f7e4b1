"""Every trouble of docs/troubles.md is made, and `hub doctor` names it in the words that stand there."""

import asyncio
import json
import os
import re
import socket
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hub import __version__
from hub.clock import SystemClock
from hub.configuration import load_configuration
from hub.messages import Article
from hub.runtime import control
from hub.runtime.disk.store import SqliteStore
from hub.runtime.doctor import examine, examine_now, machine
from hub.runtime.doctor.finding import Finding
from hub.runtime.hosting.lineup import Member
from hub.testing import START, bars
from tests.brokers import Authority, Mosquitto, free_port
from tests.disks import can_mount, mounted, not_permitted
from tests.exchanges import answering, socket_server
from tests.grafana.server import FakeGrafana, serving
from tests.hubs import ENVIRONMENT, HUB, ROOT, drop_in

DOCUMENT = (ROOT / "docs" / "troubles.md").read_text(encoding="utf-8")
TOLD = dict(re.findall(r"^\| (.+?) \| `(.+?)` \|$", DOCUMENT, re.MULTILINE))
SIMULATED = {"collector": {"source": "simulated"}}
WELL: dict[str, Any] = {
    "running": True,
    "version": __version__,
    "started_at": "2026-01-01T00:00:00Z",
    "plugins": [],
    "broker": {"last_error": None, "stuck": None, "takeovers": 0},
    "store": {"problem": None},
    "symbols": [{"symbol": symbol, "age_s": 20, "minutes_missing": 0} for symbol in ("BTC-USDT", "ETH-USDT")],
    "forwarders": [],
}


class Place:
    """A folder with a hub's configuration, and what is around it."""

    def __init__(self, folder: Path, around: AsyncExitStack) -> None:
        self.folder = folder
        self.around = around
        self.values: dict[str, Any] = {"plugins": SIMULATED, "mqtt": {"port": free_port()}}
        self.text: str | None = None
        """Of config.yaml, in place of `values`."""
        self.environment: dict[str, str] = {}
        self.mode = 0o600
        self.root = folder / "root"
        """In place of /, for what Linux tells."""
        self.health: dict[str, Any] | None = None
        """What a running hub says of itself."""
        self.command: list[str] | None = None
        """In place of an examination in this process."""
        self.root.mkdir()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def plugins(self, **sections: Any) -> None:
        self.values["plugins"] = SIMULATED | sections

    def broker(self, port: int, **more: Any) -> None:
        self.values["mqtt"] = {"host": "localhost", "port": port, "embedded": False} | more

    def linux(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def mosquitto(self, **how: Any) -> Mosquitto:
        return self.around.enter_context(Mosquitto(self.folder, **how))

    async def server(self, body: bytes, *headers: str, status: str = "200 OK") -> str:
        return await self.around.enter_async_context(socket_server(answering(body, *headers, status=status)))

    def store(self) -> Path:
        with closing(SqliteStore.open(self.data / "tickerml.db", SystemClock())) as store:
            store.record(bars(*range(1, 2000)))
            return store.path

    async def examined(self) -> list[str]:
        file = self.folder / "config.yaml"
        file.write_text(json.dumps(self.values) if self.text is None else self.text, encoding="utf-8")
        file.chmod(self.mode)
        if self.command is not None:
            run = await asyncio.to_thread(
                subprocess.run, self.command, cwd=self.folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False
            )
            assert "Traceback" not in run.stderr
            return [line[6:] for line in run.stdout.splitlines() if not line.startswith("ok")]
        configuration = load_configuration(file, self.environment)
        if self.health is None:
            found = await examine_now(configuration)
        else:
            health = {"configuration_changed_ns": configuration.changed_ns} | self.health
            found = await examine(configuration, [Member(name, {}) for name in configuration.sections], health, patience=2.0)
        assert all(isinstance(finding, Finding) for finding in found)
        return [f"{finding.what}: {finding.text}" for finding in found if not finding.ok]


Scenario = Callable[[Place], Awaitable[None]]
SCENARIOS: dict[str, Scenario] = {}


def trouble(name: str) -> Callable[[Scenario], Scenario]:
    def keep(scenario: Scenario) -> Scenario:
        assert name not in SCENARIOS
        SCENARIOS[name] = scenario
        return scenario

    return keep


@asynccontextmanager
async def place(folder: Path) -> AsyncIterator[Place]:
    async with AsyncExitStack() as around:
        yield Place(folder, around)


@pytest.mark.parametrize("name", list(TOLD) or ["none"])
async def test_a_trouble_is_named_with_its_fix(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "disk" in name and not can_mount():
        pytest.skip("no mount namespace here: run as root, or allow user namespaces")
    async with place(tmp_path) as at:
        monkeypatch.setattr(machine, "ROOT", at.root)
        await SCENARIOS[name](at)
        told = re.compile(".*".join(map(re.escape, TOLD[name].split("…"))))
        lines = await at.examined()
        assert any(told.search(line) for line in lines), "\n".join(lines)


def test_fifty_and_more_are_told_and_all_of_them_are_tried() -> None:
    assert len(TOLD) >= 50
    assert set(TOLD) == set(SCENARIOS)


async def test_a_healthy_hub_is_told_so_in_every_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path) as at:
        monkeypatch.setattr(machine, "ROOT", at.root)
        at.health = WELL
        at.linux("sys/devices/platform/soc/soc:firmware/get_throttled", "0\n")
        at.linux("proc/self/mounts", f"/dev/sda1 / ext4 rw 0 0\ntmpfs {tmp_path}/elsewhere tmpfs rw 0 0\n")
        at.linux("proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable: 4000000 kB\n")
        assert await at.examined() == []


# -- configuration


@trouble("a key is mistyped")
async def _(at: Place) -> None:
    at.values["mqqt"] = {}


@trouble("a value is not what it should be")
async def _(at: Place) -> None:
    at.values["mqtt"]["port"] = 99999


@trouble("a span of time has no unit")
async def _(at: Place) -> None:
    at.plugins(inference={"every": 5})


@trouble("config.yaml is no YAML")
async def _(at: Place) -> None:
    at.text = "symbols:\n\t- BTC/USDT\n"


@trouble("a key stands there twice")
async def _(at: Place) -> None:
    at.text = "plugins: {}\nplugins: {}\n"


@trouble("a symbol is not written as one")
async def _(at: Place) -> None:
    at.values["symbols"] = ["btcusdt"]


@trouble("a password stands in a file that others may read")
async def _(at: Place) -> None:
    at.values["mqtt"]["password"], at.mode = "secret", 0o644


@trouble("the file of a secret is missing")
async def _(at: Place) -> None:
    at.values["mqtt"]["password_file"] = "nowhere"


@trouble("a variable of the environment is mistyped")
async def _(at: Place) -> None:
    at.environment["TICKERML__MQTT__HOTS"] = "broker.lan"


# -- plugins


@trouble("a plugin is mistyped, or not installed")
async def _(at: Place) -> None:
    at.plugins(colector={})


@trouble("a package of a plugin is missing")
async def _(at: Place) -> None:
    drop_in(at.folder, "mine", "import no_such_package\n")
    at.plugins(mine={})


@trouble("a plugin of one's own has a mistake")
async def _(at: Place) -> None:
    drop_in(at.folder, "mine", "def register_sources(hub:\n")
    at.plugins(mine={})


@trouble("a plugin has failed for good")
async def _(at: Place) -> None:
    state = {"name": "collector", "state": "failed", "error": "BTC/USDT is unknown to api.binance.us; correct or remove it in `symbols`"}
    at.health = WELL | {"plugins": [state]}


@trouble("a plugin cannot do its work for now")
async def _(at: Place) -> None:
    at.plugins(influxdb={})
    at.health = WELL | {"plugins": [{"name": "influxdb", "state": "retrying", "error": "http://localhost:8086 cannot be reached"}]}


# -- disk and store


def on_disk(at: Place, options: str, *more: str) -> None:
    at.data.mkdir()
    at.command = mounted([*HUB, "doctor"], "; ".join([f"mount -t tmpfs -o {options} none {at.data}", *more]))


@trouble("the disk gets full")
async def _(at: Place) -> None:
    on_disk(at, "size=900m")


@trouble("the disk is nearly full")
async def _(at: Place) -> None:
    on_disk(at, "size=100m")


@trouble("the disk takes no more files")
async def _(at: Place) -> None:
    on_disk(at, "size=2g,nr_inodes=500")


@trouble("the disk is mounted read-only")
async def _(at: Place) -> None:
    at.store()
    at.command = mounted([*HUB, "doctor"], f"mount --bind {at.data} {at.data}; mount -o remount,bind,ro {at.data}")


@trouble("data_dir cannot be made")
async def _(at: Place) -> None:
    (at.folder / "file").touch()
    at.values["data_dir"] = "file/data"


@trouble("data_dir belongs to another user")
async def _(at: Place) -> None:
    at.store()
    if os.geteuid() == 0:
        os.chown(at.data, 1, 1)
    at.command = not_permitted([*HUB, "doctor"], at.data)
    if os.geteuid():
        pytest.skip("only root can give a folder to somebody else")


@trouble("data_dir lies on a network share")
async def _(at: Place) -> None:
    at.linux("proc/self/mounts", f"/dev/sda1 / ext4 rw 0 0\nnas:/home {at.folder} nfs4 rw 0 0\n")


@trouble("data_dir lies in memory")
async def _(at: Place) -> None:
    at.linux("proc/self/mounts", f"/dev/sda1 / ext4 rw 0 0\ntmpfs {at.folder} tmpfs rw 0 0\n")


@trouble("data_dir lies on a stick from a PC")
async def _(at: Place) -> None:
    at.linux("proc/self/mounts", f"/dev/sda1 / ext4 rw 0 0\n/dev/sdb1 {at.folder} exfat rw 0 0\n")


@trouble("the store is damaged")
async def _(at: Place) -> None:
    file = at.store()
    content = bytearray(file.read_bytes())
    content[len(content) // 3 : len(content) // 3 * 2] = b"\x55" * (len(content) // 3)
    file.write_bytes(content)


@trouble("the store was written by a newer hub")
async def _(at: Place) -> None:
    with closing(sqlite3.connect(at.store())) as connection:
        connection.execute("PRAGMA user_version = 999")


@trouble("a shell or a backup reads the store for hours")
async def _(at: Place) -> None:
    store = SqliteStore.open(at.store(), SystemClock())
    at.around.callback(store.close)
    shell = at.around.enter_context(closing(sqlite3.connect(store.path, isolation_level=None)))
    shell.execute("BEGIN")
    shell.execute("SELECT count(*) FROM bar").fetchall()
    article = Article(asset="BTC", title="x" * 1000, url="y" * 2000, source="test", published_at=None, collected_at=START)
    while store.bytes_on_disk()[1] <= 64 << 20:
        store.record([article] * 3000)


@trouble("no backup has been made for days")
async def _(at: Place) -> None:
    (at.data / "backups").mkdir(parents=True)
    (at.data / "backups" / "tickerml-2025-01-01T0317Z.tar.gz").touch()


# -- the machine

THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"


@trouble("the power supply is too weak")
async def _(at: Place) -> None:
    at.linux(THROTTLED, "50005\n")


@trouble("the power supply was too weak for a moment")
async def _(at: Place) -> None:
    at.linux(THROTTLED, "50000\n")


@trouble("the machine slows itself down")
async def _(at: Place) -> None:
    at.linux(THROTTLED, "20002\n")


@trouble("the machine is too hot")
async def _(at: Place) -> None:
    at.linux("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n")
    at.linux("sys/class/thermal/thermal_zone0/temp", "83200\n")


@trouble("memory runs out")
async def _(at: Place) -> None:
    at.linux("proc/meminfo", "MemTotal: 900000 kB\nMemAvailable: 51200 kB\n")


@trouble("the clock is not set by the network")
async def _(at: Place) -> None:
    (at.root / "run/systemd/timesync").mkdir(parents=True)


@trouble("the clock is wrong")
async def _(at: Place) -> None:
    when = int((datetime.now(UTC) + timedelta(hours=1)).timestamp() * 1000)
    at.plugins(collector={"binanceus": {"base_url": await at.server(json.dumps({"serverTime": when}).encode())}})


# -- the hub that runs


@trouble("the hub runs and does not answer")
async def _(at: Place) -> None:
    at.around.enter_context(control.only_hub(at.data))


@trouble("the hub was not started again after an upgrade")
async def _(at: Place) -> None:
    at.health = WELL | {"version": "0.0.9"}


@trouble("config.yaml was changed and not read")
async def _(at: Place) -> None:
    at.health = WELL | {"configuration_changed_ns": time.time_ns() - 10**12}


@trouble("two hubs have one name at the broker")
async def _(at: Place) -> None:
    at.health = WELL | {"broker": {"last_error": None, "stuck": None, "takeovers": 3}}


@trouble("the hub cannot record")
async def _(at: Place) -> None:
    problem = "data/tickerml.db: locked by another program (a sqlite3 shell, a backup?) for too long; end that one"
    at.health = WELL | {"store": {"problem": problem}}


@trouble("no bars come")
async def _(at: Place) -> None:
    symbols = [{"symbol": "BTC-USDT", "age_s": 4000, "minutes_missing": 0}, {"symbol": "ETH-USDT", "age_s": 30, "minutes_missing": 0}]
    at.health = WELL | {"symbols": symbols}


@trouble("a database has been away for hours")
async def _(at: Place) -> None:
    at.health = WELL | {"forwarders": [{"name": "influxdb.influxdb", "lag": 720, "lag_s": 10_800.0}]}


# -- the broker


@trouble("no broker runs")
async def _(at: Place) -> None:
    at.broker(free_port())


@trouble("the broker's name is wrong")
async def _(at: Place) -> None:
    at.broker(1883, host="no-such-host.invalid")


@trouble("the broker's socket is not there")
async def _(at: Place) -> None:
    at.broker(1883, host=str(at.folder / "mqtt.sock"))


@trouble("something else listens there")
async def _(at: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", port)
    at.around.callback(server.close)
    at.broker(port)


@trouble("user name or password are wrong")
async def _(at: Place) -> None:
    at.broker(at.mosquitto(users={"hub": "right"}).port, username="hub", password="wrong")


@trouble("the broker wants a login")
async def _(at: Place) -> None:
    at.broker(at.mosquitto(users={"hub": "right"}).port)


@trouble("the broker's ACL does not know the hub")
async def _(at: Place) -> None:
    broker = at.mosquitto(users={"hub": "right"}, acl="user hub\ntopic read tickerml/#\n")
    at.broker(broker.port, username="hub", password="right")


def certified(at: Place, begins: int, ends: int, host: str = "localhost", **login: Any) -> None:
    now, own = datetime.now(UTC), Authority(at.folder, "own")
    Authority(at.folder, "stranger")
    certificate = own.certificate("broker", now + timedelta(days=begins), now + timedelta(days=ends), host)
    at.broker(at.mosquitto(certificate=certificate).port, **({"tls": True, "ca_file": "own.pem"} | login))


@trouble("the broker's certificate has expired")
async def _(at: Place) -> None:
    certified(at, -4, -2)


@trouble("the broker's certificate is not valid yet")
async def _(at: Place) -> None:
    certified(at, 2, 4)


@trouble("the broker's certificate is another authority's")
async def _(at: Place) -> None:
    certified(at, -2, 2, ca_file="stranger.pem")


@trouble("the broker is called otherwise in its certificate")
async def _(at: Place) -> None:
    certified(at, -2, 2, "station.lan")


@trouble("the broker speaks TLS, and the hub does not")
async def _(at: Place) -> None:
    certified(at, -2, 2, tls=False, ca_file=None)


@trouble("the hub speaks TLS, and the broker does not")
async def _(at: Place) -> None:
    at.broker(at.mosquitto().port, tls=True)


@trouble("the broker takes only small messages")
async def _(at: Place) -> None:
    at.broker(at.mosquitto(conf="max_packet_size 100000").port)


@trouble("the embedded broker is open to everybody")
async def _(at: Place) -> None:
    at.values["mqtt"]["host"] = "0.0.0.0"


# -- the exchange


async def exchange(at: Place, body: bytes, *headers: str, status: str = "200 OK", **more: Any) -> None:
    at.plugins(collector={"binanceus": {"base_url": await at.server(body, *headers, status=status)}} | more)


@trouble("the exchange is blocked in your country")
async def _(at: Place) -> None:
    await exchange(at, b"{}", status="451 Unavailable For Legal Reasons")


@trouble("the exchange has banned this address for a while")
async def _(at: Place) -> None:
    await exchange(at, b"{}", "retry-after: 1200", status="418 I'm a teapot")


@trouble("a hotel's page answers in the exchange's place")
async def _(at: Place) -> None:
    await exchange(at, b"<html>Sign in</html>", "content-type: text/html")


@trouble("the exchange is down")
async def _(at: Place) -> None:
    await exchange(at, b"", status="503 Service Unavailable")


@trouble("there is no network")
async def _(at: Place) -> None:
    at.plugins(collector={"binanceus": {"base_url": "https://no-such-host.invalid"}})


# -- others


@trouble("InfluxDB does not run")
async def _(at: Place) -> None:
    at.plugins(influxdb={"url": f"http://127.0.0.1:{free_port()}"})


@trouble("something else listens in InfluxDB's place")
async def _(at: Place) -> None:
    at.plugins(influxdb={"url": await at.server(b"hello")})


@trouble("InfluxDB refuses the token")
async def _(at: Place) -> None:
    at.plugins(
        influxdb={"url": await at.server(b'{"code":"unauthorized"}', status="401 Unauthorized"), "api": "v2", "token": "t", "org": "o"}
    )


@trouble("Ollama does not run")
async def _(at: Place) -> None:
    at.plugins(news={"feeds": [], "ollama": {"base_url": f"http://127.0.0.1:{free_port()}"}})


@trouble("Ollama has no Gemma")
async def _(at: Place) -> None:
    at.plugins(news={"feeds": [], "ollama": {"base_url": await at.server(b'{"models": []}')}})


@trouble("a feed is gone")
async def _(at: Place) -> None:
    at.plugins(news={"feeds": [await at.server(b"", status="404 Not Found")], "ollama": {"enabled": False}})


@trouble("a feed has moved")
async def _(at: Place) -> None:
    moved = await at.server(b"", "location: https://example.org/rss", status="301 Moved Permanently")
    at.plugins(news={"feeds": [moved], "ollama": {"enabled": False}})


@trouble("Grafana does not run")
async def _(at: Place) -> None:
    at.values["grafana"] = {"url": f"http://127.0.0.1:{free_port()}", "token": "t"}


@trouble("Grafana has no boards yet")
async def _(at: Place) -> None:
    grafana = at.around.enter_context(serving(FakeGrafana()))
    at.values["grafana"] = {"url": grafana.url, "token": "glsa_admin"}


@trouble("the page's port is taken")
async def _(at: Place) -> None:
    port = int((await at.server(b"", status="404 Not Found")).rsplit(":", 1)[1])
    at.plugins(dashboard={"port": port})


@trouble("the page does not answer")
async def _(at: Place) -> None:
    at.plugins(dashboard={"port": free_port()})


@trouble("the dumps' target is not there")
async def _(at: Place) -> None:
    at.plugins(etl={"target": f"sftp://me@127.0.0.1:{free_port()}/dumps", "known_hosts": "known_hosts"})
    (at.folder / "known_hosts").touch()


@trouble("a trusted key is none")
async def _(at: Place) -> None:
    at.plugins(inference={"trusted_keys": ["tickerml.pub"]})


@trouble("the file of the live model is gone")
async def _(at: Place) -> None:
    from hub.messages import ModelState, ServedModel

    served = ServedModel(name="mine", version="3", sha256="a" * 64, since=START)
    with closing(SqliteStore.open(at.data / "tickerml.db", SystemClock())) as store:
        store.record([ModelState(live=served)])
    at.plugins(inference={})
