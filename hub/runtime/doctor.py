"""Looks at everything the hub needs, and says for each what is wrong and how to mend it."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hub.clock import SystemClock
from hub.errors import HubError
from hub.runtime import control
from hub.runtime.lineup import STORE_FILE, line_up
from hub.runtime.store import SqliteStore
from hub.settings import Configuration

LEAST_FREE_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class Finding:
    """One line of the doctor."""

    what: str
    ok: bool
    text: str
    needed: bool = True


async def examine(configuration: Configuration) -> list[Finding]:
    """Every finding; a needed one that is not ok means that the hub cannot do its work."""
    clock = SystemClock()
    members = await line_up(configuration, clock)
    findings = [Finding("config", False, problem) for problem in configuration.problems]
    findings = findings or [Finding("config", True, f"{configuration.source}, {len(members)} plugins")]
    for member in members:
        findings.append(
            Finding(f"plugin {member.name}", not member.failure, member.failure or f"loaded ({member.offer and member.offer.origin})")
        )
    findings += _disk(configuration.data_dir)
    findings += await asyncio.to_thread(lambda: list(_store(configuration.data_dir)))
    findings.append(await _broker(configuration))
    findings += await _exchange(configuration)
    findings += await _influxdb(configuration)
    await asyncio.gather(*(member.leave() for member in members))
    return findings


def _disk(data_dir: Path) -> list[Finding]:
    there = next(folder for folder in (data_dir.absolute(), *data_dir.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return [Finding("disk", False, f"{there} cannot be written: {error.strerror}; make it writable, or set data_dir")]
    text = f"{free // 2**20} MiB free at {there}"
    return [Finding("disk", free > LEAST_FREE_BYTES, text if free > LEAST_FREE_BYTES else f"{text}; free some space")]


def _store(data_dir: Path) -> Iterator[Finding]:
    file = data_dir / STORE_FILE
    if not file.exists():
        yield Finding("store", True, "none yet; `hub run` makes it")
        return
    try:
        store = SqliteStore.open(file, SystemClock(), read_only=True)
        yield Finding("store", True, f"{file}, {store.last_seq()} facts for {', '.join(store.symbols()) or 'no symbol yet'}")
        store.close()
    except HubError as error:
        yield Finding("store", False, f"{error}; a damaged store is moved aside and rebuilt at the next start")
    yield Finding("hub", True, "runs" if control.hub_runs(data_dir) else "does not run", needed=False)


async def _broker(configuration: Configuration) -> Finding:
    mqtt = configuration.settings.mqtt
    try:
        async with asyncio.timeout(5):
            _, writer = await asyncio.open_connection(mqtt.host, mqtt.port)
        writer.close()
    except (OSError, TimeoutError) as error:
        if mqtt.embedded:
            return Finding("broker", True, f"nothing listens on {mqtt.host}:{mqtt.port}; the embedded one will")
        return Finding("broker", False, f"{mqtt.host}:{mqtt.port} does not answer ({error}); start it, or set mqtt.embedded: true")
    return Finding("broker", True, f"{mqtt.host}:{mqtt.port} answers")


async def _exchange(configuration: Configuration) -> list[Finding]:
    section = configuration.sections.get("collector")
    source = (section or {}).get("source", "binanceus")
    if section is None or source == "simulated":
        return []
    import httpx

    default = "https://api.binance.com" if source == "binance" else "https://api.binance.us"
    base_url = (section.get(source) or {}).get("base_url", default)
    try:
        async with httpx.AsyncClient(timeout=10.0) as client:
            answer = await client.get(f"{base_url}/api/v3/ping")
    except httpx.HTTPError as error:
        return [Finding("exchange", False, f"{base_url} does not answer: {error or type(error).__name__}; is this machine online?")]
    if answer.status_code == 451:
        return [Finding("exchange", False, f"{base_url} is blocked in your country; choose another plugins.collector.source")]
    return [Finding("exchange", answer.is_success, f"{base_url} answers with HTTP {answer.status_code}")]


async def _influxdb(configuration: Configuration) -> list[Finding]:
    """Not needed: what it does not get now waits on disk."""
    section = configuration.sections.get("influxdb")
    if section is None:
        return []
    import httpx

    url = str(section.get("url", "http://localhost:8086")).rstrip("/")
    try:
        async with httpx.AsyncClient(timeout=10.0) as client:
            answer = await client.get(f"{url}/ping")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return [Finding("influxdb", False, f"{url} does not answer ({error}); start it, or set plugins.influxdb.url", needed=False)]
    version = answer.headers.get("x-influxdb-version")
    text = f"{url} is InfluxDB {version}" if version else f"{url} answers with HTTP {answer.status_code}"
    return [Finding("influxdb", answer.status_code < 500, text, needed=False)]
