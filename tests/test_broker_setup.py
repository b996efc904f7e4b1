"""`hub broker setup` with a real Mosquitto: each role can do its own and nothing else, and is told so."""

import json
import os
import socket
import ssl
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from hub.runtime.mqtt.broker_setup import ROLES, Wanted, acl, hashed, own_names, set_up
from hub.topics import MAX_PAYLOAD_BYTES, OFFERED, TOPICS
from tests.brokers import MOSQUITTO, free_port, wait_for_port
from tests.hubs import hub, log_until, running, status_until, write_values
from tests.offers import other_model
from tests.publishing import exported, trainer
from trainer.keygen import make_keys

NOW = datetime.now(UTC)
OTHERS = ("house/lamp", "$SYS/broker/version", "zigbee2mqtt/bridge", "homeassistant/light/x/config", "tickerml")


class House:
    """A broker that was set up so, and its roles."""

    def __init__(self, folder: Path, **changed: Any) -> None:
        self.out = folder / "broker"
        self.wanted = Wanted(
            ("localhost", "127.0.0.1"), folder=self.out, socket=self.out / "mqtt.sock", port=free_port(), tls_port=free_port(), **changed
        )
        set_up(self.out, self.wanted, NOW)

    def password(self, role: str) -> str:
        return (self.out / f"{role}.password").read_text().strip()

    @contextmanager
    def running(self) -> Iterator["House"]:
        """Mosquitto, with a main configuration like Debian's."""
        (self.out / "conf.d").mkdir(exist_ok=True)
        (self.out / "conf.d" / "tickerml.conf").write_text((self.out / "tickerml.conf").read_text())
        main = f"persistence true\npersistence_location {self.out}/\ninclude_dir {self.out}/conf.d\n"
        (self.out / "mosquitto.conf").write_text(main + ("user root\n" if os.geteuid() == 0 else ""))
        with (self.out / "log").open("wb") as log, subprocess.Popen([MOSQUITTO, "-c", self.out / "mosquitto.conf"], stderr=log) as broker:
            try:
                wait_for_port(self.wanted.port)
                wait_for_port(self.wanted.tls_port)
                yield self
            finally:
                broker.kill()

    def client(self, role: str | None, password: str | None = None, *, tls: bool = False) -> "Client":
        context = ssl.create_default_context(cafile=str(self.out / "ca.crt")) if tls else None
        return Client(self.wanted.tls_port if tls else self.wanted.port, role, password or (self.password(role) if role else None), context)


class Client:
    """One that speaks MQTT 5 and remembers what it was told."""

    def __init__(self, port: int, user: str | None, password: str | None, tls: ssl.SSLContext | None = None) -> None:
        self.heard: list[str] = []
        self.codes: dict[int, int] = {}
        self._port = port
        self._event = threading.Condition()
        self.login: int | None = None
        self.client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        if user:
            self.client.username_pw_set(user, password)
        if tls:
            self.client.tls_set_context(tls)
        self.client.on_connect = lambda _c, _d, _f, code, _p: self._note("login", code.value)
        self.client.on_publish = lambda _c, _d, mid, code, _p: self._note(mid, code.value)
        self.client.on_subscribe = lambda _c, _d, mid, codes, _p: self._note(mid, codes[0].value)
        self.client.on_message = lambda _c, _d, message: self.heard.append(message.topic)

    def _note(self, what: Any, code: int) -> None:
        with self._event:
            self.codes[what] = code
            self._event.notify_all()

    def _code(self, what: Any) -> int:
        with self._event:
            assert self._event.wait_for(lambda: what in self.codes, 10), f"no answer about {what}"
            return self.codes[what]

    def say(self, topic: str, payload: bytes = b"x") -> bool:
        """Whether it may."""
        return self._code(self.client.publish(topic, payload, 1).mid) < 0x80

    def listen(self, topic_filter: str) -> None:
        _, mid = self.client.subscribe(topic_filter, 1)
        self._code(mid)

    def __enter__(self) -> "Client":
        self.client.connect("127.0.0.1" if not self.client._ssl_context else "localhost", self._port)
        self.client.loop_start()
        self.login = self._code("login")
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("house")).running() as made:
        yield made


def named(template: str) -> str:
    """A topic of that family."""
    values = {"symbol": "BTC-USDT", "interval": "1m", "asset": "BTC", "horizon_minutes": 5, "name": "x", "sha256": "ab", "index": 0}
    return f"tickerml/{template.format_map(values)}"


OURS = [named(topic.template) for topic in TOPICS] + ["tickerml/hub/state", "tickerml/hub/ping", "tickerml/hub/response/health"]
MODELS = [named(topic.template) for topic in TOPICS if topic.kind in OFFERED]
REQUESTS = [f"tickerml/hub/request/{verb}" for verb in ("health", "model/promote", "model/rollback", "plugin/restart")]
DISCOVERY = ["homeassistant/device/x/config", "homeassistant/status", "homeassistant/light/x/config"]
EVERYTHING = [*OURS, *REQUESTS, *DISCOVERY, *OTHERS]
MAY_SAY: dict[str, set[str]] = {
    "hub": {topic for topic in OURS if topic not in MODELS} | {"homeassistant/device/x/config"},
    "trainer": set(MODELS),
    "homeassistant": {*DISCOVERY, "tickerml/hub/request/model/promote"},
    "reader": set(),
}
MAY_HEAR: dict[str, set[str]] = {
    "hub": {*OURS, *REQUESTS, "homeassistant/status", "tickerml"},
    "trainer": {"tickerml/model/want", "tickerml/model/state", "tickerml/hub/state"},
    "homeassistant": {*OURS, *REQUESTS, *DISCOVERY, "tickerml"},
    "reader": {*OURS, *REQUESTS, "tickerml"},
}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_can_say_its_own_and_nothing_else(house: House, role: str) -> None:
    with house.client(role) as client:
        assert {topic for topic in EVERYTHING if client.say(topic)} == MAY_SAY[role]


def test_a_role_hears_its_own_and_nothing_else(house: House) -> None:
    """Everything that anybody may say is said, and asked for by all."""
    said = {(role, topic) for role, topics in MAY_SAY.items() for topic in topics}
    clients = {role: house.client(role) for role in ROLES}
    for client in clients.values():
        client.__enter__()
    try:
        for client in clients.values():
            client.listen("#")
        for role, topic in sorted(said):
            assert clients[role].say(topic)
        for role in ROLES:  # in order, so that what was said before has arrived
            end = {"hub": "tickerml/hub/ping", "trainer": "tickerml/hub/state"}.get(role, "tickerml/dump")
            until_heard(clients[role], clients["hub"], end)
        sayable = {topic for _, topic in said}
        for role, client in clients.items():
            assert set(client.heard) == MAY_HEAR[role] & sayable, role
    finally:
        for client in clients.values():
            client.__exit__()


def until_heard(listener: Client, speaker: Client, topic: str) -> None:
    before = listener.heard.count(topic)
    speaker.say(topic)
    end = datetime.now(UTC) + timedelta(seconds=10)
    while listener.heard.count(topic) <= before:
        assert datetime.now(UTC) < end


def test_every_topic_of_the_hub_stands_in_the_acl() -> None:
    """A message that is added must not be forgotten there."""
    lines = acl(Wanted(("x",), root="my/root", discovery="ha"))
    for topic in TOPICS:
        wanted = f"topic write my/root/{topic.filter.replace('+m', '+')}"
        owner = lines.partition("user trainer")[2 if topic.kind in OFFERED else 0]
        assert any(line == wanted or (line.endswith("#") and wanted.startswith(line[:-1])) for line in owner.splitlines()), topic.template
    assert "topic write ha/device/#" in lines
    assert "@" not in lines


@pytest.mark.parametrize(("user", "password"), [(None, None), ("hub", "wrong"), ("admin", "admin"), ("mosquitto", "")])
def test_nobody_comes_in_without_a_password(house: House, user: str | None, password: str | None) -> None:
    client = Client(house.wanted.port, user, password)
    with client:
        assert client.login in {0x86, 0x87}


def test_others_in_the_house_come_by_tls_alone(house: House) -> None:
    with house.client("reader", tls=True) as client:
        assert client.login == 0
        assert client.client._sock is not None
        assert client.client._sock.version() in {"TLSv1.2", "TLSv1.3"}  # type: ignore[attr-defined]
    with socket.create_connection(("127.0.0.1", house.wanted.tls_port), 5) as plain:
        plain.sendall(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01x")
        with suppress(ConnectionError):
            assert plain.recv(100)[:1] != b"\x20", "let in without TLS"
    with socket.create_connection(("127.0.0.1", house.wanted.tls_port), 5) as plain, pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(plain, server_hostname="localhost")


def test_the_socket_is_for_the_brokers_group_alone(house: House) -> None:
    mode = house.wanted.socket.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o770
    assert (house.out / "run.conf").read_text().splitlines()[1] == f"d {house.out} 0750 mosquitto mosquitto"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (Path.unlink, "is not there: start the broker, or correct mqtt.host"),
        (Path.stat, "was left behind by a broker that does not run: start it"),
    ],
)
def test_a_socket_without_a_broker_is_named_with_the_fix(tmp_path: Path, spoil: Callable[[Path], object], words: str) -> None:
    file = tmp_path / "mqtt.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(file))
    spoil(file)
    write_values(tmp_path, mqtt={"host": str(file)}, plugins={})
    assert f"FAIL  broker: {file} {words}" in " ".join(hub(tmp_path, "doctor").stdout.split(" " * 4))
    write_values(tmp_path, mqtt={"host": str(file), "tls": True}, plugins={})
    refused = hub(tmp_path, "run", "--for", "1s")
    assert (refused.returncode, "a unix socket never leaves this machine" in refused.stderr) == (3, True), refused.stderr


def test_a_message_that_is_too_large_is_not_taken(house: House) -> None:
    with house.client("hub") as client:
        gone = threading.Event()
        client.client.on_disconnect = lambda *_: gone.set()
        client.client.publish("tickerml/dump", b"x" * (MAX_PAYLOAD_BYTES + 1000), 1)
        assert gone.wait(10)


def test_files_with_secrets_are_their_owners_and_are_kept(tmp_path: Path) -> None:
    """Run again, nothing changes; a role that is renewed gets another password, and the others keep theirs."""
    wanted = Wanted(("station.lan", "192.168.1.9"))
    first = set_up(tmp_path, wanted, NOW)
    assert [line.split()[0] for line in first] == ["password"] * 4 + ["certified", "written", "written", "written"]
    kept = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    for name in ("ca.key", "server.key", "passwords", *(f"{role}.password" for role in ROLES)):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600, name
    again = set_up(tmp_path, wanted, NOW)
    assert [line.split()[0] for line in again] == ["written", "written", "written"]
    changed = {name for name, content in kept.items() if (tmp_path / name).read_bytes() != content}
    assert changed == {"passwords"}, "salted anew"
    set_up(tmp_path, wanted, NOW, ["trainer"])
    changed = {name for name, content in kept.items() if (tmp_path / name).read_bytes() != content}
    assert changed == {"passwords", "trainer.password"}


@pytest.mark.parametrize(
    ("later", "names", "certified"),
    [(timedelta(days=700), None, False), (timedelta(days=770), None, True), (timedelta(), ("other.lan",), True)],
)
def test_a_certificate_is_made_anew_when_it_must(tmp_path: Path, later: timedelta, names: tuple[str, ...] | None, certified: bool) -> None:
    """Before it expires, or when the machine has another name; always by the same authority."""
    set_up(tmp_path, Wanted(("station.lan",)), NOW)
    before, issuer = (tmp_path / "server.crt").read_bytes(), (tmp_path / "ca.crt").read_bytes()
    told = set_up(tmp_path, Wanted(names or ("station.lan",)), NOW + later)
    assert any(line.startswith("certified") for line in told) is certified
    assert ((tmp_path / "server.crt").read_bytes() != before) is certified
    assert (tmp_path / "ca.crt").read_bytes() == issuer
    x509.load_pem_x509_certificate((tmp_path / "server.crt").read_bytes()).verify_directly_issued_by(x509.load_pem_x509_certificate(issuer))


def test_the_command_says_what_to_type_and_refuses_what_it_cannot_use(tmp_path: Path) -> None:
    done = hub(tmp_path, "broker", "setup", "--name", "station.lan")
    assert done.returncode == 0, done.stderr
    assert "certified station.lan, " in done.stdout
    for words in ("sudo systemctl restart mosquitto", "username: hub, password_file: broker/hub.password", "host: station.lan, port: 8883"):
        assert words in done.stderr
    secret = (tmp_path / "broker" / "hub.password").read_text().strip()
    assert secret not in done.stdout + done.stderr
    assert "there are hub, trainer, homeassistant, reader" in hub(tmp_path, "broker", "setup", "--renew", "admin").stderr
    (tmp_path / "broker" / "ca.key").write_text("nonsense")
    broken = hub(tmp_path, "broker", "setup")
    assert (broken.returncode, "Traceback" in broken.stderr) == (1, False)
    assert "move it away" in broken.stderr
    (tmp_path / "file").touch()
    assert hub(tmp_path, "broker", "setup", "--out", "file/x").returncode == 1


def test_the_hash_is_mosquittos_own() -> None:
    """Taken from mosquitto_passwd with this salt."""
    assert hashed("x", b"0" * 12).startswith("$7$1000$MDAwMDAwMDAwMDAw$")
    assert {"localhost", "127.0.0.1"} <= set(own_names())


@pytest.mark.timeout(180)
def test_hub_and_trainer_work_with_it_and_are_told_when_they_have_the_wrong_role(house: House, tmp_path: Path) -> None:
    """A model travels by TLS from the trainer's role to the hub's; with another's password each is told what is wrong."""
    here = {"host": str(house.wanted.socket), "embedded": False, "username": "hub", "password_file": str(house.out / "hub.password")}
    write_values(tmp_path, mqtt=here, plugins={"collector": {"source": "simulated", "backfill": "30m"}, "inference": {"shadow": "0m"}})
    make_keys(tmp_path)
    exported(tmp_path, "mine", other_model())
    assert hub(tmp_path, "models", "trust", "tickerml.pub").returncode == 0
    away = {"host": "localhost", "port": house.wanted.tls_port, "embedded": False, "tls": True, "ca_file": str(house.out / "ca.crt")}
    with running(tmp_path):
        status_until(tmp_path, lambda shown: shown.get("running") and shown["broker"]["connected"])
        words = f"{house.wanted.socket} lets us in as 'hub' and delivers what we publish (MQTT 5)"
        assert words in hub(tmp_path, "doctor").stdout
        for role, code in (("reader", 4), ("trainer", 0)):
            password = {"username": role, "password_file": str(house.out / f"{role}.password")}
            (tmp_path / "pc.yaml").write_text(json.dumps({"mqtt": away | password}))
            told = trainer(tmp_path, "-c", "pc.yaml", "publish", "mine", "--wait", "5s" if code else "30s")
            assert told.returncode == code, told.stderr
            if code:
                assert "does not let user 'reader' publish on 'tickerml/model/manifest'" in told.stderr
                assert "that of `hub broker setup` gives that to the role trainer" in told.stderr
    write_values(
        tmp_path,
        mqtt=here | {"username": "reader", "password_file": str(house.out / "reader.password")},
        plugins={"collector": {"source": "simulated"}},
    )
    with running(tmp_path):
        logged = log_until(tmp_path, "does not let user 'reader' publish on")
        assert "gives that to the role hub" in logged
    doctor = hub(tmp_path, "doctor")
    assert "does not let user 'reader' publish on 'tickerml/hub/ping'" in doctor.stdout
