"""A hub for tests of models: what the slot decides is recorded as the supervisor would, and a trainer answers what it asks."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from hub.messages import Message, ModelManifest, ModelState, ModelWant
from hub.offer import Offer
from hub.testing import FakeHub, MemoryStore
from plugins.inference.delivery import Delivery
from plugins.inference.settings import InferenceSettings
from plugins.inference.slot import Slot
from tests.offers import chunks_for, trust


class ModelHub:
    """One life of the plugin; `store` and `data_dir` outlive it."""

    def __init__(self, folder: Path, store: MemoryStore | None = None, **settings: Any) -> None:
        self.hub = FakeHub({"shadow": timedelta(hours=24), **settings}, store=store or MemoryStore(), data_dir=folder)
        self.slot = Slot(self.hub)
        self.delivery = Delivery(self.hub, self.hub.settings_for(InferenceSettings), self.slot, self.hub.clock)
        self.content = b""
        self.offer: Offer | None = None
        self.said: list[Message] = []
        self.before_recording: Callable[[Message], None] = lambda _message: None

    @asynccontextmanager
    async def running(self) -> AsyncIterator["ModelHub"]:
        """While it runs, what it yields is recorded, and its wishes are granted."""
        task = asyncio.create_task(self._record())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _record(self) -> None:
        async with aclosing(self.slot.stream()) as stream:
            async for message in stream:
                self.before_recording(message)
                self.hub.store.record([message])
                self.said.append(message)
                if isinstance(message, ModelWant) and self.offer is not None and message.sha256 == self.offer.sha256:
                    await self.delivery.heard(chunks_for(message, self.content, self.offer))

    async def offered(self, offer: Offer, content: bytes, manifest: ModelManifest) -> ModelState:
        """Offer it, and wait for the answer that ends the matter."""
        self.offer, self.content = offer, content
        await self.delivery.heard([manifest])
        return await self.until(
            lambda state: state.answer is not None and state.answer.sha256 == offer.sha256 and state.answer.status != "staged"
        )

    async def until(self, wanted: Callable[[ModelState], bool]) -> ModelState:
        """The state on disk, once that is so."""
        async with asyncio.timeout(60):
            while not wanted(self.newest()):  # noqa: ASYNC110 - what is on disk has no event
                await asyncio.sleep(0.01)
        return self.newest()

    def newest(self) -> ModelState:
        return next(iter(self.hub.store.newest(ModelState)), ModelState())


def trusting(folder: Path, **settings: Any) -> ModelHub:
    """One that trusts the key of the tests' offers."""
    made = ModelHub(folder, **settings)
    trust(folder)
    return made


def _ended(state: ModelState, offer: Offer) -> bool:
    answer = state.answer
    return answer is not None and (answer.sha256, answer.counter) == (offer.sha256, offer.counter) and answer.status != "staged"
