"""Logs into the broker as the hub would, and hears itself: the only proof that user, password, TLS and ACL are right."""

import asyncio
import secrets
from contextlib import suppress
from dataclasses import dataclass

from hub.errors import PermanentError, TransientError
from hub.runtime.mqtt import refusal
from hub.runtime.mqtt.bus import ECHO_S
from hub.runtime.mqtt.link import KEEPALIVE_S, Endpoint, Link, newest_protocol, protocol_name, tls_context
from hub.settings import MqttSettings
from hub.topics import DOCTOR_BEAT, HEARTBEAT


@dataclass(frozen=True)
class Login:
    """How a broker took us."""

    words: str
    largest_packet: int
    """Bytes that it takes at once."""


async def try_login(settings: MqttSettings) -> Login:
    """What the broker let us do. HubError, with what to change, where it did not."""
    endpoint = Endpoint(settings, tls_context(settings), KEEPALIVE_S)
    client_id = f"{settings.root.replace('/', '-')}-doctor-{secrets.token_hex(4)}"  # not the hub's: that one may be connected
    link = Link(endpoint, client_id, await newest_protocol(endpoint, client_id))
    try:
        link.log_in(None)
        code, words = await link.open()
        if code:
            raise PermanentError(refusal.login_refused(settings, endpoint.address, code, words))
        await _hear_ourselves(link, settings, endpoint.address)
        link.disconnect()
        await asyncio.wait((link.over,), timeout=ECHO_S)
    finally:
        link.close()
    user = f" as {settings.username!r}" if settings.username else ""
    secured = ", TLS" if settings.tls else ""
    words = f"{endpoint.address} lets us in{user} and delivers what we publish (MQTT {protocol_name(link.protocol)}{secured})"
    return Login(words, link.largest_packet)


async def _hear_ourselves(link: Link, settings: MqttSettings, address: str) -> None:
    """On the topic of the hub's own heartbeat, which ignores ours."""
    topic, heard = f"{settings.root}/{HEARTBEAT}", asyncio.Event()
    beat = DOCTOR_BEAT + secrets.token_hex(8).encode()
    link.on_message = lambda message: heard.set() if message.payload == beat else None
    for refused in await link.subscribe([topic]):
        raise PermanentError(refused)
    outcome = await link.outcome(link.send(topic, beat))
    if outcome is not None:
        raise outcome
    with suppress(TimeoutError):
        await asyncio.wait_for(heard.wait(), ECHO_S)
    if link.over.done():
        raise TransientError(f"{link.over.result()} right after our login")
    if not heard.is_set():
        raise PermanentError(refusal.topic_refused(settings, address, "hear itself on", topic, "no echo"))
