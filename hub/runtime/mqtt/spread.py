"""Messages of which every one goes to one host of several: a shared subscription, on a connection of its own.

On the hub's own connection they would also arrive by its other subscriptions, and nobody could tell which.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from typing import Any

from hub.clock import SystemClock
from hub.errors import HubError, TransientError
from hub.messages import Message
from hub.runtime.mqtt import refusal
from hub.runtime.mqtt.link import KEEPALIVE_S, ConnectionLost, Endpoint, Heard, Link, newest_protocol, tls_context
from hub.runtime.mqtt.subscription import MESSAGES_HELD
from hub.settings import MqttSettings
from hub.topics import decode, topic_for

WAITS_S = (1.0, 2.0, 5.0, 10.0, 30.0)


class Spread:
    """`async for message in spread`, for ever. A reader that falls a thousand behind loses the oldest."""

    def __init__(self, settings: MqttSettings, group: str, kinds: Iterable[type[Message]], log: Any) -> None:
        """`group`: who shares; one name for all hosts."""
        self._endpoint = Endpoint(settings, tls_context(settings), KEEPALIVE_S)
        self._client_id = f"{settings.root.replace('/', '-')}-{group}-{secrets.token_hex(4)}"[:64]
        self._root = f"{settings.root}/"
        self._filters = [f"$share/{group}/{self._root}{topic_for(kind).filter}" for kind in kinds]
        self._settings = settings
        self._log = log
        self._trouble: str | None = None

    async def __aiter__(self) -> AsyncIterator[Message]:
        tries = 0
        while True:
            arrived: deque[Heard] = deque(maxlen=MESSAGES_HELD)
            rung = asyncio.Event()
            link: Link | None = None
            try:
                link = await self._opened(arrived, rung)
                tries = 0
                while not link.over.done():
                    while arrived:
                        if (message := self._decoded(arrived.popleft())) is not None:
                            yield message
                    rung.clear()
                    waiting = asyncio.ensure_future(rung.wait())
                    ends: set[asyncio.Future[Any]] = {waiting, link.over}
                    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                    waiting.cancel()
                self._say(str(link.over.result()))
            except HubError as error:
                self._say(str(error))
            finally:
                if link is not None:
                    link.disconnect()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(asyncio.shield(link.over), 1.0)
                    link.close()
            await SystemClock().sleep(WAITS_S[min(tries, len(WAITS_S) - 1)])
            tries += 1

    async def _opened(self, arrived: deque[Heard], rung: asyncio.Event) -> Link:
        """Connected and subscribed. TransientError, PermanentError or ConnectionLost, in words."""
        link = Link(self._endpoint, self._client_id, await newest_protocol(self._endpoint, self._client_id))

        def heard(message: Heard) -> None:
            arrived.append(message)
            rung.set()

        link.on_message = heard
        link.log_in(None)
        try:
            code, words = await link.open()
            if code:
                raise TransientError(refusal.login_refused(self._settings, self._endpoint.address, code, words))
            for refused in await link.subscribe(self._filters):
                raise TransientError(refused)
            if link.over.done():
                raise ConnectionLost(link.over.result())
        except BaseException:
            link.close()
            raise
        self._trouble = None
        return link

    def _decoded(self, message: Heard) -> Message | None:
        try:
            return decode(message.topic.removeprefix(self._root), bytes(message.payload))
        except ValueError:
            return None  # the hub's own subscription says what is wrong with it

    def _say(self, words: str) -> None:
        if words != self._trouble:
            self._log.warning("a flow that is spread over hosts hears nothing", reason=words)
        self._trouble = words
