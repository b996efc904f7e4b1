"""`trainer publish`: offers a model to the hub, hands over the chunks it asks for, and waits for its own answer."""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from hub.clock import Clock
from hub.errors import CheckFailed, DependencyDown, HubError, PermanentError, TransientError
from hub.messages import Message, ModelAnswer, ModelChunk, ModelManifest, ModelState, ModelWant
from hub.offer import CHUNK_BYTES, Golden, Offer, offer_for, private_key, sign
from hub.runtime.mqtt import refusal
from hub.runtime.mqtt.link import KEEPALIVE_S, ConnectionLost, Endpoint, Heard, Link, newest_protocol, tls_context
from hub.settings import MqttSettings
from hub.topics import decode, encode, topic_for, topic_of
from trainer.model_file import told_by
from trainer.run import Run

VALID_FOR = timedelta(days=14)
"""An offer is to be taken within so long."""
AGAIN_S = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Between two connections, from the last one that carried a chunk."""
Tell = Callable[[str], None]


def offer_of(run: Run, clock: Clock) -> tuple[bytes, Offer]:
    """A run's model file, and the offer of it. HubError where it has not been exported."""
    exported = run.read("export.json")
    try:
        content = run.model.read_bytes()
        told, checked = told_by(content), Golden.model_validate((exported or {})["golden"])
    except (OSError, LookupError) as error:
        raise HubError(f"{run.model}: is not there yet, or from another version; `trainer export {run.name}` makes it") from error
    except ValueError as error:
        raise HubError(f"{run.model}: {error}; `trainer export {run.name}` makes it anew") from error
    now = clock.now()
    return content, offer_for(content, told, checked, int(now.timestamp() * 1000), now, now + VALID_FOR)


async def publish(settings: MqttSettings, content: bytes, offer: Offer, key: Path, wait: timedelta, tell: Tell) -> ModelAnswer:
    """Returns the hub's answer once the model is in shadow, or live.

    CheckFailed with the hub's reason where it is refused; DependencyDown where no answer comes in time, or no broker is there.
    """
    manifest = sign(offer, private_key(key))
    publication = _Publication(settings, content, offer, manifest, tell)
    try:
        async with asyncio.timeout(wait.total_seconds()):
            answer = await publication.through()
    except TimeoutError as error:
        raise DependencyDown(publication.silence(wait)) from error
    if answer.status in {"rejected", "rolled_back"}:
        raise CheckFailed(f"the hub refuses it: {answer.reason}")
    return answer


class _Publication:
    """One offer, over as many connections as it takes."""

    def __init__(self, settings: MqttSettings, content: bytes, offer: Offer, manifest: ModelManifest, tell: Tell) -> None:
        self._settings = settings
        self._content = content
        self._offer = offer
        self._manifest = manifest
        self._tell = tell
        self._endpoint = Endpoint(settings, tls_context(settings), KEEPALIVE_S)
        self._client_id = f"{settings.root.replace('/', '-')}-trainer-{secrets.token_hex(4)}"
        self._sent = 0
        self._trouble: str | None = None

    async def through(self) -> ModelAnswer:
        """Try until there is an answer. PermanentError where the broker will never let it through."""
        number = 0
        while True:
            before = self._sent
            try:
                return await self._connected()
            except (TransientError, ConnectionLost) as error:
                if str(error) != self._trouble:
                    self._tell(f"waiting: {error}")
                self._trouble = str(error)
            number = 0 if self._sent > before else number + 1
            await asyncio.sleep(AGAIN_S[min(number, len(AGAIN_S) - 1)])  # noqa: TID251 - real seconds of a real network

    def silence(self, wait: timedelta) -> str:
        """Why there is no answer, as far as can be told."""
        waited = f"no answer within {wait.total_seconds() / 60:g} min"
        if self._trouble is not None:
            return f"{waited}: {self._trouble}"
        if not self._sent:
            return (
                f"{waited}: the broker {self._endpoint.address} holds the offer, and no hub has asked for it; does one run with the plugin"
                f" `inference`, and mqtt.root {self._settings.root!r}? It goes on with the same command"
            )
        return f"{waited}: the hub has fetched {self._sent} chunks and not decided yet; the same command goes on"

    async def _connected(self) -> ModelAnswer:
        link = Link(self._endpoint, self._client_id, await newest_protocol(self._endpoint, self._client_id))
        heard: asyncio.Queue[Message] = asyncio.Queue()
        link.on_message = lambda message: self._heard(message, heard)
        try:
            link.log_in(None)
            code, words = await link.open()
            if code:
                raise PermanentError(refusal.login_refused(self._settings, self._endpoint.address, code, words))
            for refused in await link.subscribe([f"{self._settings.root}/{topic_for(kind).filter}" for kind in (ModelWant, ModelState)]):
                raise PermanentError(refused)
            await self._say(link, self._manifest, retain=True)
            self._trouble = None
            self._tell(f"offered: {self._offer.name} {self._offer.version}, {self._offer.size:,} bytes; waiting for the hub")
            return await self._serve(link, heard)
        finally:
            link.disconnect()
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(link.over), 1.0)
            link.close()

    def _heard(self, message: Heard, heard: "asyncio.Queue[Message]") -> None:
        with suppress(ValueError):
            heard.put_nowait(decode(message.topic.removeprefix(f"{self._settings.root}/"), bytes(message.payload)))

    async def _serve(self, link: Link, heard: "asyncio.Queue[Message]") -> ModelAnswer:
        while True:
            getting = asyncio.ensure_future(heard.get())
            try:
                await asyncio.wait((getting, link.over), return_when=asyncio.FIRST_COMPLETED)
                if not getting.done():
                    raise ConnectionLost(link.over.result())
                message = getting.result()
            finally:
                getting.cancel()
            if isinstance(message, ModelWant) and message.sha256 == self._offer.sha256:
                for index in message.chunks:
                    await self._hand_over(link, index)
            elif isinstance(message, ModelState) and (answer := self._answer_in(message)) is not None:
                if answer.status != "staged":
                    return answer
                self._tell(f"the hub has it: {answer.reason}")

    def _answer_in(self, state: ModelState) -> ModelAnswer | None:
        answer = state.answer
        ours = answer is not None and (answer.sha256, answer.counter) == (self._offer.sha256, self._offer.counter)
        return answer if ours else None

    async def _hand_over(self, link: Link, index: int) -> None:
        data = self._content[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]
        if data:
            await self._say(link, ModelChunk(sha256=self._offer.sha256, index=index, data=data))
            self._sent += 1

    async def _say(self, link: Link, message: Message, *, retain: bool = False) -> None:
        await link.room()
        outcome = await link.outcome(link.send(f"{self._settings.root}/{topic_of(message)}", encode(message), retain=retain))
        if outcome is not None:
            raise outcome
