"""A Grafana for tests: a real HTTP server that keeps folders, data sources, boards, rules and contact points as Grafana does."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.http_server import answering

Answer = tuple[int, Any]
EVERYTHING = {
    *("folders:read", "folders:create", "folders:write", "datasources:read", "datasources:create", "datasources:write"),
    *("dashboards:read", "dashboards:write", "alert.provisioning:read", "alert.provisioning:write"),
}


class Refused(Exception):
    """An answer that is not 2xx."""

    def __init__(self, status: int, message: str) -> None:
        self.answer = status, {"message": message}


@dataclass
class FakeGrafana:
    """What it holds, what it was asked, and how it is to misbehave."""

    version: str | None = "12.0.2"
    tokens: dict[str, set[str]] = field(default_factory=lambda: {"glsa_admin": EVERYTHING})
    influx_token: str | None = None
    """What InfluxDB wants to see; None: it lets everybody in."""
    alerting: bool = True
    prefix: str = ""
    misbehave: Callable[[str, str], tuple[int, dict[str, str], bytes] | None] = lambda _verb, _path: None
    url: str = ""
    folders: dict[str, dict[str, Any]] = field(default_factory=dict)
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    boards: dict[str, dict[str, Any]] = field(default_factory=dict)
    rules: dict[str, dict[str, Any]] = field(default_factory=dict)
    points: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Verb and path of every request."""

    def changes(self) -> list[tuple[str, str]]:
        return [(verb, path) for verb, path in self.asked if verb != "GET"]

    def answer(self, verb: str, path: str, token: str, body: Any, headers: Any) -> Answer:
        """What Grafana says to a request."""
        path = path.partition("?")[0]
        if path == "/health":
            return 200, {"database": "ok", "commit": "abc"} | ({"version": self.version} if self.version else {})
        if token not in self.tokens:
            raise Refused(401, "Invalid API key")
        kind, _, rest = path.strip("/").partition("/")
        if kind == "v1":
            rest = rest.removeprefix("provisioning/")
            kind, _, rest = rest.partition("/")
            if not self.alerting:
                raise Refused(404, "Not found")
        ways = {
            "folders": self._folders,
            "datasources": self._datasources,
            "dashboards": self._dashboards,
            "alert-rules": self._alert_rules,
            "contact-points": self._contact_points,
        }
        self._allowed(token, kind, verb)
        if kind not in ways:
            raise Refused(404, "Not found")
        return ways[kind](verb, rest, body, None if headers.get("X-Disable-Provenance") else "api")

    def _allowed(self, token: str, kind: str, verb: str) -> None:
        area = "alert.provisioning" if kind in {"alert-rules", "contact-points"} else kind
        deed = {"GET": "read", "PUT": "write"}.get(verb, "create" if area in {"folders", "datasources"} else "write")
        if f"{area}:{deed}" not in self.tokens[token]:
            raise Refused(403, f"You'll need additional permissions to perform this action. Permissions needed: {area}:{deed}")

    def _folders(self, verb: str, uid: str, body: Any, _provenance: str | None) -> Answer:
        if verb == "GET":
            return 200, list(self.folders.values())
        if verb == "POST":
            if body["uid"] in self.folders or any(folder["title"] == body["title"] for folder in self.folders.values()):
                raise Refused(409, "a folder with the same name already exists in the current location")
            uid = body["uid"]
        self.folders[uid] = {"id": len(self.folders) + 1, "uid": uid, "title": body["title"]}
        return 200, self.folders[uid]

    def _datasources(self, verb: str, rest: str, body: Any, _provenance: str | None) -> Answer:
        how, _, which = rest.partition("/")
        which, _, deed = which.partition("/")
        if verb == "GET" and deed == "health":
            shown = self.secrets.get(which, {}).get("httpHeaderValue1")
            if self.influx_token and shown != f"Token {self.influx_token}":
                return 400, {"status": "ERROR", "message": "error performing influxQL query: 401 Unauthorized"}
            return 200, {"status": "OK", "message": "OK"}
        if verb == "GET":
            found = [source for source in self.sources.values() if source["uid" if how == "uid" else "name"] == which.replace("%20", " ")]
            if not found:
                raise Refused(404, "Data source not found")
            return 200, found[0]
        if verb == "POST":
            if any(source["name"] == body["name"] for source in self.sources.values()):
                raise Refused(409, "data source with the same name already exists")
            which = body["uid"]
        elif self.sources[which].get("readOnly"):
            raise Refused(403, "Cannot update read-only data source")
        version = self.sources.get(which, {}).get("version", 0) + 1
        secrets = self.secrets.setdefault(which, {})
        secrets |= body.pop("secureJsonData", {})
        fields = {"secureJsonFields": dict.fromkeys(secrets, True), "readOnly": False, "isDefault": False, "basicAuth": False}
        self.sources[which] = {"id": 1, "orgId": 1, **body, **fields, "uid": which, "version": version}
        return 200, {"datasource": self.sources[which], "message": "Datasource added", "name": body["name"]}

    def _dashboards(self, verb: str, rest: str, body: Any, _provenance: str | None) -> Answer:
        if verb == "GET":
            uid = rest.removeprefix("uid/")
            if uid not in self.boards:
                raise Refused(404, "Dashboard not found")
            return 200, self.boards[uid]
        board = body["dashboard"]
        there = self.boards.get(board["uid"])
        if there and there["meta"]["provisioned"]:
            raise Refused(400, "Cannot save provisioned dashboard")
        if there and not body.get("overwrite"):
            raise Refused(412, "The dashboard has been changed by someone else")
        version = there["dashboard"]["version"] + 1 if there else 1
        meta = {"folderUid": body["folderUid"], "provisioned": False, "slug": board["title"].lower()}
        self.boards[board["uid"]] = {"dashboard": board | {"id": 7, "version": version}, "meta": meta}
        return 200, {"status": "success", "uid": board["uid"], "version": version}

    def _alert_rules(self, verb: str, uid: str, body: Any, provenance: str | None) -> Answer:
        if verb == "GET":
            if uid not in self.rules:
                raise Refused(404, "alert rule not found")
            return 200, self.rules[uid]
        if verb == "PUT" and self.rules[uid].get("provenance") != provenance:
            raise Refused(409, "cannot change provenance from 'api' to ''")
        if body["folderUID"] not in self.folders:
            raise Refused(400, "folder does not exist")
        for step in body["data"]:
            if step["datasourceUid"] not in {*self.sources, "__expr__"}:
                raise Refused(400, f"data source {step['datasourceUid']} not found")
            step["model"] |= {"intervalMs": 1000, "maxDataPoints": 43200}
        receiver = body.get("notification_settings", {}).get("receiver")
        if receiver and receiver not in {point["name"] for point in self.points.values()}:
            raise Refused(400, f"receiver {receiver} does not exist")
        made = {"id": 3, "orgID": 1, "updated": "2026-05-20T00:00:00Z"} | ({"provenance": provenance} if provenance else {})
        self.rules[body["uid"]] = body | made
        return 201 if verb == "POST" else 200, self.rules[body["uid"]]

    def _contact_points(self, verb: str, uid: str, body: Any, provenance: str | None) -> Answer:
        if verb == "GET":
            return 200, list(self.points.values())
        needed = {"webhook": "url", "email": "addresses"}[body["type"]]
        if not body["settings"].get(needed):
            raise Refused(400, f"required field '{needed}' is not specified")
        made = {"disableResolveMessage": False} | ({"provenance": provenance} if provenance else {})
        self.points[uid or body["uid"]] = body | made
        return 202, {"message": "contactpoint updated"} if verb == "PUT" else self.points[body["uid"]]


@contextmanager
def serving(grafana: FakeGrafana) -> Iterator[FakeGrafana]:
    """`grafana` on a free port, until the end of the block; its `url` is set."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65536  # an answer in two packets would wait for an acknowledgement

        def _serve(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
            verb = self.command
            grafana.asked.append((verb, self.path))
            if odd := grafana.misbehave(verb, self.path):
                self._send(*odd)
                return
            start = f"{grafana.prefix}/api"
            try:
                if not self.path.startswith(start):
                    raise Refused(404, "Not found")
                token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
                status, said = grafana.answer(verb, self.path.removeprefix(start), token, body, self.headers)
            except Refused as refused:
                status, said = refused.answer
            self._send(status, {"Content-Type": "application/json"}, json.dumps(said).encode())

        def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: Any) -> None: ...

    with answering(Handler) as address:
        grafana.url = f"http://{address}{grafana.prefix}"
        yield grafana
