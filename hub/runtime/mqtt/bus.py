"""The hub's place on the MQTT broker: one `Link` after the other, for ever.

Nothing that matters waits in RAM: what has not been acknowledged is still in the store, and whoever published it is told.
"""

import asyncio
import secrets
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from hub.clock import Clock, SystemClock
from hub.errors import HubError, PermanentError, TransientError
from hub.messages import Message
from hub.runtime.mqtt import refusal
from hub.runtime.mqtt.link import (
    KEEPALIVE_S,
    MQTT_5,
    ConnectionLost,
    Endpoint,
    Heard,
    Link,
    Outcome,
    Protocol,
    Sent,
    newest_protocol,
    protocol_name,
    sent_already,
    tls_context,
)
from hub.runtime.mqtt.readers import Readers
from hub.runtime.mqtt.retained import FACT_FILTERS, Retained
from hub.runtime.mqtt.spread import Spread
from hub.runtime.mqtt.subscription import RAW_HELD, TOPICS_REMEMBERED, MessageSubscription, Raw, Subscription
from hub.runtime.patience import PAUSE_S, STABLE_S, Complaints, Reconnection
from hub.settings import MqttSettings
from hub.topics import DOCTOR_BEAT, HEARTBEAT, HUB_STATE, MAX_PAYLOAD_BYTES, encode, topic_for, topic_of

BEAT_S = 5.0
BEATS_MISSED = 3
ECHO_S = 2.0
"""How long the first heartbeat may take to come back once the broker has acknowledged it, in real seconds."""


class Bus:
    """Carries messages to and from the broker, for as long as the hub lives, whatever becomes of the broker meanwhile."""

    def __init__(
        self,
        settings: MqttSettings,
        clock: Clock,
        log: Any,
        *,
        network: Clock | None = None,
        keepalive_s: int = KEEPALIVE_S,
        part: str | None = None,
    ) -> None:
        """`clock` dates what the user sees. `network` times heartbeats and waits: real seconds, unless a test hurries them.

        `part`: the hub is that part of a station; whether the station is online is not for it to say.
        """
        self._endpoint = Endpoint(settings, None, keepalive_s)
        self.address = self._endpoint.address
        usual = f"{settings.root.replace('/', '-')}-hub"
        self.client_id = (settings.client_id or usual) if part is None else f"{settings.client_id or usual}-{part}"[:64]
        self._speaks = part is None
        self.since: datetime = clock.now()
        """When the bus was connected, or lost its connection."""
        self.last_error: str | None = None
        self.takeovers = 0
        """How often another client took our client id."""
        self._settings = settings
        self._clock = clock
        self._network = network or SystemClock()
        self._log = log
        self._largest_packet = MAX_PAYLOAD_BYTES + 1024
        self._root = settings.root + "/"
        self._reconnection = Reconnection(self._network)
        self._complaints = Complaints(self._network)
        self._retained = Retained()
        self._readers = Readers(self._root, self._complaints, log, self._forget)
        self._protocol: Protocol | None = None
        self._link: Link | None = None
        self._ready = asyncio.Event()
        self._beat = secrets.token_hex(8).encode()
        self._echo = asyncio.Event()
        self._deaf = False
        self._held: dict[str, bytes] = {}
        self._checking = False
        self._dropped = 0
        self._heard_at = self._network.monotonic()
        self._tasks: set[asyncio.Task[None]] = set()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """The broker has let us in, holds what it should, and is alive."""
        return self._ready.is_set()

    @property
    def protocol(self) -> str | None:
        """MQTT version in use: `5` or `3.1.1`."""
        return protocol_name(self._link.protocol if self._link else None)

    @property
    def silent_s(self) -> float:
        """Real seconds since the broker last brought anything, our own heartbeats included."""
        return self._network.monotonic() - self._heard_at

    @property
    def dropped(self) -> int:
        """Messages that arrived and were lost, because their reader, or the whole hub, was too slow."""
        return self._dropped + self._readers.dropped + (self._link.inbox.dropped if self._link else 0)

    @property
    def rejected(self) -> int:
        """Payloads that arrived and were not what their topic promises."""
        return self._readers.rejected

    async def start(self) -> None:
        """Begin to connect, and keep connected; returns at once. Raises SettingsError for an unusable mqtt.ca_file."""
        self._endpoint = replace(self._endpoint, tls=tls_context(self._settings))
        if self._speaks:
            self.announce(HUB_STATE, b"online")
        self._keeper = asyncio.create_task(self._keep_connected(), name="mqtt")

    async def stop(self) -> None:
        """Say `offline`, disconnect, and end all subscriptions; takes 2 s at most."""
        if self._keeper is None:
            return
        was_ready = self._ready.is_set()
        self._ready.clear()
        link, self._link = self._link, None
        self._keeper.cancel()
        if link is not None:
            if was_ready and self._speaks:
                goodbye = link.send(self._root + HUB_STATE, b"offline", retain=True)
                await asyncio.wait((goodbye.outcome,), timeout=1.5)
            if was_ready:
                link.disconnect()
                await asyncio.wait((link.over,), timeout=0.5)
            link.close()
        for task in (self._keeper, *self._tasks):
            task.cancel()
        await asyncio.gather(self._keeper, *self._tasks, return_exceptions=True)
        self._readers.close()

    async def ready(self) -> None:
        """Wait until the bus is connected."""
        await self._ready.wait()

    async def publish(self, message: Message) -> None:
        """Publish a fact. Returns once the broker has acknowledged it.

        Raises TransientError if it has not, or has refused it; PermanentError for what no broker would take (too large).
        """
        [outcome] = await self.publish_all([message])
        if outcome is not None:
            raise outcome

    async def publish_all(self, messages: Sequence[Message]) -> list[Outcome]:
        """Publish facts in order, many in flight. Returns what became of each that was sent.

        Stops sending once one has failed in a way that may pass, so that the rest can be tried again in order.
        """
        link = self._link
        if link is None or not self._ready.is_set():
            return [self._not_connected() for _ in messages[:1]]
        sent: list[Sent] = []
        known, failed = 0, False
        for message in messages:
            await link.room()
            while known < len(sent) and sent[known].outcome.done():
                failed = failed or isinstance(sent[known].outcome.result(), TransientError)
                known += 1
            if failed:
                break
            sent.append(self._send(link, message))
        outcomes = [await link.outcome(each) for each in reversed(sent)][::-1]  # the last first: once it is known, so are the others
        for message, outcome in zip(messages, outcomes, strict=False):
            if outcome is None:
                self._retained.remember(message)
            elif not isinstance(outcome, ConnectionLost):
                self._complain(str(outcome))
        return outcomes

    def _not_connected(self) -> ConnectionLost:
        return ConnectionLost(self.last_error or f"not connected to {self.address} yet")

    def _send(self, link: Link, message: Message) -> Sent:
        try:
            return link.send(self._root + topic_of(message), encode(message), retain=topic_for(type(message)).retained, quiet=True)
        except PermanentError as error:
            return sent_already(error)

    async def publish_raw(self, topic: str, payload: bytes, *, retain: bool = False, rooted: bool = True) -> None:
        """Publish bytes on a topic below the root (or on any, if not `rooted`). Returns and raises like `publish`."""
        if self._link is None or not self._ready.is_set():
            raise self._not_connected()
        link = self._link
        await link.room()
        outcome = await link.outcome(link.send(self._root + topic if rooted else topic, payload, retain=retain))
        if outcome is not None:
            raise outcome

    def announce(self, topic: str, payload: bytes, *, rooted: bool = True) -> None:
        """Retained state, published now and again at every connection; empty to take it back. Below the root, unless not `rooted`."""
        topic = self._root + topic if rooted else topic
        self._retained.announced[topic] = payload
        if self._link is not None and self._ready.is_set():
            self._spawn(self._hold(self._link, ((each, self._retained.announced[each]) for each in [topic])))

    @property
    def root(self) -> str:
        """First part of our topics."""
        return self._root.removesuffix("/")

    def restate(self) -> None:
        """Publish all that the broker should hold again: our states first, then the newest facts."""
        if self._link is not None and self._ready.is_set():
            ours = [(topic, payload) for topic, payload in self._retained.announced.items() if topic.startswith(self._root)]
            facts = [(self._root + topic, payload) for topic, payload in self._retained.missing({})]
            self._spawn(self._hold(self._link, [*ours, *facts]))

    def remember(self, message: Message) -> None:
        """This fact is on the wire since before the hub started: a broker that has lost it gets it at the next connection."""
        self._retained.remember(message)

    def held(self, message: Message) -> bool:
        """Whether the broker held exactly this message when we connected last: then it has been there before."""
        return self._held.get(topic_of(message)) == encode(message)

    def subscribe(self, kinds: Iterable[type[Message]]) -> MessageSubscription:
        """Messages of these kinds, the ones that the broker holds first. What is not what its topic promises is left out."""
        subscription = self._readers.add(kinds)
        self._begin(subscription.filters)
        return subscription

    def subscribe_spread(self, kinds: Iterable[type[Message]], group: str) -> Spread:
        """Messages of these kinds of which each goes to one host of the group; nothing that the broker holds."""
        return Spread(self._settings, group, kinds, self._log)

    def subscribe_raw(self, topic_filter: str, *, limit: int = RAW_HELD, rooted: bool = True) -> Subscription[Raw]:
        """Messages as they stand on the wire, on topics below the root (or on any, if not `rooted`)."""
        subscription = self._readers.add_raw(topic_filter, self._root if rooted else "", limit)
        self._begin(subscription.filters)
        return subscription

    def _begin(self, filters: Sequence[str]) -> None:
        if self._link is not None:
            self._spawn(self._subscribed(self._link.subscribe(filters)))

    async def _subscribed(self, answer: Coroutine[Any, Any, list[str]]) -> None:
        for refused in await answer:
            self._complain(refused)

    def _forget(self, subscription: Subscription[Any]) -> None:
        if self._link is not None:
            self._link.unsubscribe(sorted(set(subscription.filters) - self._wanted()))

    def _wanted(self) -> set[str]:
        """Every topic filter that the hub reads."""
        return {self._root + HEARTBEAT, self._root + HUB_STATE} | self._readers.filters

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep_connected(self) -> None:
        """Make one connection after the other, for as long as the hub lives."""
        while True:
            link, lasted = None, 0.0
            try:
                link = self._link = await self._log_in()
                begun = self._network.monotonic()
                await self._settle_in(link)
                trouble = await self._watch(link)
                lasted = self._network.monotonic() - begun
            except HubError as error:
                trouble = str(error)
            except Exception:  # noqa: BLE001 - a bug here must not end the bus: it is shown, and tried again
                trouble = "a bug in the hub; see the log"
                self._log.exception("the MQTT connection failed in an unexpected way")
            finally:
                self._let_go()
            wait = self._reconnection.wait(lasted)
            self._show_offline(trouble, wait)
            if link is not None and lasted < STABLE_S and await self._thrown_out(link):
                wait = PAUSE_S
                words = "stop it, or give one of them another mqtt.client_id"
                self._show_offline(f"another hub is using client id {self.client_id!r} on {self.address}: {words}", wait)
            await self._network.sleep(wait)

    async def _log_in(self) -> Link:
        """A link that the broker has let in. Raises TransientError in words."""
        if self._protocol != MQTT_5:
            self._protocol = await newest_protocol(self._endpoint, self.client_id)
        link = Link(self._endpoint, self.client_id, self._protocol)
        link.largest_packet = self._largest_packet
        link.on_message = partial(self._arrived, link)
        link.log_in(self._root + HUB_STATE if self._speaks else None)
        try:
            code, words = await link.open()
            if code:
                raise TransientError(refusal.login_refused(self._settings, self.address, code, words))
        except BaseException:
            if not link.answered:
                self._protocol = None  # perhaps it does not speak what we speak: ask it again
            link.close()
            raise
        return link

    async def _settle_in(self, link: Link) -> None:
        """Subscribe, find out whether we hear ourselves, and give the broker all that it should hold."""
        self.last_error = None
        facts = {self._root + each for each in FACT_FILTERS}
        self._held, self._checking = {}, True
        await self._subscribed(link.subscribe(sorted(facts | self._wanted())))
        await self._hear_ourselves(link)
        self._checking = False
        link.unsubscribe(sorted(facts - self._wanted()))
        announced = self._retained.announced
        await self._hold(link, ((topic, announced[topic]) for topic in list(announced)))
        await self._hold(link, ((self._root + topic, payload) for topic, payload in self._retained.missing(self._held)))
        if link.over.done():
            raise ConnectionLost(link.over.result())
        self.since = self._clock.now()
        self._ready.set()
        self._log.info(f"connected to the broker on {self.address} as {self.client_id} with MQTT {self.protocol}")

    async def _hear_ourselves(self, link: Link) -> None:
        """A SUBACK is no proof. And what the broker holds has arrived once the echo has."""
        topic = self._root + HEARTBEAT
        self._echo.clear()
        outcome = await link.outcome(link.send(topic, self._beat))
        if isinstance(outcome, ConnectionLost):
            raise outcome
        with suppress(TimeoutError):
            await asyncio.wait_for(self._echo.wait(), ECHO_S)
        self._deaf = not self._echo.is_set()
        if self._deaf:
            self._complain(str(outcome or refusal.topic_refused(self._settings, self.address, "hear itself on", topic, "no echo")))

    async def _hold(self, link: Link, items: Iterable[tuple[str, bytes]]) -> None:
        """Publish what the broker is to hold, on whole topics."""
        sent = []
        for topic, payload in items:
            try:
                sent.append((topic, payload, link.send(topic, payload, retain=True)))
            except PermanentError as error:
                self._complain(str(error))
            await link.room()
        for topic, payload, pending in sent:
            outcome = await link.outcome(pending)
            if outcome is None and not payload and self._retained.announced.get(topic) == b"":
                del self._retained.announced[topic]
            elif outcome is not None and not isinstance(outcome, ConnectionLost):
                self._complain(str(outcome))

    async def _watch(self, link: Link) -> str:
        """Wait for the end of the connection, and see to it that it does end where nothing comes back; says why it did."""
        missed = 0
        while missed < BEATS_MISSED:
            link.heard = False
            beat = link.send(self._root + HEARTBEAT, self._beat, quiet=not self._deaf)
            if self._deaf:
                beat.outcome.add_done_callback(partial(self._answered, link))
            pause = asyncio.ensure_future(self._network.sleep(BEAT_S))
            try:
                await asyncio.wait((pause, link.over), return_when=asyncio.FIRST_COMPLETED)
            finally:
                pause.cancel()
            if link.over.done():
                return link.over.result()
            missed = 0 if link.heard else missed + 1
        return f"no sign of life from {self.address} for {BEAT_S * BEATS_MISSED:.0f} s, though the connection looked open"

    def _answered(self, link: Link, beat: "asyncio.Future[Outcome]") -> None:
        if not isinstance(beat.result(), ConnectionLost):
            link.heard, self._heard_at = True, self._network.monotonic()

    async def _thrown_out(self, link: Link) -> bool:
        """Whether to give way: five connections in a minute have ended early, and another hub is there."""
        self.takeovers += link.taken_over
        if not self._reconnection.ended_early():
            return False
        if not link.taken_over and await self._another_hub():
            self.takeovers += 1
            return True
        return link.taken_over

    async def _another_hub(self) -> bool:
        """Whether the heartbeat of another hub is heard while we are away. Not every broker says who threw us out."""
        heard = asyncio.Event()
        link = Link(self._endpoint, self.client_id + "-probe", self._protocol or MQTT_5)
        link.on_message = lambda message: None if message.payload == self._beat or message.payload.startswith(DOCTOR_BEAT) else heard.set()
        link.log_in(None)
        pause = asyncio.ensure_future(self._network.sleep(2 * BEAT_S))
        sign = asyncio.ensure_future(heard.wait())
        try:
            await link.open()
            await link.subscribe([self._root + HEARTBEAT])
            await asyncio.wait((pause, sign, link.over), return_when=asyncio.FIRST_COMPLETED)
        except TransientError:
            return False
        finally:
            pause.cancel()
            sign.cancel()
            link.close()
        return heard.is_set()

    def _let_go(self) -> None:
        link, self._link = self._link, None
        self._checking = False
        if link is not None:
            link.close()
            self._dropped += link.inbox.dropped
            self._largest_packet = link.learnt_limit or self._largest_packet

    def _show_offline(self, trouble: str, wait: float) -> None:
        if self._ready.is_set():
            self._ready.clear()
            self.since = self._clock.now()
        if trouble != self.last_error:
            self.last_error = trouble
            self._log.warning(f"MQTT offline: {trouble}", retry_in_s=round(wait, 1))

    def _arrived(self, link: Link, message: Heard) -> None:
        link.heard = True
        self._heard_at = self._network.monotonic()
        payload = bytes(message.payload)
        try:
            topic = message.topic
        except UnicodeDecodeError as error:
            self._readers.reject("a topic that is not UTF-8", error)
            return
        if topic == self._root + HEARTBEAT:
            if payload == self._beat:
                self._deaf = False
                self._echo.set()
            return
        if topic == self._root + HUB_STATE and payload != b"online" and self._speaks and self._ready.is_set():
            self._spawn(self._hold(link, [(topic, b"online")]))  # somebody's late last will: we are still here
        if message.retain and self._checking and len(self._held) < TOPICS_REMEMBERED:
            self._held[topic.removeprefix(self._root)] = payload
        self._readers.take(topic, payload, retained=message.retain)

    def _complain(self, words: str) -> None:
        """Show trouble, but not more than once a minute."""
        self.last_error = words
        if self._complaints.due(words):
            self._log.error(words)
