"""`hub doctor` against real brokers, real files and a scripted exchange: each trouble in a line, with its fix."""

import asyncio
import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hub import Check, PermanentError
from hub.clock import SystemClock
from hub.configuration import load_configuration
from hub.runtime.disk.store import SqliteStore
from hub.runtime.doctor import examine, examine_now, machine
from hub.runtime.doctor.finding import Finding
from hub.runtime.hosting.lineup import Member
from hub.runtime.hosting.plugins import Declared
from hub.testing import bars
from tests.brokers import Authority, Mosquitto, Witness, free_port
from tests.exchanges import answering, socket_server
from tests.hubs import drop_in, hub, running, states, status_until, write_values

CANARY = "canary-7311"


async def examined(folder: Path, **values: Any) -> dict[str, Finding]:
    """The findings for this configuration, by what they are about."""
    defaults = {"plugins": {"collector": {"source": "simulated"}}}
    write_values(folder, **(defaults | values))
    (folder / "config.yaml").chmod(0o600)
    return {finding.what: finding for finding in await examine_now(load_configuration(folder / "config.yaml", {}))}


async def broker_finding(folder: Path, port: int, **mqtt: Any) -> Finding:
    return (await examined(folder, mqtt={"host": "localhost", "port": port, "embedded": False} | mqtt))["broker"]


async def test_a_healthy_folder_is_healthy_in_every_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a newcomer sees before the first run."""
    monkeypatch.setattr(machine, "ROOT", tmp_path / "nothing is told of the machine")
    found = await examined(tmp_path)
    assert list(found) == ["config", "plugin collector", "machine", "disk", "store", "hub", "broker", "backup", "exchange", "clock"]
    assert all(finding.ok for finding in found.values())
    assert "the embedded one will" in found["broker"].text
    assert "`hub run` makes it" in found["store"].text


async def test_a_broker_that_lets_us_in_is_named_with_its_protocol(tmp_path: Path) -> None:
    """A real login, an echo, and nothing left behind."""
    with Mosquitto(tmp_path, users={"hub": CANARY}) as broker, Witness(broker.port, username="hub", password=CANARY) as witness:
        finding = await broker_finding(tmp_path, broker.port, username="hub", password=CANARY)
        assert finding.ok, finding
        assert finding.text == f"localhost:{broker.port} lets us in as 'hub' and delivers what we publish (MQTT 5)"
        for _ in range(500):
            if witness.heard:
                break
            await asyncio.sleep(0.01)
        assert [topic for topic, _, _ in witness.heard] == ["tickerml/hub/ping"]
        assert not any(retained for _, _, retained in witness.heard)


@pytest.mark.parametrize(
    ("login", "words"),
    [
        ({"username": "hub", "password": f"{CANARY}-wrong"}, "refuses user 'hub': wrong user name or password"),
        ({"username": "nobody", "password": CANARY}, "refuses user 'nobody': wrong user name or password"),
        ({}, "refuses a client without user name: it wants a user name and password"),
    ],
)
async def test_a_refused_login_names_the_user_and_the_keys(tmp_path: Path, login: dict[str, Any], words: str) -> None:
    """A TCP connection alone would have said that all is well."""
    with Mosquitto(tmp_path, users={"hub": CANARY}) as broker:
        finding = await broker_finding(tmp_path, broker.port, **login)
    assert not finding.ok
    assert words in finding.text
    assert "set mqtt.username and mqtt.password" in finding.text
    assert CANARY not in finding.text


@pytest.mark.parametrize(
    ("acl", "words"),
    [
        ("topic readwrite other/#", "does not let user 'hub' publish on 'tickerml/hub/ping'"),
        ("topic read tickerml/#", "does not let user 'hub' publish on 'tickerml/hub/ping'"),
        ("topic write tickerml/#", "does not let user 'hub' hear itself on 'tickerml/hub/ping'"),
    ],
)
async def test_a_forbidden_topic_is_told_in_both_directions(tmp_path: Path, acl: str, words: str) -> None:
    """Mosquitto grants a subscription that it never serves: only the echo is proof."""
    with Mosquitto(tmp_path, users={"hub": "pw"}, acl=f"user hub\n{acl}\n") as broker:
        finding = await broker_finding(tmp_path, broker.port, username="hub", password="pw")
    assert not finding.ok
    assert words in finding.text
    assert "allow it in the broker's ACL" in finding.text


@pytest.mark.parametrize(
    ("begins", "ends", "authority", "words"),
    [
        (-2, 2, "own", None),
        (-4, -2, "own", "has expired"),
        (2, 4, "own", "is not valid yet; this machine's clock says"),
        (-2, 2, "stranger", "is not signed by"),
        (-2, 2, "absent", "mqtt.ca_file"),
        (-2, 2, None, "check whether it expects TLS there (mqtt.tls)"),
    ],
)
async def test_trouble_with_tls_is_told_apart(tmp_path: Path, begins: int, ends: int, authority: str | None, words: str | None) -> None:
    """Renewing a certificate, setting a clock and naming an authority are three different jobs."""
    now, own = datetime.now(UTC), Authority(tmp_path, "own")
    Authority(tmp_path, "stranger")
    certificate = own.certificate("broker", now + timedelta(days=begins), now + timedelta(days=ends))
    with Mosquitto(tmp_path, certificate=certificate) as broker:
        tls = {} if authority is None else {"tls": True, "ca_file": f"{authority}.pem"}
        finding = await broker_finding(tmp_path, broker.port, **tls)
    assert finding.ok == (words is None), finding
    assert (words or "TLS") in finding.text


async def test_what_listens_there_but_is_no_broker_is_told(tmp_path: Path) -> None:
    """A web server on the port: `embedded: true` would not help either."""
    async with socket_server(answering(b"hello", status="400 Bad Request")) as address:
        finding = await broker_finding(tmp_path, int(address.rsplit(":", 1)[1]), embedded=True)
    assert not finding.ok
    assert "does not answer a login" in finding.text


async def test_nobody_there_is_told_with_the_keys(tmp_path: Path) -> None:
    """Or the name is wrong."""
    finding = await broker_finding(tmp_path, free_port())
    assert not finding.ok
    assert "refuses connections: start the broker, or check mqtt.host and mqtt.port" in finding.text
    finding = await broker_finding(tmp_path, 1883, host="no-such-host.invalid")
    assert "check mqtt.host" in finding.text


async def test_a_store_is_read_through_and_not_touched(tmp_path: Path) -> None:
    """The doctor looks; it neither repairs nor migrates."""
    file = tmp_path / "data" / "tickerml.db"
    store = SqliteStore.open(file, SystemClock())
    store.record(bars(*range(1, 5000)))
    store.close()
    before = file.read_bytes()
    found = await examined(tmp_path)
    assert found["store"].ok
    assert "4999 facts for BTC-USDT" in found["store"].text
    assert file.read_bytes() == before
    spoilt = bytearray(before)
    spoilt[len(before) // 3 : len(before) // 3 * 2] = b"\x55" * (len(before) // 3)
    file.write_bytes(spoilt)
    found = await examined(tmp_path)
    assert not found["store"].ok
    assert "rebuilt at the next start" in found["store"].text
    assert file.read_bytes() == bytes(spoilt)


async def test_a_store_of_a_newer_hub_or_no_store_at_all_is_told(tmp_path: Path) -> None:
    """Each in its own words."""
    file = tmp_path / "data" / "tickerml.db"
    SqliteStore.open(file, SystemClock()).close()
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    assert "newer hub" in (await examined(tmp_path))["store"].text
    file.write_text("this is a text")
    assert not (await examined(tmp_path))["store"].ok
    file.unlink()
    file.mkdir()
    assert not (await examined(tmp_path))["store"].ok


async def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """data_dir under something that is a file."""
    (tmp_path / "file").touch()
    found = await examined(tmp_path, data_dir="file/data")
    assert not found["disk"].ok
    assert "make it writable, or set data_dir" in found["disk"].text


async def test_a_real_exchange_is_asked_and_its_trouble_told(tmp_path: Path) -> None:
    """Blocked, by a server on a real socket."""
    async with socket_server(answering(b"{}", status="451 Unavailable")) as address:
        found = await examined(tmp_path, plugins={"collector": {"binanceus": {"base_url": address}}})
    assert "is blocked in your country (451): choose source binance" in found["exchange"].text
    assert not found["exchange"].ok
    assert not found["clock"].ok


async def test_every_problem_of_the_configuration_is_a_line(tmp_path: Path) -> None:
    """And the rest is looked at all the same."""
    write_values(tmp_path, mqqt={}, plugins={"colector": {}, "collector": {"source": "simulated"}})
    found = await examine_now(load_configuration(tmp_path / "config.yaml", {}))
    assert [finding.text.split(": ", 1)[1] for finding in found if finding.what == "config"] == [
        "mqqt: unknown key; did you mean 'mqtt'?",
        "plugins.colector: no such plugin; did you mean 'collector'? A plugin of your own goes into plugin_dir as colector.py",
    ]
    assert {finding.what for finding in found} >= {"disk", "broker", "exchange"}


async def test_a_check_of_a_plugin_may_fail_in_every_way(tmp_path: Path) -> None:
    """The others go on; what hangs is given up; a secret in a reason is blotted out."""

    async def fine() -> str:
        return "fine"

    async def fails() -> str:
        raise PermanentError("start it: systemctl start it")

    async def bug() -> str:
        raise ZeroDivisionError("oops")

    async def leaves() -> str:
        raise SystemExit(1)

    async def hangs() -> str:
        await asyncio.Event().wait()
        return ""

    checks = [Check("fine", fine), Check("fails", fails, needed=False), Check("bug", bug), Check("leaves", leaves), Check("hangs", hangs)]
    write_values(tmp_path)
    member = Member("x", {}, declared=Declared(checks=checks))
    found = await examine(load_configuration(tmp_path / "config.yaml", {}), [member], None, patience=2.0)
    told = {finding.what: (finding.ok, finding.needed, finding.text) for finding in found[-5:]}
    assert told["fine"] == (True, True, "fine")
    assert told["fails"] == (False, False, "start it: systemctl start it")
    assert told["bug"][:2] == told["leaves"][:2] == (False, True)
    assert "the check itself failed: ZeroDivisionError: oops" in told["bug"][2]
    assert told["hangs"] == (False, True, "no answer within 2 s")


GUEST = """
from pydantic import SecretStr
from hub import Check, PermanentError, PluginSettings, hookimpl

class Settings(PluginSettings):
    token: SecretStr | None = None

@hookimpl
def register_settings():
    return Settings

@hookimpl
def register_checks(hub):
    async def look():
        raise PermanentError(f"the token {hub.settings_for(Settings).token.get_secret_value()} is too old: make a new one")
    return [Check("service", look, needed=NEEDED)]
"""


@pytest.mark.parametrize(("needed", "code"), [(True, 5), (False, 0)])
def test_the_command_ends_with_5_where_a_needed_check_fails(tmp_path: Path, needed: bool, code: int) -> None:
    """For scripts; and for people the fix stands in the line."""
    drop_in(tmp_path, "x", GUEST.replace("NEEDED", str(needed)))
    write_values(tmp_path, plugins={"collector": {"source": "simulated"}, "x": {"token": CANARY}})
    (tmp_path / "config.yaml").chmod(0o600)
    shown = hub(tmp_path, "doctor")
    assert shown.returncode == code, shown.stderr
    assert f"{'FAIL' if needed else 'note'}  service: the token [secret] is too old: make a new one" in shown.stdout
    rows = json.loads(hub(tmp_path, "doctor", "--json").stdout)
    assert {"what": "service", "ok": False, "text": "the token [secret] is too old: make a new one", "needed": needed} in rows
    assert all(set(row) == {"what", "ok", "text", "needed"} for row in rows)


def test_a_running_hub_is_asked_and_not_disturbed(tmp_path: Path) -> None:
    """The doctor logs in beside it, under another client id; over MQTT the hub examines itself."""
    with Mosquitto(tmp_path, users={"hub": "pw"}) as broker:
        login = {"port": broker.port, "username": "hub", "password": "pw"}
        write_values(tmp_path, mqtt=login, plugins={"collector": {"source": "simulated", "backfill": "30m"}})
        (tmp_path / "config.yaml").chmod(0o600)
        with running(tmp_path):
            status_until(
                tmp_path, lambda shown: shown["running"] and shown["broker"]["connected"] and states(shown)["collector"] == "running"
            )
            shown = hub(tmp_path, "doctor")
            assert shown.returncode == 0, shown.stdout + shown.stderr
            assert "ok    hub: runs since " in shown.stdout
            with Witness(broker.port, "tickerml/hub/response/#", username="hub", password="pw") as witness:
                witness.say("tickerml/hub/request/doctor", b'{"transaction": 7}')
                answered = status_until(tmp_path, lambda _: witness.heard)
            answer = json.loads(witness.heard[0][1])
            assert (answer["status"], answer["transaction"]) == ("ok", 7)
            assert all(row["ok"] for row in answer["data"])
            assert answered["broker"] | {"connected": True, "takeovers": 0, "last_error": None} == answered["broker"]
