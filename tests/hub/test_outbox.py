"""The outbox against a store and a broker in memory; its flight over a real broker is in tests/test_broker.py."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from hub.errors import HubError, PermanentError, TransientError
from hub.market.interval import to_ms
from hub.messages import Bar, Gap, Message
from hub.runtime.mqtt.outbox import BATCH, Outbox
from hub.testing import START, FakeClock, bars


class FactsInMemory:
    """The store's side of the outbox: facts in a list, a cursor, and every commit it was asked for."""

    def __init__(self, messages: Sequence[Message] = ()) -> None:
        self.facts: list[tuple[int, Message]] = []
        self.at = 0
        self.on_the_wire: dict[str, int] = {}
        self.commits: list[tuple[int, dict[str, int]]] = []
        self.largest_batch = 0
        self.record(messages)

    def record(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self.facts.append((len(self.facts) + 1, message))

    def facts_after(self, seq: int, kinds: tuple[type[Message], ...], limit: int) -> list[tuple[int, Message]]:
        found = [fact for fact in self.facts[seq:] if isinstance(fact[1], kinds)][:limit]
        self.largest_batch = max(self.largest_batch, len(found))
        return found

    def cursor(self, name: str) -> int:
        assert name == "mqtt"
        return self.at

    def move_cursor(self, name: str, seq: int, frontier: Mapping[str, int] | None = None) -> None:
        assert name == "mqtt"
        assert seq >= self.at, "a cursor never goes back"
        self.at = seq
        self.on_the_wire |= frontier or {}
        self.commits.append((seq, dict(frontier or {})))

    def frontier(self) -> dict[str, int]:
        return dict(self.on_the_wire)


class Wire:
    """The bus's side: takes messages until told otherwise."""

    def __init__(self) -> None:
        self.taken: list[Message] = []
        self.up = asyncio.Event()
        self.up.set()
        self.refuse: dict[int, HubError] = {}
        """What happens to the n-th message offered from now on (0 is the next)."""
        self.offered = 0
        self.last_held: list[Message] = []

    async def ready(self) -> None:
        await self.up.wait()

    def held(self, message: Message) -> bool:
        return message in self.last_held

    async def publish_all(self, messages: Sequence[Message]) -> list[HubError | None]:
        await asyncio.sleep(0)
        outcomes: list[HubError | None] = []
        for message in messages:
            error = self.refuse.pop(self.offered, None)
            self.offered += 1
            outcomes.append(error)
            if isinstance(error, TransientError):
                break
            if error is None:
                self.taken.append(message)
        return outcomes


async def inline(call: Any, *args: Any) -> Any:
    return call(*args)


@asynccontextmanager
async def pumping(store: FactsInMemory, wire: Wire) -> Any:
    """An outbox at work, whose waits pass at once."""
    outbox = Outbox(store, wire, structlog.wrap_logger(None, processors=[LogCapture()]), run=inline, network=AtOnce())
    task = asyncio.create_task(outbox.pump())
    try:
        yield outbox
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class AtOnce(FakeClock):
    """Waiting takes no time."""

    async def sleep(self, seconds: float) -> None:  # noqa: ARG002
        await asyncio.sleep(0)


async def until(condition: Any) -> None:
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to that")


def minute(bar: Message) -> int:
    assert isinstance(bar, Bar)
    return to_ms(bar.open_time)


async def test_everything_recorded_is_published_in_order_and_the_cursor_follows() -> None:
    """The outbox is the only way onto the wire: what it forgets, nobody ever hears."""
    facts = [*bars(*range(1, 1201)), *bars(5.0, symbol="ETH-USDT")]
    store, wire = FactsInMemory(facts), Wire()
    async with pumping(store, wire):
        await until(lambda: store.at == 1201)
    assert wire.taken == facts
    assert store.on_the_wire == {"BTC-USDT": minute(facts[1199]), "ETH-USDT": minute(facts[1200])}
    assert len(store.commits) == 3, "one commit a batch: a memory card wears out"


async def test_what_is_recorded_later_goes_out_when_the_bell_rings() -> None:
    """A bar must not wait for the next look at the store."""
    store, wire = FactsInMemory(), Wire()
    async with pumping(store, wire) as outbox:
        await until(lambda: not outbox._rung.is_set())
        store.record(bars(1.0, 2.0))
        outbox.ring()
        await until(lambda: store.at == 2)
    assert len(wire.taken) == 2


async def test_a_bar_that_is_not_newer_than_the_wire_stays_on_disk() -> None:
    """Subscribers are promised bars in order, once: backfill and corrections are for those who read the store."""
    series = bars(*range(1, 6))
    corrected = series[3].model_copy(update={"close": 4.5, "high": 4.6})
    store, wire = FactsInMemory([series[2], series[3], series[0], corrected, series[4], series[1]]), Wire()
    async with pumping(store, wire):
        await until(lambda: store.at == 6)
    assert wire.taken == [series[2], series[3], series[4]]


async def test_the_frontier_holds_over_a_restart() -> None:
    """A hub that comes back must not publish old minutes after new ones."""
    series = bars(*range(1, 6))
    store = FactsInMemory(series)
    async with pumping(store, Wire()):
        await until(lambda: store.at == 5)
    store.record([series[1], *bars(9.0, start=START + timedelta(minutes=5))])
    wire = Wire()
    async with pumping(store, wire):
        await until(lambda: store.at == 7)
    assert [minute(bar) for bar in wire.taken] == [to_ms(START + timedelta(minutes=5))]


async def test_a_fact_that_is_not_acknowledged_stops_the_cursor_and_goes_again_first() -> None:
    """Only the broker's yes moves the cursor; PUBACK with a failure is no yes."""
    series = bars(*range(1, 11))
    store, wire = FactsInMemory(series), Wire()
    wire.refuse = {4: TransientError("not authorized"), 5: TransientError("not authorized")}
    async with pumping(store, wire) as outbox:
        await until(lambda: store.at == 10)
        assert outbox.stuck is None
    assert wire.taken == series
    assert store.commits[0][0] == 4


async def test_a_fact_that_no_broker_would_take_is_passed_over() -> None:
    """One message that is too large must not block the way for ever; it is still on disk."""
    series = bars(*range(1, 6))
    store, wire = FactsInMemory(series), Wire()
    wire.refuse = {2: PermanentError("too large")}
    async with pumping(store, wire) as outbox:
        await until(lambda: store.at == 5)
        assert outbox.refused == 1
    assert wire.taken == [*series[:2], *series[3:]]


async def test_while_the_broker_is_down_no_more_than_a_batch_is_in_memory() -> None:
    """An outage may last for weeks; the store holds it, not RAM."""
    store, wire = FactsInMemory(), Wire()
    wire.up.clear()
    async with pumping(store, wire):
        store.record(bars(*range(1, 4 * BATCH)))
        wire.up.set()
        await until(lambda: store.at == 4 * BATCH - 1)
    assert store.largest_batch <= BATCH
    assert [minute(bar) for bar in wire.taken] == sorted({minute(bar) for bar in wire.taken})


async def test_a_bar_that_arrived_without_its_acknowledgement_is_not_repeated() -> None:
    """The line broke between the broker's yes and us: the broker still holds the bar, so nobody hears it twice."""
    series = bars(*range(1, 6))
    store, wire = FactsInMemory(series), Wire()
    wire.refuse = {0: TransientError("connection lost")}
    wire.last_held = [series[2]]
    async with pumping(store, wire):
        await until(lambda: store.at == 5)
    assert wire.taken == series[3:]


async def test_gaps_go_out_as_they_come() -> None:
    """A gap is news of old minutes by nature; the frontier is for bars."""
    [bar] = bars(1.0)
    gap = Gap(symbol="BTC-USDT", first_open_time=START - timedelta(hours=1), last_open_time=START, reason="exchange: no data")
    store, wire = FactsInMemory([bar, gap, gap]), Wire()
    async with pumping(store, wire):
        await until(lambda: store.at == 3)
    assert wire.taken == [bar, gap, gap]


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_fails_and_whenever_it_is_restarted_bars_arrive_in_order_once(seed: int) -> None:
    """The promise of the contract, under failures at random places and restarts between any two batches."""
    chance = random.Random(seed)
    series = {symbol: bars(*range(1, 301), symbol=symbol) for symbol in ("BTC-USDT", "ETH-USDT", "SOL-USDT")}
    queues = [list(each) for each in series.values()]
    facts = []
    while any(queues):
        facts.append(chance.choice([queue for queue in queues if queue]).pop(0))
    store, heard = FactsInMemory(facts), []
    while store.at < len(facts):
        wire = Wire()
        wire.refuse = {chance.randrange(900): TransientError("lost") for _ in range(chance.randrange(6))}
        before = store.at
        async with pumping(store, wire):
            await until(lambda: store.at > before)  # noqa: B023 - it is awaited here
        heard += wire.taken
    for symbol, expected in series.items():
        assert [bar for bar in heard if isinstance(bar, Bar) and bar.symbol == symbol] == expected
