"""compose.yaml: compose itself accepts it, nothing is open to the network, and what its services are told is right."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from hub.configuration import load_configuration
from plugins.influxdb.settings import InfluxSettings
from tests.brokers import free_port, wait_for_port

ROOT = Path(__file__).parents[1]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SECRETS = ("MQTT_PASSWORD", "INFLUXDB_PASSWORD", "INFLUXDB_TOKEN", "GRAFANA_PASSWORD")


def config(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """What compose makes of the file; Debian's docker-compose where docker has no compose of its own."""
    env = folder / "env"
    env.write_text("".join(f"{name}={value}\n" for name, value in variables.items()), encoding="utf-8")
    plain = {name: value for name, value in os.environ.items() if name not in SECRETS}
    docker = shutil.which("docker")
    own = docker and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0
    command = [docker, "compose"] if docker and own else ["/usr/bin/docker-compose"]
    return subprocess.run(
        [*command, "--env-file", str(env), "config"], cwd=ROOT, env=plain, capture_output=True, text=True, timeout=60, check=False
    )


def filled(service: str) -> dict[str, str]:
    """A service's environment with every password set to its own name, and every default taken."""
    given = {name: str(value) for name, value in SERVICES[service]["environment"].items()}
    given = {name: re.sub(r"\$\{(\w+):\?[^}]*\}", r"\1", value) for name, value in given.items()}
    return {name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) for name, value in given.items()}


def connack(port: int, *who: str) -> int:
    """The broker's answer to a user and a password: 0 is welcome, 5 is not."""
    texts = ["x", *who]
    payload = b"".join(len(text.encode()).to_bytes(2, "big") + text.encode() for text in texts)
    head = b"\x00\x04MQTT\x04" + (b"\xc2" if who else b"\x02") + b"\x00\x3c"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"\x10" + bytes([len(head) + len(payload)]) + head + payload)
        return connection.recv(4)[3]


def test_compose_accepts_the_file(tmp_path: Path) -> None:
    """With four secrets, and without a word of complaint."""
    ran = config(tmp_path, **dict.fromkeys(SECRETS, "x"))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert set(yaml.safe_load(ran.stdout)["services"]) == {"mosquitto", "influxdb", "grafana", "hub"}


@pytest.mark.parametrize("missing", SECRETS)
def test_no_password_has_a_default(tmp_path: Path, missing: str) -> None:
    """It is said which is missing, and where it belongs."""
    ran = config(tmp_path, **{name: "x" for name in SECRETS if name != missing})
    assert ran.returncode != 0
    assert missing in ran.stderr
    assert "set it in .env" in ran.stderr


def test_only_this_machine_reaches_a_port() -> None:
    """0.0.0.0 is what compose takes where no address is given, past most firewalls."""
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in published)
    assert not any("network_mode" in service or "privileged" in service for service in SERVICES.values())


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_watched_and_pinned(name: str) -> None:
    """Health, restart, a version, and no more rights than it needs."""
    service = SERVICES[name]
    assert service["healthcheck"]["test"]
    assert service["restart"] == "unless-stopped"
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "build" in service or re.search(r":\d+\.\d+", service["image"])
    assert all(state == {"condition": "service_healthy"} for state in service.get("depends_on", {}).values())
    for volume in service["volumes"]:
        source = volume.partition(":")[0]
        assert source in COMPOSE["volumes"] or source == "./config" or (ROOT / source).exists()


def test_the_hub_understands_its_environment(tmp_path: Path) -> None:
    """No key is misspelt; the broker and the database are the neighbours."""
    configuration = load_configuration(None, filled("hub") | {"TICKERML__DATA_DIR": str(tmp_path)})
    assert configuration.problems == []
    assert (configuration.settings.mqtt.host, configuration.settings.mqtt.embedded) == ("mosquitto", False)
    assert configuration.sections["collector"] == {"source": "binanceus"}
    assert InfluxSettings.model_validate(configuration.sections["influxdb"]).url == "http://influxdb:8086"


def test_grafana_finds_every_variable_that_its_files_name() -> None:
    """It does not start without one of them."""
    files = [*(ROOT / "grafana/provisioning/datasources").glob("*.yaml"), *(ROOT / "grafana/provisioning/alerting").glob("*.yaml")]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    named = set(re.findall(r"\$\{?(\w+)", "\n".join(lines)))
    assert named == {"INFLUXDB_URL", "INFLUXDB_TOKEN", "TICKERML_ALERT_WEBHOOK", "TICKERML_ALERT_MAIL"}
    assert named <= set(filled("grafana"))
    assert all(filled("grafana")[name] for name in named)


def test_grafana_reads_the_boards_where_they_are_put() -> None:
    """The provider's folder is the volume's."""
    [provider] = yaml.safe_load((ROOT / "grafana/provisioning/dashboards/tickerml.yaml").read_text())["providers"]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in SERVICES["grafana"]["volumes"]


def test_the_broker_lets_in_who_knows_the_password(tmp_path: Path) -> None:
    """The container's own command and configuration, with a real mosquitto, elsewhere only in its paths and its port."""
    port = free_port()
    conf = (ROOT / "mosquitto/compose.conf").read_text(encoding="utf-8")
    conf = conf.replace("/mosquitto/data", str(tmp_path)).replace("listener 1883", f"listener {port} 127.0.0.1")
    if os.geteuid() == 0:
        conf += "user root\n"  # in the container it is never root, and gives nothing up
    (tmp_path / "mosquitto.conf").write_text(conf, encoding="utf-8")
    *shell, script = SERVICES["mosquitto"]["command"]
    script = script.replace("$$", "$").replace("/mosquitto/data", str(tmp_path)).replace("/mosquitto/config", str(tmp_path))
    script = script.replace("exec mosquitto", "exec /usr/sbin/mosquitto")
    environment = os.environ | {"MQTT_PASSWORD": 'it\'s "odd" $HOME %s'}
    with (tmp_path / "log").open("wb") as log, subprocess.Popen([*shell, script], env=environment, stdout=log, stderr=log) as broker:
        try:
            wait_for_port(port, 20)
            assert connack(port, "hub", environment["MQTT_PASSWORD"]) == 0
            assert connack(port, "hub", "wrong") == 5
            assert connack(port) == 5
        finally:
            broker.kill()
    assert "odd" not in (tmp_path / "users").read_text(encoding="utf-8")


def test_the_image_is_made_of_what_is_there() -> None:
    """Every file copied exists and is let through to the build; the user is nobody's root."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")}
    copied = {name for line in lines if line.startswith("COPY") and "--from" not in line for name in line.split()[1:-1]}
    assert copied == let_in
    assert all((ROOT / name).exists() for name in copied)
    assert "USER 10001" in lines


def test_the_images_lock_holds_what_the_project_needs() -> None:
    """Hashes for each, the same versions as the tests ran with."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    locked, tested = (
        dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / f"requirements/{name}.txt").read_text(), re.MULTILINE)) for name in ("run", "dev")
    )
    needed = {re.split(r"[<>=\[ ;]", requirement)[0] for requirement in project["dependencies"]}
    assert needed <= set(locked)
    assert locked.items() <= tested.items()
    assert sys.version_info >= (3, 11)
