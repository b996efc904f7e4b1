"""What `hub grafana push` brings into a running Grafana: folder, data sources, boards, contact points, alert rules.

Everything is found again by its uid and changed in place; what is already so is left alone, and so is what Grafana itself has
from provisioning files.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import SecretStr

from hub import __version__
from hub.configuration import Configuration
from hub.errors import DependencyDown, HubError, SettingsError
from hub.runtime.grafana import Grafana
from hub.settings import SettingsModel

CHECKOUT = Path(__file__).parents[2] / "grafana"
INSTALLED = Path(__file__).parents[2] / "tickerml_grafana"
"""Where a wheel puts them, beside the packages."""
FOLDER_UID = "tickerml"
ROUTING = (11, 0)
"""Before it, a rule cannot name its contact point."""
_EXTRA_HEADER = "httpHeaderName1"


@dataclass(frozen=True)
class Pushed:
    """What became of one thing."""

    did: Literal["created", "updated", "unchanged", "kept", "left out"]
    kind: str
    name: str
    note: str = ""


class InfluxAddress(SettingsModel):
    """What Grafana must know of the influxdb plugin's section."""

    url: str = "http://localhost:8086"
    api: str = "auto"
    bucket: str = "tickerml"
    long_bucket: str | None = None
    username: str | None = None
    password: SecretStr | None = None
    token: SecretStr | None = None


def push(configuration: Configuration, environment: Mapping[str, str]) -> Iterator[Pushed]:
    """Bring everything, in the order in which it depends on each other. `environment`: fills in the contact points.

    SettingsError without a token; DependencyDown, after all is brought, where Grafana then does not reach InfluxDB.
    """
    settings = configuration.settings.grafana
    if settings.token is None:
        words = "is needed: a service account's token (in Grafana: Administration, Service accounts; role Admin); or set token_file"
        raise SettingsError(configuration.problem(("grafana", "token"), words))
    grafana = Grafana(settings.url, settings.token.get_secret_value())
    version = grafana.version()
    folder, pushed = _folder(grafana, settings.folder)
    yield pushed
    address = _influx(configuration)
    sources = _sources(address, settings.influxdb_url or address.url)
    for source in sources:
        yield _data_source(grafana, source)
    for file in sorted((files() / "dashboards").glob("*.json")):
        yield _board(grafana, json.loads(file.read_text(encoding="utf-8")), folder)
    receivers = list(_contact_points(grafana, environment))
    yield from receivers
    names = {point["name"] for point in _existing_contact_points(grafana)} if version >= ROUTING else set()
    for rule in _rules():
        yield _rule(grafana, rule, folder, names)
    if complaint := grafana.complaint(sources[0]["uid"]):
        raise DependencyDown(
            f"all is pushed, but Grafana does not get on with InfluxDB at {sources[0]['url']}: {complaint}; set grafana.influxdb_url"
        )


def files() -> Path:
    """The folder with boards and rules, of a checkout or of an installed wheel."""
    return CHECKOUT if (CHECKOUT / "dashboards").is_dir() else INSTALLED


def _folder(grafana: Grafana, title: str) -> tuple[str, Pushed]:
    """The folder's uid: of the one with this title, or else of our own."""
    there = grafana.find("/folders?limit=1000", "folders:read") or []
    for folder in there:
        if folder["title"] == title:
            return folder["uid"], Pushed("unchanged", "folder", title)
    if any(folder["uid"] == FOLDER_UID for folder in there):
        grafana.send("PUT", f"/folders/{FOLDER_UID}", {"title": title, "overwrite": True}, "folders:write")
        return FOLDER_UID, Pushed("updated", "folder", title)
    grafana.send("POST", "/folders", {"uid": FOLDER_UID, "title": title}, "folders:create")
    return FOLDER_UID, Pushed("created", "folder", title)


def _influx(configuration: Configuration) -> InfluxAddress:
    known = {*InfluxAddress.model_fields, "token_file", "password_file"}
    section = {key: value for key, value in configuration.sections.get("influxdb", {}).items() if key in known}
    address = configuration.section(("plugins", "influxdb"), section, InfluxAddress)
    configuration.raise_problems()
    return address or InfluxAddress()


def _sources(address: InfluxAddress, url: str) -> list[dict[str, Any]]:
    """The minutes, and the hours and days; with a token as InfluxDB 2 wants it, or with a user as InfluxDB 1 does."""
    token = None if address.api == "v1" else address.token
    user = "" if token else address.username or ""
    header = {_EXTRA_HEADER: "Authorization"} if token else {}
    secrets = {"httpHeaderValue1": f"Token {token.get_secret_value()}"} if token else {}
    if not token and address.password:
        secrets = {"password": address.password.get_secret_value()}

    def source(uid: str, name: str, database: str, interval: str) -> dict[str, Any]:
        how = {"version": "InfluxQL", "dbName": database, "httpMode": "POST", "timeInterval": interval, **header}
        at = {"uid": uid, "name": name, "type": "influxdb", "access": "proxy", "url": url, "database": database, "user": user}
        return {**at, "jsonData": how, "secureJsonData": dict(secrets)}

    return [
        source("tickerml", "TickerML", address.bucket, "1m"),
        source("tickerml-long", "TickerML long", address.long_bucket or f"{address.bucket}_long", "1h"),
    ]


def _data_source(grafana: Grafana, wish: dict[str, Any]) -> Pushed:
    """Its uid and its name never change, nor what people have added to it."""
    there = grafana.find(f"/datasources/uid/{wish['uid']}", "datasources:read")
    if there is None:
        if other := grafana.find(f"/datasources/name/{wish['name']}", "datasources:read"):
            raise HubError(
                f"{grafana.url} has a data source {wish['name']!r} with the uid {other['uid']}; rename it: the boards hold on to"
                f" the uid {wish['uid']}"
            )
        grafana.send("POST", "/datasources", wish, "datasources:create")
        return Pushed("created", "data source", wish["name"], wish["url"])
    if there.get("readOnly"):
        return _kept("data source", there["name"])
    secrets = wish.pop("secureJsonData")
    wish["name"] = there["name"]
    theirs = dict(there.get("jsonData") or {})
    header = wish["jsonData"].get(_EXTRA_HEADER)
    stale = header is None and theirs.pop(_EXTRA_HEADER, None) is not None
    known = all((there.get("secureJsonFields") or {}).get(name) for name in secrets)
    if _holds(there, wish) and known and not stale and not (secrets and grafana.complaint(wish["uid"])):
        return Pushed("unchanged", "data source", wish["name"])
    changed = {**there, **wish, "jsonData": {**theirs, **wish["jsonData"]}, "secureJsonData": secrets}
    grafana.send("PUT", f"/datasources/uid/{wish['uid']}", changed, "datasources:write")
    return Pushed("updated", "data source", wish["name"], wish["url"])


def _board(grafana: Grafana, board: dict[str, Any], folder: str) -> Pushed:
    there = grafana.find(f"/dashboards/uid/{board['uid']}", "dashboards:read")
    if there is not None:
        about = there.get("meta", {})
        if about.get("provisioned"):
            return _kept("board", board["title"])
        if about.get("folderUid", folder) == folder and _holds(there["dashboard"], board, ignoring=("schemaVersion",)):
            return Pushed("unchanged", "board", board["title"])
    body = {"dashboard": {**board, "id": None}, "folderUid": folder, "overwrite": True, "message": f"hub {__version__}"}
    grafana.send("POST", "/dashboards/db", body, "dashboards:write")
    return Pushed("created" if there is None else "updated", "board", board["title"], f"{grafana.url}/d/{board['uid']}")


def _existing_contact_points(grafana: Grafana) -> list[dict[str, Any]]:
    there = grafana.find("/v1/provisioning/contact-points", "alert.provisioning:read")
    if there is None:
        raise HubError(f"{grafana.url}: alerting is switched off in this Grafana; set [unified_alerting] enabled = true in its grafana.ini")
    return list(there)


def _contact_points(grafana: Grafana, environment: Mapping[str, str]) -> Iterator[Pushed]:
    """Those whose variables are set."""
    there = {point["uid"]: point for point in _existing_contact_points(grafana)}
    [point] = _read("alerting/contact-points.yaml")["contactPoints"]
    for receiver in point["receivers"]:
        variables = re.findall(r"\$\{?(\w+)", json.dumps(receiver["settings"]))
        if missing := [name for name in variables if not environment.get(name)]:
            yield Pushed("left out", "contact point", receiver["type"], f"to have it, set {' and '.join(missing)} in the environment")
            continue
        settings = {key: _filled(value, environment) for key, value in receiver["settings"].items()}
        wish = {"uid": receiver["uid"], "name": point["name"], "type": receiver["type"], "settings": settings}
        yield _provisioned(grafana, "contact-points", there.get(wish["uid"]), wish, "contact point", receiver["type"])


def _filled(value: Any, environment: Mapping[str, str]) -> Any:
    return re.sub(r"\$\{?(\w+)\}?", lambda name: environment[name[1]], value) if isinstance(value, str) else value


def _rules() -> Iterator[dict[str, Any]]:
    """The rules as the HTTP API takes them."""
    for group in _read("alerting/rules.yaml")["groups"]:
        for rule in group["rules"]:
            yield {key: value for key, value in rule.items() if key not in {"dashboardUid", "panelId"}} | {"ruleGroup": group["name"]}


def _rule(grafana: Grafana, wish: dict[str, Any], folder: str, contact_points: set[str]) -> Pushed:
    """A rule that somebody has paused stays so; one whose contact point is not there goes where Grafana's policy says."""
    there = grafana.find(f"/v1/provisioning/alert-rules/{wish['uid']}", "alert.provisioning:read")
    wish["folderUID"] = folder
    if there is not None:
        wish["isPaused"] = there.get("isPaused", False)
    if wish["notification_settings"]["receiver"] not in contact_points:
        del wish["notification_settings"]
    return _provisioned(grafana, "alert-rules", there, wish, "alert rule", wish["title"])


def _provisioned(grafana: Grafana, path: str, there: dict[str, Any] | None, wish: dict[str, Any], kind: str, name: str) -> Pushed:
    """Through Grafana's provisioning API, but so that people can edit it."""
    if there is None:
        grafana.send("POST", f"/v1/provisioning/{path}", wish, "alert.provisioning:write", editable=True)
        return Pushed("created", kind, name)
    provenance = there.get("provenance")
    if provenance == "file":
        return _kept(kind, name)
    if _holds(there, wish):
        return Pushed("unchanged", kind, name)
    grafana.send("PUT", f"/v1/provisioning/{path}/{wish['uid']}", wish, "alert.provisioning:write", editable=provenance != "api")
    return Pushed("updated", kind, name)


def _kept(kind: str, name: str) -> Pushed:
    return Pushed("kept", kind, name, "Grafana has it from its provisioning files")


def _holds(there: Any, wish: Any, ignoring: tuple[str, ...] = ()) -> bool:
    """Whether all that we wish is there; what Grafana adds does not count, nor that it leaves out what says nothing."""
    if isinstance(wish, dict) and isinstance(there, dict):
        return all(_holds(there.get(key), value) for key, value in wish.items() if key not in ignoring)
    if isinstance(wish, list) and isinstance(there, list):
        return len(wish) == len(there) and all(_holds(one, other) for one, other in zip(there, wish, strict=True))
    return bool(there == wish) or (there is None and (wish is False or wish in ("", [], {})))


def _read(name: str) -> Any:
    return yaml.safe_load((files() / "provisioning" / name).read_text(encoding="utf-8"))
