"""A real InfluxDB for tests, a proxy that makes it speak v2, and a server that answers as a script says."""

import asyncio
import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import httpx

from tests.brokers import free_port, wait_for_port

INFLUXD = shutil.which("influxd") or "/usr/bin/influxd"
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
INFLUXD_CONF = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
query-log-enabled = false
[http]
bind-address = "127.0.0.1:{port}"
auth-enabled = {auth}
log-enabled = false
max-body-size = {max_body}
[monitor]
store-enabled = false
[subscriber]
enabled = false
[continuous_queries]
enabled = false
[logging]
level = "warn"
"""
NGINX_CONF = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{}}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  client_max_body_size {max_body};
  server {{
    listen 127.0.0.1:{port};
    location = /ping {{ add_header X-Influxdb-Version v2.7.1 always; add_header X-Influxdb-Build OSS always; return 204; }}
    location = /api/v2/write {{
      if ($http_authorization != "Token {token}") {{
        return 401 '{{"code":"unauthorized","message":"unauthorized access"}}';
      }}
      proxy_set_header Authorization "";
      proxy_pass http://127.0.0.1:{influxd}/write?db=$arg_bucket&precision=$arg_precision;
    }}
    location = /api/v2/buckets {{ default_type application/json; return 200 '{buckets}'; }}
  }}
}}
"""


class Influx:
    """InfluxDB 1.6.7 in a folder of its own; it can be killed, and started again on the same port."""

    def __init__(self, folder: Path, *, auth: bool = False, max_body: int = 25_000_000) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder / "influxd"
        self._folder.mkdir()
        self._process: subprocess.Popen[bytes] | None = None
        self._auth: tuple[str, str] | None = None
        values = {"rpc": free_port(), "port": self.port, "auth": str(auth).lower(), "max_body": max_body}
        (self._folder / "conf").write_text(INFLUXD_CONF.format(folder=self._folder, **values))

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [INFLUXD, "-config", str(self._folder / "conf")], stdout=log, stderr=log, env={"HOME": str(self._folder)}
            )
        wait_for_port(self.port, 30)

    def kill(self) -> None:
        """As a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def log_in(self, user: str, password: str) -> None:
        """Who asks from now on."""
        self._auth = (user, password)

    def query(self, statement: str, bucket: str = "tickerml") -> list[dict[str, Any]]:
        """The rows of an InfluxQL statement, each with its tags; times in ns."""
        answer = httpx.post(
            f"{self.url}/query",
            data={"q": statement, "db": bucket, "epoch": "ns"},
            auth=self._auth,
            timeout=30,
            trust_env=False,
        )
        results = answer.json()["results"]
        assert not any("error" in result for result in results), results
        return [
            dict(zip(series["columns"], row, strict=True)) | series.get("tags", {})
            for result in results
            for series in result.get("series", [])
            for row in series.get("values", [])
        ]

    def write(self, text: str, bucket: str = "tickerml") -> httpx.Response:
        """Write line protocol past the plugin."""
        params = {"db": bucket, "precision": "ns"}
        return httpx.post(f"{self.url}/write", params=params, content=text.encode(), auth=self._auth, trust_env=False)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.kill()


@contextlib.contextmanager
def speaking_v2(influx: Influx, folder: Path, *, token: str = "secret", max_body: str = "8m", buckets: Any = None) -> Iterator[str]:
    """A proxy before `influx` that says it is 2.7 and takes v2's writes; `buckets`: what its buckets API answers. Yields its address."""
    port, home = free_port(), folder / "nginx"
    home.mkdir()
    known = [{"id": f"{number:016x}", "orgID": "0" * 16, "name": name, "retentionRules": []} for number, name in enumerate(buckets or [])]
    text = json.dumps({"buckets": known})
    conf = NGINX_CONF.format(folder=home, port=port, influxd=influx.port, token=token, max_body=max_body, buckets=text)
    (home / "conf").write_text(conf)
    with subprocess.Popen([NGINX, "-p", str(home), "-c", str(home / "conf")], stderr=subprocess.DEVNULL) as process:
        try:
            wait_for_port(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


class Asked(NamedTuple):
    """One request that arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def lines(self) -> list[str]:
        return self.body.decode().split("\n")


Answer = tuple[int, dict[str, str], bytes]
STORED: Answer = (204, {}, b"")


class ScriptedInflux:
    """A server on a real socket that looks like InfluxDB 1 and 2, and answers writes as `script` says (None: stored)."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.asked: list[Asked] = []
        self.stored: list[str] = []
        """Lines of the writes that were answered with 204."""
        self.script: Callable[[Asked], Answer | None] = lambda _: None
        self.raw: Callable[[Asked, asyncio.StreamWriter], bool] = lambda _asked, _writer: False
        """May answer by itself, wrongly, and say so."""
        self.version = "1.6.7"
        self.databases: list[str] = ["tickerml", "tickerml_long"]
        self.rules: dict[str, Any] = {}
        """Retention rules of v2's buckets, by name."""
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def writes(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.path.endswith("/write")]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        try:
            while True:
                asked = await _read(reader)
                self.asked.append(asked)
                if self.raw(asked, writer):
                    await writer.drain()
                    await asyncio.sleep(3600 if not writer.is_closing() else 0)
                    return
                self._answer(asked, writer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    def _answer(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        status, headers, body = self.script(asked) or self._usual(asked)
        if asked.path.endswith("/write") and status == 204:
            self.stored += asked.lines
        lines = [f"HTTP/1.1 {status} As-it-is", f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if status == 204 else body))

    def _usual(self, asked: Asked) -> Answer:
        plain = {"Content-Type": "application/json", "X-Influxdb-Version": self.version}
        if asked.path == "/query":
            statement = httpx.QueryParams(asked.body.decode())["q"]
            values: list[Any] = [[name] for name in self.databases]
            if statement.startswith("SHOW RETENTION"):
                values = [["autogen", "0s", "168h0m0s", 1, True]]
            elif statement.startswith("CREATE DATABASE"):
                self.databases.append(statement.split('"')[1])
                values = []
            return 200, plain, json.dumps({"results": [{"statement_id": 0, "series": [{"values": values}]}]}).encode()
        if asked.path == "/api/v2/orgs":
            return 200, plain, json.dumps({"orgs": [{"id": "0" * 16, "name": asked.query.get("org")}]}).encode()
        if asked.path.startswith("/api/v2/buckets"):
            return self._buckets(asked, plain)
        return 204, plain, b""

    def _buckets(self, asked: Asked, plain: dict[str, str]) -> Answer:
        if asked.method in {"POST", "PATCH"}:
            wish = json.loads(asked.body)
            self.rules[wish["name"]] = wish["retentionRules"]
            if asked.method == "POST":
                self.databases.append(wish["name"])
            return 201 if asked.method == "POST" else 200, plain, json.dumps(wish | {"id": "0" * 16}).encode()
        known = [name for name in self.databases if name == asked.query.get("name")]
        found = [{"id": "0" * 16, "orgID": "0" * 16, "name": name, "retentionRules": self.rules.get(name, [])} for name in known]
        return 200, plain, json.dumps({"buckets": found}).encode()


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    url = httpx.URL(head[0].split(" ")[1])
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Asked(head[0].split(" ")[0], url.path, dict(url.params), headers, body)


def until(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    """Until it is so; the limit is only there so that a failure ends."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.05)
