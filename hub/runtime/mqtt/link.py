"""One connection to the broker, from CONNECT to its end, and the only file that knows paho.

paho's thread only hands over what it hears; everything else happens on the event loop.
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from hub.clock import SystemClock
from hub.errors import HubError, PermanentError, SettingsError, TransientError
from hub.runtime.mqtt import refusal
from hub.runtime.mqtt.inbox import Inbox
from hub.settings import MqttSettings
from hub.topics import MAX_PAYLOAD_BYTES

MQTT_5, MQTT_3_1_1 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311
KEEPALIVE_S = 15
ANSWER_S = 10.0
"""Patience with the broker, in real seconds: for a connection, a SUBACK."""
ACKNOWLEDGE_S = 30.0
"""Patience with a PUBACK, in real seconds."""
IN_FLIGHT = 100
"""Messages with paho at a time. Of these, 20 are on the wire, or fewer where the broker says so."""
SURELY_TAKEN_BYTES = 16_384
PACKET_BYTES = 4 * MAX_PAYLOAD_BYTES
"""The broker is asked to keep larger packets from us (MQTT 5): they would be read into memory whole."""

Protocol = MQTTProtocolVersion
Heard = paho.MQTTMessage
"""A message as it arrives."""
Outcome = HubError | None
"""What became of a message: None once the broker has acknowledged it."""

QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux only


class ConnectionLost(TransientError):
    """The connection ended; nobody knows what became of messages in flight."""


class TidySocket(ssl.SSLSocket):
    """Closes itself when the handshake fails; paho leaves it open."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


class _Client(paho.Client):
    """Sleeps until there is something to do, or to look at its keepalive; paho's own wakes every second for nothing."""

    def loop_forever(self, timeout: float = 1.0, retry_first_connection: bool = False) -> MQTTErrorCode:
        return super().loop_forever(max(timeout, self.keepalive / 3), retry_first_connection)


@dataclass(frozen=True)
class Endpoint:
    """The broker, and how to speak to it."""

    settings: MqttSettings
    tls: ssl.SSLContext | None
    keepalive_s: int

    @property
    def address(self) -> str:
        return self.settings.address


@dataclass(slots=True, frozen=True)
class Sent:
    """A message that paho has, and what becomes of it."""

    topic: str
    size: int
    outcome: "asyncio.Future[Outcome]"
    mid: int = 0


def sent_already(outcome: Outcome) -> Sent:
    """For a message that never got as far as paho."""
    future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    future.set_result(outcome)
    return Sent("", 0, future)


class Link:
    """One connection to the broker, from CONNECT to its end. It is never mended: the Bus makes another."""

    def __init__(self, endpoint: Endpoint, client_id: str, protocol: MQTTProtocolVersion) -> None:
        self.protocol = protocol
        self.window = IN_FLIGHT
        self.largest_packet = MAX_PAYLOAD_BYTES + 1024
        self.learnt_limit: int | None = None
        """Set where the broker threw us out for a message that was too large, without having said how large one may be."""
        self.answered = False
        """The broker has answered our login."""
        self.taken_over = False
        self.heard = False
        """Set by everything that proves that the way there and back is alive."""
        self.over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Done when the connection has ended, with the reason in words."""
        self.on_message: Callable[[Heard], None] = lambda _message: None
        self._settings = endpoint.settings
        self._address = endpoint.address
        self._keepalive_s = endpoint.keepalive_s
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[TransientError | tuple[int, str]] = self._loop.create_future()
        self._pending: dict[int, Sent] = {}
        self._quiet: set[int] = set()
        self._subscribing: dict[int, asyncio.Future[list[Any]]] = {}
        self._closed = False
        self.inbox = Inbox(self._loop)
        self._client = self._make_client(client_id, endpoint.tls)

    def _make_client(self, client_id: str, tls: ssl.SSLContext | None) -> paho.Client:
        transport: Literal["unix", "tcp"] = "unix" if self._settings.on_socket else "tcp"
        client = _Client(CallbackAPIVersion.VERSION2, client_id, protocol=self.protocol, transport=transport, reconnect_on_failure=False)
        client.suppress_exceptions = True
        if tls is not None:
            client.tls_set_context(tls)
        put = self.inbox.put
        client.on_connect = lambda _client, _data, _flags, reason, properties: put(self._connected, reason, properties)
        client.on_disconnect = lambda _client, _data, flags, reason, _properties: put(self._disconnected, flags, reason)
        client.on_publish = lambda _client, _data, mid, reason, _properties: self._on_publish(mid, reason)
        client.on_subscribe = lambda _client, _data, mid, reasons, _properties: put(self._subscribed, mid, reasons)
        client.on_message = lambda _client, _data, message: put(self._arrived, message, size=len(message.payload) + 256)
        return client

    def log_in(self, will_topic: str | None) -> None:
        """Give user name and password, and leave a last will with the broker: `offline`, retained."""
        if self._settings.username is not None:
            password = self._settings.password
            self._client.username_pw_set(self._settings.username, password.get_secret_value() if password else None)
        if will_topic is not None:
            self._client.will_set(will_topic, b"offline", qos=1, retain=True)

    async def open(self, *, bare: bool = False) -> tuple[int, str]:
        """Connect, and return the broker's reason code (0: welcome) and its words. Raises TransientError, in words, if there is no answer.

        `bare`: without any of MQTT 5's properties.
        """
        properties = None
        if self.protocol == MQTT_5 and not bare:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.MaximumPacketSize = PACKET_BYTES
        threading.Thread(target=self._connect, args=(properties,), name="mqtt-connect", daemon=True).start()
        await asyncio.wait((self._opened,), timeout=ANSWER_S)
        if not self._opened.done():
            words = f"does not answer a login with MQTT {protocol_name(self.protocol)}: check mqtt.port; is that a broker?"
            raise TransientError(f"{self._address} {words}")
        outcome = self._opened.result()
        if isinstance(outcome, TransientError):
            raise outcome
        self.answered = True
        return outcome

    def _connect(self, properties: Properties | None) -> None:
        """In a thread of its own: looking up a name and shaking hands can take long."""
        try:
            if self._settings.on_socket:
                _knock(self._settings.host)
            self._client.connect(self._settings.host, self._settings.port, self._keepalive_s, properties=properties)
        except (OSError, ValueError) as error:
            words = refusal.unreachable(self._settings, self._address, error, SystemClock().now())
            self.inbox.put(self._cannot_open, TransientError(words))
        else:
            if self._closed:
                self.close()
            else:
                if not self._settings.on_socket:
                    self._client.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # type: ignore[union-attr]
                self._client.loop_start()

    def _on_publish(self, mid: int, reason: Any) -> None:
        """In paho's thread. The broker's kernel keeps the next answers back until ours has confirmed this one: 40 ms, unless told."""
        if QUICKACK is not None and not self._settings.on_socket and (connection := self._client.socket()) is not None:
            with suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)  # type: ignore[attr-defined]
        self.inbox.put(self._acknowledged, mid, reason, wake=mid not in self._quiet)

    def send(self, topic: str, payload: bytes, *, retain: bool = False, quiet: bool = False) -> Sent:
        """Put a message on the wire. Raises PermanentError for what no broker would take.

        `quiet`: the broker's answer wakes nobody until somebody waits for it.
        """
        size = len(payload) + len(topic) + 16
        if size > self.largest_packet:
            raise PermanentError(f"the message on {topic!r} is too large: {size} bytes, and {self._address} takes {self.largest_packet}")
        if self.over.done():
            return sent_already(ConnectionLost(self.over.result()))
        try:
            mid = self._client.publish(topic, payload, 1, retain).mid
        except ValueError as error:
            raise PermanentError(f"{topic!r} cannot be published on: {error}") from error
        self._pending[mid] = sent = Sent(topic, size, self._loop.create_future(), mid)
        if quiet:
            self._quiet.add(mid)
        return sent

    async def room(self) -> None:
        """Wait, where the window is full, until half of it is free."""
        if len(self._pending) >= self.window:
            await self.outcome(next(islice(self._pending.values(), self.window // 2, None)))

    async def outcome(self, sent: Sent) -> Outcome:
        """What became of a message; after 30 s without any answer the connection is given up."""
        if not sent.outcome.done():
            self._quiet.discard(sent.mid)
            self.inbox.hand_over()  # the answer may have come quietly
        if not sent.outcome.done():
            await asyncio.wait((sent.outcome,), timeout=ACKNOWLEDGE_S)
            if not sent.outcome.done():
                self._end(f"{self._address} has not acknowledged a message for {ACKNOWLEDGE_S:.0f} s")
        return sent.outcome.result()

    def subscribe(self, filters: Sequence[str]) -> Coroutine[Any, Any, list[str]]:
        """Subscribe to whole topic filters, at once. What is returned awaits the answer, and gives the refusals in words."""
        answered: asyncio.Future[list[Any]] = self._loop.create_future()
        mid = None
        if filters and not self.over.done():
            _, mid = self._client.subscribe([(wanted, 1) for wanted in filters])
        if mid is None:
            answered.set_result([])
        else:
            self._subscribing[mid] = answered
        return self._refusals(filters, answered)

    async def _refusals(self, filters: Sequence[str], answered: "asyncio.Future[list[Any]]") -> list[str]:
        await asyncio.wait((answered, self.over), timeout=ANSWER_S, return_when=asyncio.FIRST_COMPLETED)
        if not answered.done():
            self._end(f"{self._address} does not answer a subscription")
            return []
        answers = zip(filters, answered.result(), strict=False)
        refused = [(wanted, str(reason)) for wanted, reason in answers if reason.is_failure]
        return [refusal.topic_refused(self._settings, self._address, "subscribe to", wanted, words) for wanted, words in refused]

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """No more messages for these filters."""
        if filters and not self.over.done():
            self._client.unsubscribe(list(filters))

    def disconnect(self) -> None:
        """Say goodbye, so that the last will is not published."""
        self._client.disconnect()

    def close(self) -> None:
        """Cut the connection, whatever state it or its thread is in."""
        self._closed = True
        if (connection := self._client.socket()) is not None:
            with suppress(OSError):
                connection.shutdown(2)  # type: ignore[attr-defined]
        self._end("closed")

    def _connected(self, reason: Any, properties: Properties) -> None:
        if not reason.is_failure:
            receive_maximum = getattr(properties, "ReceiveMaximum", 65_535)
            if receive_maximum < self._client.max_inflight_messages:
                self.window = max(1, receive_maximum - 1)  # one is kept for the heartbeat
            self.largest_packet = min(self.largest_packet, getattr(properties, "MaximumPacketSize", self.largest_packet))
        if not self._opened.done():
            self._opened.set_result((reason.value, str(reason)))

    def _disconnected(self, flags: Any, reason: Any) -> None:
        if self._pending and reason.value in refusal.SAID_OF_TOO_LARGE:
            largest = max(sent.size for sent in self._pending.values())
            self.learnt_limit = largest - 1 if largest > SURELY_TAKEN_BYTES else None
        if flags.is_disconnect_packet_from_server:
            self.taken_over = reason.value == refusal.TAKEN_OVER
            self._end(f"{self._address} ended the connection: {reason}")
        else:
            self._end(f"{self._address} cut the connection" if reason.is_failure else "disconnected")

    def _acknowledged(self, mid: int, reason: Any) -> None:
        self._quiet.discard(mid)
        if (sent := self._pending.pop(mid, None)) is None:
            return
        error: Outcome = None
        if reason.is_failure:
            kind = PermanentError if reason.value in refusal.NEVER_ACCEPTED else TransientError
            error = kind(refusal.topic_refused(self._settings, self._address, "publish on", sent.topic, str(reason)))
        if not sent.outcome.done():
            sent.outcome.set_result(error)

    def _subscribed(self, mid: int, reasons: list[Any]) -> None:
        if (answered := self._subscribing.pop(mid, None)) is not None and not answered.done():
            answered.set_result(reasons)

    def _arrived(self, message: Heard) -> None:
        if not self.over.done():
            self.on_message(message)

    def _cannot_open(self, error: TransientError) -> None:
        if not self._opened.done():
            self._opened.set_result(error)

    def _end(self, words: str) -> None:
        self._cannot_open(ConnectionLost(f"{words} before it let us in: {refusal.about_tls(self._settings)}"))
        if self.over.done():
            return
        self.over.set_result(words)
        for sent in self._pending.values():
            if not sent.outcome.done():
                sent.outcome.set_result(ConnectionLost(words))
        self._pending.clear()


def _knock(path: str) -> None:
    """OSError where nobody opens; paho would leave its own socket open then."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.connect(path)


def protocol_name(protocol: MQTTProtocolVersion | None) -> str | None:
    """`5` or `3.1.1`."""
    return {MQTT_5: "5", MQTT_3_1_1: "3.1.1", None: None}[protocol]


def tls_context(settings: MqttSettings) -> ssl.SSLContext | None:
    """How to check the broker's certificate; None without TLS. SettingsError for an unusable mqtt.ca_file."""
    if not settings.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:
        words = f"mqtt.ca_file: {settings.ca_file} cannot be used as a certificate authority: {error.strerror or error}"
        raise SettingsError(words) from error
    context.sslsocket_class = TidySocket
    return context


async def newest_protocol(endpoint: Endpoint, client_id: str) -> MQTTProtocolVersion:
    """The newest protocol that the broker speaks. amqtt refuses MQTT 5 only where nothing else in the packet confuses it."""
    link = Link(endpoint, client_id + "-probe", MQTT_5)
    try:
        code, _ = await link.open(bare=True)
        link.disconnect()
    except ConnectionLost:
        return MQTT_3_1_1
    finally:
        link.close()
    return MQTT_3_1_1 if code == refusal.UNSUPPORTED_PROTOCOL else MQTT_5
