"""Looks at everything the hub needs, and says for each what is wrong and how to mend it."""

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub.clock import SystemClock
from hub.configuration import Configuration
from hub.errors import HubError
from hub.flow import Check
from hub.runtime import control, nightly
from hub.runtime.ballast import MIB, TIGHT_BYTES
from hub.runtime.broker_check import try_login
from hub.runtime.discretion import blotted
from hub.runtime.disk_watch import LOW_BYTES
from hub.runtime.lineup import STORE_FILE, Member, line_up
from hub.runtime.store import SqliteStore
from hub.runtime.words import describe, reason_of

LEAST_FREE_BYTES = TIGHT_BYTES
CHECK_S = 20.0


@dataclass(frozen=True)
class Finding:
    """One line of the doctor."""

    what: str
    ok: bool
    text: str
    needed: bool = True


async def examine_now(configuration: Configuration) -> list[Finding]:
    """`hub doctor`: loads the plugins for itself, also beside a running hub."""
    clock = SystemClock()
    keep_out = SqliteStore.reader(configuration.data_dir / STORE_FILE, clock)
    members = await line_up(configuration, clock)
    try:
        for member in members:
            member.ready(clock, keep_out, configuration)
        health = None
        if control.hub_runs(configuration.data_dir):
            with suppress(HubError):
                health = await asyncio.to_thread(control.ask, configuration.data_dir, "health")
        return await examine(configuration, members, health)
    finally:
        await asyncio.gather(*(member.leave() for member in members))
        keep_out.close()


async def examine(
    configuration: Configuration, members: Sequence[Member], health: dict[str, Any] | None, *, patience: float = CHECK_S
) -> list[Finding]:
    """Every finding; a needed one that is not ok means that the hub cannot do its work.

    `health`: what a running hub says of itself. `patience`: with one check, in real seconds.
    """
    checks = [check for member in members for check in member.declared.checks] + _grafana(configuration)
    looks = [
        _store(configuration.data_dir),
        _broker(configuration, patience),
        *(_look(check, patience) for check in checks),
    ]
    store, broker, *others = await asyncio.gather(*looks)
    return [
        *_config(configuration, members),
        *(_plugin(member) for member in members),
        _disk(configuration.data_dir),
        store,
        _hub(configuration.data_dir, health),
        broker,
        Finding("backup", *nightly.told(configuration, SystemClock().now()), needed=False),
        *others,
    ]


def _config(configuration: Configuration, members: Sequence[Member]) -> list[Finding]:
    problems = list(dict.fromkeys(configuration.problems))
    return [Finding("config", False, problem) for problem in problems] or [
        Finding("config", True, f"{configuration.source}, {len(members)} plugins")
    ]


def _plugin(member: Member) -> Finding:
    if member.failure:
        return Finding(f"plugin {member.name}", False, f"{member.failure}; mend it, or remove its section")
    return Finding(f"plugin {member.name}", True, f"loaded ({member.offer and member.offer.origin})")


def _disk(data_dir: Path) -> Finding:
    there = next(folder for folder in (data_dir.absolute(), *data_dir.absolute().parents) if folder.exists())
    try:
        free = shutil.disk_usage(there).free
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return Finding("disk", False, f"{there} cannot be written: {error.strerror}; make it writable, or set data_dir")
    text = f"{free // 2**20} MiB free at {there}"
    if free < LEAST_FREE_BYTES:
        return Finding("disk", False, f"{text}; free some space: the hub needs {LEAST_FREE_BYTES // 2**20} MiB")
    if free < LOW_BYTES:
        return Finding(
            "disk",
            False,
            f"{text}; below {LEAST_FREE_BYTES // MIB} the hub lets go of what can be had again: free some space",
            needed=False,
        )
    return Finding("disk", True, text)


async def _store(data_dir: Path) -> Finding:
    return await asyncio.to_thread(_look_at_store, data_dir / STORE_FILE)


def _look_at_store(file: Path) -> Finding:
    if not file.exists():
        return Finding("store", True, "none yet; `hub run` makes it")
    try:
        store = SqliteStore.open(file, SystemClock(), read_only=True)
        try:
            if damage := store.verdict():
                return Finding("store", False, f"{file}: {damage}; it is moved aside and rebuilt at the next start of the hub")
            return Finding("store", True, f"{file}, {store.last_seq()} facts for {', '.join(store.symbols()) or 'no symbol yet'}")
        finally:
            store.close()
    except HubError as error:
        return Finding("store", False, f"{reason_of(error)}; a damaged store is moved aside and rebuilt at the next start of the hub")


def _hub(data_dir: Path, health: dict[str, Any] | None) -> Finding:
    if health is None:
        if control.hub_runs(data_dir):
            return Finding("hub", False, "runs, and does not answer; stop it, and look at its log", needed=False)
        return Finding("hub", True, "does not run; `hub run` starts it", needed=False)
    broker = health["broker"]
    if trouble := broker["last_error"] or broker["stuck"]:
        return Finding("hub", False, f"runs, and says of the broker: {trouble}", needed=False)
    return Finding("hub", True, f"runs since {health['started_at']}", needed=False)


async def _broker(configuration: Configuration, patience: float) -> Finding:
    mqtt = configuration.settings.mqtt
    if mqtt.embedded and not mqtt.on_socket and not await _somebody_listens(mqtt.host, mqtt.port):
        return Finding("broker", True, f"nothing listens on {mqtt.address}; the embedded one will")
    return await _look(Check("broker", lambda: try_login(mqtt)), patience)


async def _somebody_listens(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(5):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, UnicodeError, TimeoutError):
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


async def _look(check: Check, patience: float) -> Finding:
    time = asyncio.timeout(patience)
    try:
        async with time:
            ok, text = True, str(await check.look())
    except HubError as error:
        ok, text = False, reason_of(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's check may raise anything; the others go on
        ok, text = False, f"no answer within {patience:g} s" if time.expired() else f"the check itself failed: {describe(error)}"
    return Finding(check.name, ok, blotted(text), check.needed)


def _grafana(configuration: Configuration) -> list[Check]:
    """Only where there is a token: nobody needs a Grafana."""
    settings = configuration.settings.grafana
    if settings.token is None:
        return []
    from hub.runtime.grafana import Grafana  # brings requests, which others need not load

    grafana = Grafana(settings.url, settings.token.get_secret_value())

    def look() -> str:
        version = ".".join(map(str, grafana.version()))
        if not grafana.find("/dashboards/uid/tickerml-health", "dashboards:read"):
            raise HubError(f"{settings.url} answers, version {version}; the boards are not there; type: hub grafana push")
        return f"{settings.url} answers, version {version}; the boards are there"

    return [Check("grafana", lambda: asyncio.to_thread(look), needed=False)]
