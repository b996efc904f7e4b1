"""Durable facts on their way from the store to the broker: in order, each once, and none lost while the broker is away."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from hub.clock import Clock, SystemClock
from hub.errors import HubError, TransientError
from hub.flow import Kinds
from hub.market.interval import to_ms
from hub.messages import Alert, Article, Bar, Dump, Forecast, Gap, Message, ModelState, ModelWant, Score, Sentiment
from hub.runtime.disk.recorder import LOOK_AGAIN
from hub.runtime.patience import STABLE_S, Reconnection
from hub.topics import is_shadow

CURSOR = "mqtt"
DURABLE: Kinds = (Bar, Gap, Sentiment, Article, Forecast, Score, Alert, Dump, ModelWant, ModelState)
BATCH = 500

Fact = tuple[int, Message]
"""A message and its place in the store, `seq`."""
Result = TypeVar("Result")


class FactStore(Protocol):
    """What the outbox asks of the store. Its calls block, so they run in a thread."""

    def facts_after(self, seq: int, kinds: Kinds, limit: int) -> list[Fact]:
        """The oldest facts recorded after `seq`, ascending."""

    def cursor(self, name: str) -> int:
        """How far a forwarder has come: the `seq` of the last fact it is done with."""

    def move_cursor(self, name: str, seq: int, frontier: Mapping[str, int] | None = None) -> None:
        """Commit how far it has come and, in the same transaction, the newest open times on the wire."""

    def frontier(self) -> dict[str, int]:
        """Per symbol the open time (ms) of the newest bar on the wire."""


class Publisher(Protocol):
    """What the outbox asks of the bus."""

    async def ready(self) -> None:
        """Wait until it is connected."""

    async def publish_all(self, messages: Sequence[Message]) -> Sequence[HubError | None]:
        """Publish in order; what became of each that was sent."""

    def held(self, message: Message) -> bool:
        """Whether the broker held exactly this message when we connected last."""


class Outbox:
    """Pumps facts from the store to the bus. Keeps one batch in RAM, and a cursor on disk that moves on acknowledgement only.

    Bars go out per symbol in order of open time, once: one that is not newer than the newest on the wire (backfilled late, or a
    fallback bar corrected) stays on disk, where the sinks that read the store find it.
    """

    def __init__(
        self,
        store: FactStore,
        bus: Publisher,
        log: Any,
        *,
        kinds: Kinds = DURABLE,
        run: Callable[..., Coroutine[Any, Any, Any]] = asyncio.to_thread,
        network: Clock | None = None,
    ) -> None:
        """`run` carries a blocking call to a thread. `network` times the waits: real seconds, unless a test hurries them."""
        self.published = 0
        self.refused = 0
        """Facts that no broker would take (too large); they are on disk only."""
        self.cursor = 0
        self.stuck: str | None = None
        """Why nothing goes out, in words; None while all is well."""
        self._store = store
        self._bus = bus
        self._log = log
        self._kinds = kinds
        self._run = run
        self._network = network or SystemClock()
        self._patience = Reconnection(self._network)
        self._frontier: dict[str, int] = {}
        self._rung = asyncio.Event()
        self._unsure = True
        """Messages may have arrived whose acknowledgement we never saw."""

    def ring(self) -> None:
        """Something was recorded."""
        self._rung.set()

    async def pump(self) -> None:
        """Publish what is recorded, for ever."""
        self.cursor = await self._run(self._store.cursor, CURSOR)
        self._frontier = await self._run(self._store.frontier)
        while True:
            await self._bus.ready()
            self._rung.clear()
            facts = await self._run(self._store.facts_after, self.cursor, self._kinds, BATCH)
            if facts:
                await self._forward(facts)
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_AGAIN):  # not wait_for: it may lose a cancellation that comes with the bell
                        await self._rung.wait()

    async def _forward(self, facts: Sequence[Fact]) -> None:
        """Publish a batch, and commit how far it came."""
        moved: dict[str, int] = {}
        due = self._due(facts, moved)
        outcomes = await self._bus.publish_all([message for _, message in due])
        trouble: HubError | None = None if len(outcomes) == len(due) else TransientError("not sent")
        reached = facts[-1][0] if trouble is None else due[len(outcomes)][0] - 1
        for (seq, message), outcome in reversed(list(zip(due, outcomes, strict=False))):
            if isinstance(outcome, TransientError):
                trouble, reached = outcome, seq - 1
            elif outcome is not None:
                self.refused += 1
            else:
                self.published += 1
                if isinstance(message, Bar):
                    moved[message.symbol] = max(to_ms(message.open_time), moved.get(message.symbol, -1))
        self._frontier |= moved
        if reached > self.cursor or moved:
            self.cursor = max(reached, self.cursor)
            await self._run(self._store.move_cursor, CURSOR, self.cursor, moved)
        await self._pause(trouble, progress=len(moved) > 0)

    def _due(self, facts: Sequence[Fact], moved: dict[str, int]) -> list[Fact]:
        """The facts to publish: nothing of a shadow's, and no bar that is not newer than the newest of its symbol on the wire.

        `moved` gets the bars that have arrived although their acknowledgement was lost: the broker holds them.
        """
        bars = [message for _, message in facts if isinstance(message, Bar)] if self._unsure else []
        moved |= {bar.symbol: to_ms(bar.open_time) for bar in bars if self._bus.held(bar) and self._is_new(bar, self._frontier)}
        newest = self._frontier | moved
        due = []
        for seq, message in facts:
            if is_shadow(message):
                continue
            if isinstance(message, Bar):
                if not self._is_new(message, newest):
                    continue
                newest[message.symbol] = to_ms(message.open_time)
            due.append((seq, message))
        return due

    @staticmethod
    def _is_new(bar: Bar, newest: Mapping[str, int]) -> bool:
        return to_ms(bar.open_time) > newest.get(bar.symbol, -1)

    async def _pause(self, trouble: HubError | None, *, progress: bool) -> None:
        """After trouble, wait a while: the same facts come first next time."""
        self._unsure = trouble is not None
        words = None if trouble is None else str(trouble)
        if words is not None and words != self.stuck:
            self._log.warning(f"facts wait on disk until they can be published: {words}", cursor=self.cursor)
        self.stuck = words
        if trouble is not None:
            await self._network.sleep(self._patience.wait(STABLE_S if progress else 0.0))
