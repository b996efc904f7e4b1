"""What a durable sink has yet to deliver: counted, timed, told, and delivered in the end."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
from structlog.testing import LogCapture

from hub.errors import Forgotten, TransientError
from hub.flow import Sink
from hub.market.interval import to_ms
from hub.messages import Alert, Bar, Message, ModelId, PluginState, Score
from hub.runtime.disk.recorder import Recorder
from hub.runtime.disk.store import SqliteStore
from hub.runtime.hosting.supervisor import Supervisor
from hub.runtime.hosting.watch import PluginWatch
from hub.testing import START, FakeClock, MemoryBus, bars

NO = TransientError("the shelf is full")


class Shelf:
    """A place where messages end, which may refuse them."""

    def __init__(self) -> None:
        self.taken: list[Message] = []
        self.refuses: Exception | None = None
        self.asked = 0

    async def write(self, batch: Sequence[Message]) -> None:
        self.asked += 1
        if self.refuses:
            raise self.refuses
        self.taken += batch


class WatchedRecorder(Recorder):
    """Lets a test see when the sink has nothing left to do."""

    idle_since = -1

    async def wait_for_news(self, edition: int) -> None:
        self.idle_since = edition
        await super().wait_for_news(edition)


class Station:
    """A recorder and one supervised durable sink, by a clock that moves when told."""

    def __init__(self, folder: Path, **sink: Any) -> None:
        self.clock = FakeClock()
        self.store = SqliteStore.open(folder / "tickerml.db", self.clock)
        self.recorder = WatchedRecorder(self.store, self.clock)
        self.shelf = Shelf()
        self.told: list[PluginState] = []
        self.watch = PluginWatch("shelf", self.clock, self.told.append)
        self.sink = Sink("facts", self.shelf.write, **({"consumes": (Bar,), "durable": True, "batch": 2} | sink))

    async def until(self, condition: Callable[[], Any]) -> None:
        end = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < end, f"it never came to that: {self.told}"
            await asyncio.sleep(0.005)

    async def minutes(self, count: int) -> None:
        """Let minutes pass, and after each what follows from it."""
        for _ in range(count):
            await self.clock.advance(60)
            said = -1
            while said != len(self.told):
                said = len(self.told)
                await asyncio.sleep(0.05)


@asynccontextmanager
async def station(folder: Path, **sink: Any) -> AsyncIterator[Station]:
    made = Station(folder, **sink)
    log = structlog.wrap_logger(None, processors=[LogCapture()])
    task = asyncio.create_task(Supervisor(made.clock, made.recorder, MemoryBus()).keep_running(made.sink, made.watch, log))
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await made.recorder.close()


async def test_what_waits_is_told_every_minute_and_after_a_quarter_of_an_hour_people_should_hear_of_it(tmp_path: Path) -> None:
    """An outage must be seen while it lasts, not when somebody misses a number."""
    async with station(tmp_path) as made:
        made.shelf.refuses = NO
        await made.recorder.record(bars(1, 2, 3))
        await made.until(lambda: made.watch.state.lag == 3)
        assert (made.watch.state.state, made.watch.state.error) == ("retrying", "the shelf is full")
        await made.minutes(5)
        assert made.watch.state.state == "retrying"
        assert 240 <= (made.watch.state.lag_s or 0) <= 300
        await made.recorder.record(bars(9, start=START + timedelta(hours=1)))
        await made.minutes(12)
        await made.until(lambda: made.watch.state.state == "stale")
        assert made.watch.state.error == f"shelf is 4 facts and {made.watch.state.lag_s / 60:.0f} min behind: the shelf is full"  # type: ignore[operator]
        made.shelf.refuses = None
        before = len(made.told)
        await made.minutes(2)
        await made.until(lambda: made.watch.state.state == "running")
        assert (made.watch.state.lag, made.watch.state.lag_s, made.watch.state.error) == (0, 0.0, None)
        assert sum(state.lag == 0 for state in made.told[before:]) == 1
        assert [bar.close for bar in made.shelf.taken if isinstance(bar, Bar)] == [1, 2, 3, 9]


async def test_a_sink_that_keeps_up_is_not_talked_about(tmp_path: Path) -> None:
    """A retained message for every bar would be noise on the wire and on the card."""
    async with station(tmp_path) as made:
        for minute in range(5):
            await made.recorder.record(bars(1.0, start=START + timedelta(minutes=minute)))
            await made.until(lambda: made.recorder.idle_since == made.recorder.edition)
            await made.minutes(1)
        await made.minutes(2)
        assert [(state.state, state.lag) for state in made.told] == [("running", None), ("running", 0)]


async def test_a_sink_whose_other_side_has_forgotten_begins_with_the_oldest_fact(tmp_path: Path) -> None:
    """A database that was deleted gets everything again, and the cursor on disk says so."""
    async with station(tmp_path) as made:
        await made.recorder.record(bars(1, 2, 3))
        await made.until(lambda: len(made.shelf.taken) == 3)
        made.shelf.refuses = Forgotten("gone")
        await made.recorder.record(bars(4, start=START + timedelta(hours=1)))
        await made.until(lambda: made.store.cursor("shelf.facts") == 0)
        made.shelf.refuses = None
        await made.until(lambda: len(made.shelf.taken) == 7)
        assert [bar.close for bar in made.shelf.taken if isinstance(bar, Bar)] == [1, 2, 3, 1, 2, 3, 4]
        await made.until(lambda: made.store.cursor("shelf.facts") == 4)
        assert made.watch.state.restarts == 0


async def test_a_remark_is_shown_beside_a_running_plugin_and_a_broken_one_hurts_nobody(tmp_path: Path) -> None:
    """What is not well although it works must be seen too."""
    remarks: list[Any] = [None, "2 points set aside", ZeroDivisionError("oops")]

    def remark() -> str | None:
        if isinstance(remarks[0], Exception):
            raise remarks[0]
        found: str | None = remarks[0]
        return found

    async with station(tmp_path, remark=remark) as made:
        for minute, expected in enumerate((None, "2 points set aside", "ZeroDivisionError: oops")):
            await made.recorder.record(bars(1.0, start=START + timedelta(minutes=minute)))
            await made.until(lambda: len(made.shelf.taken) == minute + 1)  # noqa: B023 - it is awaited here
            await made.until(lambda: (made.watch.state.error or "").startswith(expected or ""))  # noqa: B023
            assert made.watch.state.state == "running"
            del remarks[0]
            remarks.append(None)


async def test_only_facts_that_are_for_the_sink_count(tmp_path: Path) -> None:
    """Corrected bars leave numbers behind, and other kinds are for others: neither waits for anybody."""
    async with station(tmp_path, consumes=(Alert,)) as made:
        await made.recorder.record(bars(1, 2, 3, quality="fallback"))
        await made.recorder.record(bars(1, 2, 3))
        assert made.store.last_seq() == 6
        assert made.store.waiting(0, (Bar,)) == 3
        assert made.store.waiting(0, (Bar, Alert)) == 3
        assert made.store.waiting(0, (Alert,)) == 0
        await made.recorder.record([Alert(symbol="BTC-USDT", source="test", text="now")])
        assert made.store.waiting(0, (Alert,)) == 1
        await made.until(lambda: made.store.waiting(made.store.cursor("shelf.facts"), (Bar, Alert)) == 0)
        assert len(made.shelf.taken) == 1


async def test_a_score_gets_its_time_when_it_is_recorded(tmp_path: Path) -> None:
    """Sent again after an hour, it must still land on the same point."""
    model = ModelId(name="m", version="1", sha256="0" * 64)
    values = {"skill": None, "auc": None, "hit_rate": None, "brier": None, "coverage": None}
    async with station(tmp_path) as made:
        await made.recorder.record([Score(symbol="BTC-USDT", horizon_minutes=5, n=1, window="7d", model=model, **values)])
        await made.minutes(60)
        [(_, score)] = made.store.facts_after(0, (Score,), 10)
        assert isinstance(score, Score)
        assert score.scored_at is not None
        assert to_ms(score.scored_at) == to_ms(START)
