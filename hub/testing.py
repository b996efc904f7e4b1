"""Fakes for tests of the hub and of plugins: no broker, no loop, no file, and no mock.

`replay(module_or_transform, bars(100, 101, 130))` is a whole test of a Transform.
"""

import asyncio
import heapq
import shutil
import tempfile
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import structlog
from structlog.testing import LogCapture

from hub.errors import HubError
from hub.flow import MessageT, SettingsT, Transform
from hub.market.interval import MINUTE_MS, Range, from_ms, missing_ranges, to_ms
from hub.messages import Bar, Gap, Message
from hub.topics import decode, encode, place, place_of, topic_of

START = datetime(2025, 5, 20, tzinfo=UTC)


def bars(*closes: float, symbol: str = "BTC-USDT", start: datetime = START, **fields: Any) -> list[Bar]:
    """One bar a minute from `start`, each opening where the one before closed. `fields` are set on every bar."""
    made, previous = [], closes[0] if closes else 0.0
    for minute, close in enumerate(closes):
        values = {
            "open": previous,
            "high": max(previous, close),
            "low": min(previous, close),
            "close": close,
            "volume": 1.0,
            "source": "test",
        }
        made.append(Bar(symbol=symbol, open_time=start + timedelta(minutes=minute), **(values | fields)))
        previous = close
    return made


class FakeClock:
    """Time that moves only when told."""

    def __init__(self, now: datetime = START) -> None:
        self._now = now
        self._monotonic = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        """Returns once the clock has been advanced that far."""
        if seconds <= 0:
            await asyncio.sleep(0)  # noqa: TID251 - only gives way
            return
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._order), wake))
        await wake

    def jump(self, by: timedelta) -> None:
        """The wall clock is set to another time (NTP, a hand); no time passes."""
        self._now += by

    async def advance(self, seconds: float) -> None:
        """Let that much time pass; whoever wakes on the way runs at its own moment."""
        end = self._monotonic + seconds
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, wake = heapq.heappop(self._sleepers)
            self._pass(at - self._monotonic)
            if not wake.done():
                wake.set_result(None)
            await self._settle()
        self._pass(end - self._monotonic)

    @property
    def next_wake(self) -> float | None:
        """Seconds until the first sleeper wakes, or None where nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] - self._monotonic if self._sleepers else None

    def _pass(self, seconds: float) -> None:
        self._monotonic += seconds
        self._now += timedelta(seconds=seconds)

    @staticmethod
    async def _settle() -> None:
        for _ in range(20):
            await asyncio.sleep(0)  # noqa: TID251 - only gives way


class MemoryStore:
    """The store's reads and its rule for bars (better quality wins, then the newer fetch), in dictionaries."""

    def __init__(self, messages: Iterable[Message] = ()) -> None:
        self.recorded: list[Message] = []
        self._bars: dict[str, dict[int, Bar]] = {}
        self._gaps: list[Gap] = []
        self.record(list(messages))

    def record(self, messages: Sequence[Message]) -> int:
        """Take the messages in, as the real store would on disk; returns how many were recorded so far."""
        for message in messages:
            if isinstance(message, Bar):
                series = self._bars.setdefault(message.symbol, {})
                present = series.get(to_ms(message.open_time))
                if present is None or (present.quality, message.quality) != ("exact", "fallback"):
                    series[to_ms(message.open_time)] = message
            elif isinstance(message, Gap):
                self._gaps = [piece for gap in self._gaps for piece in _cut_back(gap, message)] + [message]
            self.recorded.append(message)
        self._gaps = [left for gap in self._gaps for left in self._clipped(gap)]
        return len(self.recorded)

    def bars(self, symbol: str, first: int, last: int) -> list[Bar]:
        return [bar for at, bar in sorted(self._bars.get(symbol, {}).items()) if first <= at <= last]

    def newest_bar(self, symbol: str) -> Bar | None:
        series = self._bars.get(symbol)
        return series[max(series)] if series else None

    def oldest_open_time(self, symbol: str) -> int | None:
        return min(self._bars.get(symbol, {}), default=None)

    def missing(self, symbol: str, first: int, last: int) -> list[Range]:
        return list(missing_ranges(sorted(self._bars.get(symbol, {})), first, last))

    def fallback(self, symbol: str, first: int, last: int) -> list[Range]:
        exact = [at for at, bar in sorted(self._bars.get(symbol, {}).items()) if bar.quality == "exact"]
        absent = self.missing(symbol, first, last)
        return [
            piece
            for stretch in missing_ranges(exact, first, last)
            for piece in missing_ranges(
                [at for gap in absent for at in range(gap[0], gap[1] + 1, MINUTE_MS)],
                *stretch,
            )
        ]

    def gaps(self, symbol: str | None = None) -> list[Gap]:
        chosen = [gap for gap in self._gaps if symbol in (None, gap.symbol)]
        return sorted(chosen, key=lambda gap: (gap.symbol, gap.first_open_time))

    def closes(self, symbol: str, first: int, last: int) -> list[tuple[int, float]]:
        return [(to_ms(bar.open_time), bar.close) for bar in self.bars(symbol, first, last) if bar.quality == "exact"]

    def newest(self, kind: type[MessageT]) -> list[MessageT]:
        return list({place_of(message): message for message in self.recorded if isinstance(message, kind)}.values())

    def newest_first(self, kind: type[MessageT], role: str = "live", **fields: object) -> Iterator[MessageT]:
        where = place(kind, role, **fields)
        yield from [message for message in reversed(self.recorded) if isinstance(message, kind) and place_of(message) == where]

    def _clipped(self, gap: Gap) -> list[Gap]:
        stretches = self.missing(gap.symbol, to_ms(gap.first_open_time), to_ms(gap.last_open_time))
        return [gap.model_copy(update={"first_open_time": from_ms(first), "last_open_time": from_ms(last)}) for first, last in stretches]


def _cut_back(known: Gap, newer: Gap) -> list[Gap]:
    """What is left of a known gap where a newer word covers some of its minutes."""
    if known.symbol != newer.symbol:
        return [known]
    before, after = newer.first_open_time - timedelta(minutes=1), newer.last_open_time + timedelta(minutes=1)
    pieces = (known.first_open_time, min(known.last_open_time, before)), (max(known.first_open_time, after), known.last_open_time)
    return [known.model_copy(update={"first_open_time": first, "last_open_time": last}) for first, last in pieces if first <= last]


class MemoryBus:
    """A broker in a list. Every message is encoded and decoded, so a field that cannot travel fails here."""

    def __init__(self) -> None:
        self.published: list[tuple[str, Message]] = []
        self.announced: dict[str, bytes] = {}
        self.outside: dict[str, bytes] = {}
        self.restated = 0
        self._subscribers: list[tuple[tuple[type[Message], ...], asyncio.Queue[Message]]] = []

    async def publish(self, message: Message) -> None:
        """Deliver a message to everybody who subscribed to its kind."""
        topic = topic_of(message)
        arrived = decode(topic, encode(message))
        self.published.append((topic, arrived))
        for kinds, queue in self._subscribers:
            if isinstance(arrived, kinds):
                queue.put_nowait(arrived)

    root = "tickerml"

    def announce(self, topic: str, payload: bytes, *, rooted: bool = True) -> None:
        """Retained state of the hub itself, or of another program's if not `rooted`."""
        self.announced[topic] = payload
        if not rooted:
            self.outside[topic] = payload

    def restate(self) -> None:
        """Count how often all was to be published again."""
        self.restated += 1

    def subscribe_raw(self, topic_filter: str, *, limit: int = 100, rooted: bool = True) -> Any:
        """Nothing ever arrives outside our own topics here."""
        raise NotImplementedError(f"MemoryBus hears no {topic_filter}: use FakeOutside")

    def subscribe(self, kinds: Iterable[type[Message]]) -> AsyncIterator[Message]:
        """The messages of these kinds published from now on."""
        subscriber: tuple[tuple[type[Message], ...], asyncio.Queue[Message]] = (tuple(kinds), asyncio.Queue())
        self._subscribers.append(subscriber)

        async def arriving() -> AsyncIterator[Message]:
            try:
                while True:
                    yield await subscriber[1].get()
            finally:
                self._subscribers.remove(subscriber)

        return arriving()

    def subscribe_spread(self, kinds: Iterable[type[Message]], _group: str) -> AsyncIterator[Message]:
        """There is one host here."""
        return self.subscribe(kinds)

    @property
    def readers(self) -> int:
        """How many subscriptions are open."""
        return len(self._subscribers)


class FakeOutside:
    """The broker as an outlet sees it: what it announced, and what you let it hear."""

    def __init__(self, root: str = "tickerml") -> None:
        self.root = root
        self.announced: dict[str, bytes] = {}
        """By topic below the prefix; what was taken back is gone."""
        self.log: list[str] = []
        """Topics in the order of their announcement, and `restate`."""
        self._heard: asyncio.Queue[tuple[str, bytes, bool]] = asyncio.Queue()

    def announce(self, topic: str, payload: bytes) -> None:
        self.log.append(topic)
        self.announced[topic] = payload
        if not payload:
            del self.announced[topic]

    def restate(self) -> None:
        self.log.append("restate")

    def says(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        """Somebody publishes this below the prefix."""
        self._heard.put_nowait((topic, payload, retained))

    async def hear(self, topic_filter: str) -> AsyncIterator[tuple[str, bytes, bool]]:
        while True:
            arrived = await self._heard.get()
            if arrived[0] == topic_filter:
                yield arrived


class FakeDesk:
    """The hub's desk: answers what you say, and remembers what it was asked."""

    def __init__(self, answers: Mapping[str, Any] | None = None) -> None:
        """By verb; an exception is raised."""
        self.answers = dict(answers or {})
        self.asked: list[tuple[str, dict[str, object]]] = []

    async def ask(self, verb: str, **values: object) -> Any:
        self.asked.append((verb, values))
        answer = self.answers.get(verb, HubError(f"unknown verb {verb!r}"))
        if isinstance(answer, Exception):
            raise answer
        return answer


class FakeHub:
    """The hub a plugin is given, with a clock you move, a store in memory, and settings from keywords."""

    def __init__(
        self,
        settings: Mapping[str, Any] | None = None,
        *,
        clock: FakeClock | None = None,
        store: Any = None,
        symbols: Sequence[str] = ("BTC-USDT", "ETH-USDT"),
        transport: httpx.AsyncBaseTransport | None = None,
        data_dir: Path | None = None,
    ) -> None:
        self.clock: Any = clock or FakeClock()
        self.store: Any = MemoryStore() if store is None else store
        self.symbols = symbols
        self.disk_is_tight = False
        self.http = httpx.AsyncClient(transport=transport, headers={"accept-encoding": "identity"}, trust_env=False)
        self.logged = LogCapture()
        self.log = structlog.wrap_logger(None, processors=[self.logged])
        self._settings = dict(settings or {})
        self._given_folder = data_dir

    @cached_property
    def data_dir(self) -> Path:
        """The folder given, or one that lasts as long as this hub."""
        if self._given_folder is not None:
            return self._given_folder
        folder = tempfile.mkdtemp(prefix="tickerml-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)

    def settings_for(self, model: type[SettingsT]) -> SettingsT:
        return model.model_validate(self._settings)


def replay(
    plugin: ModuleType | Transform | Callable[[Any], AsyncIterator[Message]],
    messages: Iterable[Message],
    *,
    settings: Mapping[str, Any] | None = None,
    hub: FakeHub | None = None,
) -> list[Message]:
    """Everything that `plugin` makes of `messages`, one after the other.

    `plugin`: a plugin's module (all its transforms hear what they consume), one Transform, or a bare function of one.
    """
    transforms = _transforms_of(plugin, hub or FakeHub(settings))

    async def run() -> list[Message]:
        made: list[Message] = []
        for message in messages:
            arrived = decode(topic_of(message), encode(message))
            for consumes, apply in transforms:
                if isinstance(arrived, consumes):
                    made += [decode(topic_of(output), encode(output)) async for output in apply(arrived)]
        return made

    return asyncio.run(run())


def _transforms_of(plugin: Any, hub: FakeHub) -> list[tuple[Any, Callable[[Any], AsyncIterator[Message]]]]:
    if isinstance(plugin, Transform):
        return [(plugin.consumes, plugin.apply)]
    if isinstance(plugin, ModuleType):
        return [(transform.consumes, transform.apply) for transform in plugin.register_transforms(hub)]
    return [(Message, plugin)]


__all__ = ["START", "FakeClock", "FakeDesk", "FakeHub", "FakeOutside", "MemoryBus", "MemoryStore", "bars", "replay"]
