"""`hub grafana push` against a Grafana that keeps what it is given: what arrives, and what is left alone."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hub.runtime.grafana_push import InfluxAddress
from plugins.influxdb.settings import InfluxSettings
from tests.grafana.asking import BOARDS
from tests.grafana.pushing import ALERTS, TOKEN, hub, push, write_config
from tests.grafana.server import FakeGrafana, serving
from tests.grafana.test_alerting import RULES

CHECKOUT = Path(__file__).parents[2]


def test_the_command_itself_needs_nothing_but_its_folder(tmp_path: Path, grafana: FakeGrafana) -> None:
    """A process of its own."""
    write_config(tmp_path, grafana)
    environment = {"PYTHONPATH": str(CHECKOUT), "NO_PROXY": "127.0.0.1", "PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", "hub", "grafana", "push"]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.splitlines()[0].split() == ["created", "folder", "TickerML"]
    assert len(grafana.boards) == 5


def test_everything_arrives(tmp_path: Path, grafana: FakeGrafana) -> None:
    """Folder, two data sources, five boards, two contact points, six rules; people can edit all of it."""
    ran = push(tmp_path, grafana, **ALERTS)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [folder["title"] for folder in grafana.folders.values()] == ["TickerML"]
    assert set(grafana.sources) == {"tickerml", "tickerml-long"}
    assert {uid: kept["dashboard"]["panels"] for uid, kept in grafana.boards.items()} == {b["uid"]: b["panels"] for b in BOARDS.values()}
    assert {kept["meta"]["folderUid"] for kept in grafana.boards.values()} == {"tickerml"}
    assert [point["settings"] for point in grafana.points.values()] == [
        {"url": "https://hook.example/secret-path", "httpMethod": "POST"},
        {"addresses": "me@example.org", "singleEmail": True},
    ]
    assert set(grafana.rules) == {f"tickerml-{name}" for name in RULES}
    for kept in (*grafana.rules.values(), *grafana.points.values()):
        assert "provenance" not in kept
    assert grafana.rules["tickerml-bars-stale"]["notification_settings"] == {"receiver": "TickerML"}
    assert ran.stdout.splitlines()[-1] == "16 changed"


def test_a_second_push_changes_nothing_and_says_so(tmp_path: Path, grafana: FakeGrafana) -> None:
    """It may run from a timer; and a newer Grafana that has moved a board to its own format has not changed it."""
    influxdb = {"token": "influx-token", "org": "home", "api": "v2"}
    push(tmp_path, grafana, influxdb=influxdb, **ALERTS)
    for board in grafana.boards.values():
        board["dashboard"]["schemaVersion"] = 41
        del board["dashboard"]["annotations"]["list"]
    grafana.asked.clear()
    ran = push(tmp_path, grafana, influxdb=influxdb, **ALERTS)
    assert (ran.returncode, grafana.changes()) == (0, [])
    assert ran.stdout.splitlines()[-1] == "nothing to change"
    assert all(line.startswith("unchanged") for line in ran.stdout.splitlines()[:-1])


def test_what_was_changed_in_grafana_is_put_back_in_place(tmp_path: Path, grafana: FakeGrafana) -> None:
    """But a paused rule stays paused, and what people added to a data source stays."""
    push(tmp_path, grafana, **ALERTS)
    grafana.boards["tickerml-news"]["dashboard"]["panels"][0]["title"] = "Mine"
    grafana.rules["tickerml-bars-stale"] |= {"for": "1h", "isPaused": True}
    grafana.sources["tickerml"] |= {"url": "http://elsewhere:8086", "name": "My InfluxDB"}
    grafana.sources["tickerml"]["jsonData"]["tlsSkipVerify"] = True
    ran = push(tmp_path, grafana, **ALERTS)
    assert [line.split()[0] for line in ran.stdout.splitlines()].count("updated") == 3
    assert grafana.boards["tickerml-news"]["dashboard"]["panels"][0]["title"] == "Mood now"
    assert grafana.rules["tickerml-bars-stale"]["for"] == RULES["bars-stale"]["for"]
    assert grafana.rules["tickerml-bars-stale"]["isPaused"] is True
    source = grafana.sources["tickerml"]
    assert (source["uid"], source["name"], source["url"]) == ("tickerml", "My InfluxDB", "http://localhost:8086")
    assert source["jsonData"]["tlsSkipVerify"] is True


def test_the_data_source_is_the_influxdb_plugins_own(tmp_path: Path, grafana: FakeGrafana) -> None:
    """Version 2 with a token; then the user moves to version 1, in place; nothing of the other is left to hinder."""
    push(tmp_path, grafana, influxdb={"url": "http://db:8086", "token": "t0ken", "org": "home", "bucket": "coins"})
    source = grafana.sources["tickerml"]
    assert (source["url"], source["jsonData"]["dbName"], source["user"]) == ("http://db:8086", "coins", "")
    assert source["jsonData"]["httpHeaderName1"] == "Authorization"
    assert grafana.secrets["tickerml"] == {"httpHeaderValue1": "Token t0ken"}
    assert grafana.sources["tickerml-long"]["jsonData"]["dbName"] == "coins_long"
    ran = push(tmp_path, grafana, influxdb={"api": "v1", "username": "hub", "password": "s3cret", "long_bucket": "years"})
    source = grafana.sources["tickerml"]
    assert (source["url"], source["jsonData"]["dbName"], source["user"]) == ("http://localhost:8086", "tickerml", "hub")
    assert "httpHeaderName1" not in source["jsonData"]
    assert grafana.secrets["tickerml"]["password"] == "s3cret"
    assert grafana.sources["tickerml-long"]["jsonData"]["dbName"] == "years"
    assert "s3cret" not in ran.stdout + ran.stderr


def test_a_token_that_is_no_longer_wanted_is_no_longer_sent(tmp_path: Path, grafana: FakeGrafana) -> None:
    """The same address, now without a user."""
    push(tmp_path, grafana, influxdb={"token": "t0ken"})
    push(tmp_path, grafana, influxdb={"token": "t0ken", "api": "v1"})
    assert "httpHeaderName1" not in grafana.sources["tickerml"]["jsonData"]


def test_grafana_may_reach_influxdb_by_another_way(tmp_path: Path, grafana: FakeGrafana) -> None:
    """In a container, localhost is somebody else."""
    push(tmp_path, grafana, TICKERML__GRAFANA__INFLUXDB_URL="http://influxdb:8086")
    assert grafana.sources["tickerml"]["url"] == "http://influxdb:8086"


def test_a_new_token_of_influxdb_is_brought(tmp_path: Path, grafana: FakeGrafana) -> None:
    """Grafana never shows the old one; that InfluxDB refuses it is how we know."""
    grafana.influx_token = "new"
    ran = push(tmp_path, grafana, influxdb={"token": "old"})
    assert ran.returncode == 4
    assert "all is pushed, but Grafana does not get on with InfluxDB at http://localhost:8086: " in ran.stderr
    assert "401 Unauthorized" in ran.stderr
    assert len(grafana.boards) == 5
    ran = push(tmp_path, grafana, influxdb={"token": "new"})
    assert ran.returncode == 0
    assert grafana.secrets["tickerml"] == {"httpHeaderValue1": "Token new"}


def test_without_the_variables_there_are_rules_but_no_contact_points(tmp_path: Path, grafana: FakeGrafana) -> None:
    """Grafana's own policy then says who hears of an alert."""
    ran = push(tmp_path, grafana)
    assert ran.returncode == 0
    assert "left out   contact point  webhook                      to have it, set TICKERML_ALERT_WEBHOOK in the environment" in ran.stdout
    assert grafana.points == {}
    assert len(grafana.rules) == 6
    assert not any("notification_settings" in rule for rule in grafana.rules.values())


def test_an_older_grafana_gets_rules_that_it_understands(tmp_path: Path, grafana: FakeGrafana) -> None:
    """Before 11 a rule cannot name its contact point."""
    grafana.version = "9.1.0"
    assert push(tmp_path, grafana, **ALERTS).returncode == 0
    assert len(grafana.points) == 2
    assert not any("notification_settings" in rule for rule in grafana.rules.values())


def test_what_comes_from_provisioning_files_is_left_alone(tmp_path: Path, grafana: FakeGrafana) -> None:
    """Beside compose.yaml, a push finds everything there; Grafana would refuse each change."""
    push(tmp_path, grafana, **ALERTS)
    for source in grafana.sources.values():
        source |= {"readOnly": True, "url": "http://influxdb:8086"}
    for board in grafana.boards.values():
        board["meta"]["provisioned"] = True
        board["dashboard"]["panels"] = []
    for provisioned in (*grafana.rules.values(), *grafana.points.values()):
        provisioned |= {"provenance": "file", "labels": {}, "settings": {}}
    grafana.asked.clear()
    ran = push(tmp_path, grafana, **ALERTS)
    assert (ran.returncode, grafana.changes()) == (0, [])
    assert [line.split()[0] for line in ran.stdout.splitlines()].count("kept") == 15


def test_what_another_tool_has_made_is_changed_as_it_was_made(tmp_path: Path, grafana: FakeGrafana) -> None:
    """Grafana refuses to change whose a rule is."""
    push(tmp_path, grafana, **ALERTS)
    grafana.rules["tickerml-bars-stale"] |= {"provenance": "api", "for": "9m"}
    assert push(tmp_path, grafana, **ALERTS).returncode == 0
    assert grafana.rules["tickerml-bars-stale"]["provenance"] == "api"
    assert grafana.rules["tickerml-bars-stale"]["for"] == RULES["bars-stale"]["for"]


def test_a_folder_of_that_name_is_taken_and_ours_is_renamed(tmp_path: Path, grafana: FakeGrafana) -> None:
    """Found by its title, whoever made it; a changed setting renames."""
    grafana.folders["abc"] = {"uid": "abc", "title": "Coins"}
    push(tmp_path, grafana, TICKERML__GRAFANA__FOLDER="Coins")
    assert set(grafana.folders) == {"abc"}
    assert {board["meta"]["folderUid"] for board in grafana.boards.values()} == {"abc"}
    push(tmp_path, grafana)
    assert {board["meta"]["folderUid"] for board in grafana.boards.values()} == {"tickerml"}
    push(tmp_path, grafana, TICKERML__GRAFANA__FOLDER="Market")
    assert grafana.folders["tickerml"]["title"] == "Market"


def test_a_data_source_of_the_same_name_is_not_taken_over(tmp_path: Path, grafana: FakeGrafana) -> None:
    """Its uid would have to change, and other boards of the user hold on to that."""
    grafana.sources["mine"] = {"uid": "mine", "name": "TickerML", "type": "influxdb"}
    ran = push(tmp_path, grafana)
    assert ran.returncode == 1
    assert "a data source 'TickerML' with the uid mine; rename it" in ran.stderr
    assert grafana.sources["mine"] == {"uid": "mine", "name": "TickerML", "type": "influxdb"}


def test_a_grafana_below_a_path_is_found(tmp_path: Path) -> None:
    """Behind a proxy that serves it at /grafana."""
    with serving(FakeGrafana(prefix="/grafana")) as grafana:
        assert push(tmp_path, grafana, **ALERTS).returncode == 0
        assert len(grafana.boards) == 5


def test_the_data_sources_defaults_are_the_plugins(tmp_path: Path) -> None:
    """The runtime may not import a plugin, so the same keys stand in two places."""
    for name, info in InfluxAddress.model_fields.items():
        assert name in InfluxSettings.model_fields
        assert info.default == InfluxSettings.model_fields[name].default


def test_the_doctor_looks_at_grafana_where_there_is_a_token(tmp_path: Path, grafana: FakeGrafana) -> None:
    """It is never needed, but what is wrong is said."""

    def found(token: str | None) -> list[dict[str, Any]]:
        write_config(tmp_path, grafana, token)
        return [finding for finding in json.loads(hub(tmp_path, "doctor", "--json").stdout) if finding["what"] == "grafana"]

    assert found(None) == []
    [absent] = found(TOKEN)
    assert (absent["ok"], absent["needed"]) == (False, False)
    assert "version 12.0" in absent["text"]
    assert absent["text"].endswith("type: hub grafana push")
    push(tmp_path, grafana)
    [there] = found(TOKEN)
    assert (there["ok"], "boards are there" in there["text"]) == (True, True)
    [refused] = found("glsa_old")
    assert "does not know this token" in refused["text"]
