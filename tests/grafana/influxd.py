"""A real InfluxDB 1.6 (Debian's), on ports of its own."""

import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INFLUXD = "/usr/bin/influxd"
CONFIG = """\
reporting-disabled = true
bind-address = "127.0.0.1:{inner}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:{port}"
  log-enabled = false
"""


@dataclass(frozen=True)
class Series:
    """One series of an answer."""

    tags: dict[str, str]
    columns: list[str]
    values: list[list[Any]]


class Refused(Exception):
    """The database did not understand; its own words."""


@dataclass(frozen=True)
class Influx:
    """A running InfluxDB."""

    url: str

    def ask(self, database: str, query: str) -> list[Series]:
        """The answer's series, times in ms. Refused if there is an error in it."""
        body = urllib.parse.urlencode({"db": database, "q": query, "epoch": "ms"}).encode()
        try:
            with urllib.request.urlopen(f"{self.url}/query", body, timeout=30) as answer:
                result = json.load(answer)["results"][0]
        except urllib.error.HTTPError as error:
            raise Refused(f"{error.read().decode()}\n{query}") from error
        if "error" in result:
            raise Refused(f"{result['error']}\n{query}")
        return [Series(one.get("tags", {}), one["columns"], one["values"]) for one in result.get("series", [])]

    def write(self, database: str, lines: list[str]) -> None:
        """Line protocol, times in ms."""
        self.ask(database, f'CREATE DATABASE "{database}"')
        for start in range(0, len(lines), 5000):
            body = "\n".join(lines[start : start + 5000]).encode()
            urllib.request.urlopen(f"{self.url}/write?db={database}&precision=ms", body, timeout=30).close()


@contextmanager
def running(folder: Path) -> Iterator[Influx]:
    """An InfluxDB with its files in `folder`, until the end of the block."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        port, inner = one.getsockname()[1], other.getsockname()[1]
    config = folder / "influxdb.conf"
    config.write_text(CONFIG.format(folder=folder, port=port, inner=inner), encoding="utf-8")
    log = (folder / "influxd.log").open("wb")
    with log, subprocess.Popen([INFLUXD, "-config", str(config)], stdout=log, stderr=log) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            _await(url, process, folder / "influxd.log")
            yield Influx(url)
        finally:
            process.kill()


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{url}/ping", timeout=5).close()
        except OSError:
            assert process.poll() is None, log.read_text()[-2000:]
            time.sleep(0.1)
        else:
            return
    raise AssertionError(log.read_text()[-2000:])
