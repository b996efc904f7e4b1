"""Looks at everything the hub needs, and says for each what is wrong and how to mend it."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from hub.clock import SystemClock
from hub.configuration import Configuration
from hub.errors import HubError
from hub.flow import Check
from hub.offer import CHUNK_BYTES
from hub.runtime import control
from hub.runtime.backups import nightly
from hub.runtime.discretion import blotted
from hub.runtime.disk.store import SqliteStore
from hub.runtime.doctor.finding import Finding, remark
from hub.runtime.doctor.folder import look_at_disk, look_at_store
from hub.runtime.doctor.machine import look_at_machine
from hub.runtime.doctor.running import look_at_hub, state_of
from hub.runtime.hosting.lineup import STORE_FILE, Member, line_up
from hub.runtime.mqtt.broker_check import try_login
from hub.runtime.mqtt.embedded import is_loopback
from hub.runtime.words import describe, reason_of

CHECK_S = 20.0
LARGEST_CHUNK = CHUNK_BYTES + 200
"""As a message, with its topic."""


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
        look_at_store(configuration.data_dir),
        _broker(configuration, patience),
        *(_look(check, patience) for check in checks),
    ]
    store, broker, *others = await asyncio.gather(*looks)
    return [
        *_config(configuration, members),
        *(_plugin(member, health) for member in members),
        *look_at_machine(configuration.data_dir),
        look_at_disk(configuration.data_dir),
        store,
        *look_at_hub(configuration, health),
        broker,
        Finding("backup", *nightly.told(configuration, SystemClock().now()), needed=False),
        *others,
    ]


def _config(configuration: Configuration, members: Sequence[Member]) -> list[Finding]:
    problems = list(dict.fromkeys(configuration.problems))
    return [Finding("config", False, problem) for problem in problems] or [
        Finding("config", True, f"{configuration.source}, {len(members)} plugins")
    ]


def _plugin(member: Member, health: dict[str, Any] | None) -> Finding:
    if member.failure:
        return Finding(f"plugin {member.name}", False, f"{member.failure}; mend it, or remove its section")
    if trouble := state_of(member.name, health):
        state, words = trouble
        return Finding(f"plugin {member.name}", False, f"{state}: {words}", needed=state == "failed")
    return Finding(f"plugin {member.name}", True, f"loaded ({member.offer and member.offer.origin})")


async def _broker(configuration: Configuration, patience: float) -> Finding:
    mqtt = configuration.settings.mqtt
    if mqtt.embedded and not mqtt.on_socket and not await _somebody_listens(mqtt.host, mqtt.port):
        if mqtt.username is None and not is_loopback(mqtt.host):
            return remark(
                "broker", f"the embedded one will let everybody in who reaches {mqtt.address}: set mqtt.username and mqtt.password"
            )
        return Finding("broker", True, f"nothing listens on {mqtt.address}; the embedded one will")
    least: list[int] = []

    async def log_in() -> str:
        login = await try_login(mqtt)
        least.append(login.largest_packet)
        return login.words

    found = await _look(Check("broker", log_in), patience)
    if found.ok and least[0] < LARGEST_CHUNK:
        words = f"takes {least[0]:,} bytes at once, and an offered model comes in pieces of {LARGEST_CHUNK:,}: set max_packet_size 262144"
        return remark("broker", f"{mqtt.address} {words}")
    return found


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
