"""Flows that fail in every way, under a clock that moves when told; the hub, and the flow beside, go on."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import LogCapture

from hub import Alert, Bar, Outlet, PermanentError, SettingsError, Sink, Source, Transform, TransientError
from hub.flow import Flow, Kinds, Outside
from hub.messages import Message, PluginState
from hub.runtime.hosting.supervisor import HEALTHY_AFTER, MOST_OUTPUTS, Supervisor, backoff
from hub.runtime.hosting.watch import PluginWatch
from hub.runtime.patience import Allowance
from hub.testing import FakeClock, MemoryBus, bars

DAY = 86_400.0


class MemoryRecorder:
    """The recorder's side: facts with their `seq`, cursors that outlive a supervisor, and a disk that can be full for a while."""

    def __init__(self) -> None:
        self.facts: list[tuple[int, Message]] = []
        self.commits: list[list[Message]] = []
        self.cursors: dict[str, int] = {}
        self.full = 0
        """How many commits will fail."""
        self.refused = 0
        self.edition = 0
        self._news = asyncio.Event()

    def _commit(self) -> None:
        if self.full:
            self.full -= 1
            self.refused += 1
            raise TransientError("the disk is full")

    async def record(self, messages: Sequence[Message]) -> None:
        await asyncio.sleep(0)
        self._commit()
        self.commits.append(list(messages))
        self.facts += [(len(self.facts) + number, message) for number, message in enumerate(messages, 1)]
        self.edition += 1
        self._news.set()
        self._news = asyncio.Event()

    async def facts_after(self, seq: int, kinds: Kinds, limit: int) -> list[tuple[int, Message]]:
        return [fact for fact in self.facts[seq:] if isinstance(fact[1], kinds)][:limit]

    async def last_seq(self) -> int:
        return len(self.facts)

    async def waiting(self, seq: int, kinds: Kinds) -> int:
        return sum(isinstance(fact[1], kinds) for fact in self.facts[seq:])

    async def cursor(self, name: str) -> int:
        return self.cursors.get(name, 0)

    async def move_cursor(self, name: str, seq: int) -> None:
        self._commit()
        self.cursors[name] = seq

    async def wait_for_news(self, edition: int) -> None:
        if self.edition == edition:
            await self._news.wait()

    @property
    def recorded(self) -> list[Message]:
        return [message for _, message in self.facts]


class Stage:
    """One plugin's flows at work: what they were asked, what was announced, what was logged."""

    def __init__(self, recorder: MemoryRecorder | None = None, name: str = "x") -> None:
        self.clock, self.bus, self.recorder = FakeClock(), MemoryBus(), recorder or MemoryRecorder()
        self.announced: list[PluginState] = []
        self.capture = LogCapture()
        self.watch = PluginWatch(name, self.clock, self.announced.append)
        self.supervisor = Supervisor(self.clock, self.recorder, self.bus, machine=self.clock, write_deadline=0.05)
        self.tasks: list[asyncio.Task[None]] = []

    def run(self, *flows: Flow) -> None:
        log = structlog.wrap_logger(None, processors=[self.capture])
        self.tasks += [asyncio.create_task(self.supervisor.keep_running(flow, self.watch, log)) for flow in flows]

    @property
    def states(self) -> list[str]:
        return [state.state for state in self.announced]

    @property
    def state(self) -> PluginState:
        return self.announced[-1]

    async def until(self, state: str) -> None:
        """Real time passes, until the plugin is in that state."""
        while self.state.state != state:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@asynccontextmanager
async def stage(*flows: Flow, recorder: MemoryRecorder | None = None) -> AsyncIterator[Stage]:
    """The flows run, and have had their first turn."""
    made = Stage(recorder)
    made.run(*flows)
    await made.clock.advance(0)
    try:
        yield made
    finally:
        await made.stop()


def source(*turns: Any, name: str = "s", **fields: Any) -> tuple[Source, list[float]]:
    """A source that does one turn at each start (an error is raised, a list yielded), the last again and again; and when it did."""
    begun: list[float] = []
    clock_of: list[FakeClock] = fields.pop("clock", [])

    async def stream() -> AsyncIterator[Any]:
        begun.append(clock_of[0].monotonic() if clock_of else 0.0)
        turn = turns[min(len(begun), len(turns)) - 1]
        if isinstance(turn, BaseException):
            raise turn.with_traceback(None)
        for item in turn:
            yield item
        await asyncio.Event().wait()

    return Source(name, stream, (Bar, Alert), **fields), begun


def transform(work: Callable[[Bar], Any], deadline: float = 5.0) -> Transform:
    """`work` returns what to yield for a bar, or raises."""

    async def apply(bar: Bar) -> AsyncIterator[Any]:
        made = work(bar)
        for item in (await made) if inspect.iscoroutine(made) else made:
            yield item

    return Transform("t", apply, (Bar,), (Alert,), timedelta(seconds=deadline))


def alert(text: str) -> Alert:
    return Alert(symbol="BTC-USDT", source="x", text=text)


@given(st.integers(0, 10_000))
def test_waits_double_up_to_a_minute_and_are_jittered(failures: int) -> None:
    """A thousand hubs must not come back in the same second."""
    longest = min(60.0, 2.0 ** min(failures, 10))
    assert longest / 2 <= backoff(failures) <= longest
    assert len({backoff(failures) for _ in range(20)}) > 1


async def test_trouble_that_may_pass_is_tried_again_for_ever() -> None:
    """TransientError: growing waits, the reason shown, and running again as soon as something comes."""
    flow, begun = source(*[TransientError("gone")] * 8, [bars(1.0)[0]])
    async with stage(flow) as at:
        assert (at.state.state, at.state.error, at.state.restarts) == ("retrying", "gone", 1)
        for _ in range(7):
            assert at.clock.next_wake is not None
            before = len(begun)
            await at.clock.advance(60)
            assert len(begun) > before or begun
        await at.clock.advance(400)
        assert len(begun) == 9
        assert (at.state.state, at.state.error, at.state.restarts) == ("running", None, 8)
        assert all("exc_info" not in entry or not entry["exc_info"] for entry in at.capture.entries), "known trouble has no traceback"


async def test_a_wait_is_never_shorter_than_the_other_side_asked() -> None:
    """429 with Retry-After: an hour is an hour."""
    flow, begun = source(TransientError("banned", retry_after=3600), [])
    async with stage(flow) as at:
        await at.clock.advance(3599)
        assert len(begun) == 1
        assert at.state.state == "retrying"
        await at.clock.advance(2)
        assert len(begun) == 2


@pytest.mark.parametrize("asked", [float("nan"), -5, "soon", None, [], True, float("-inf")])
async def test_a_wait_that_is_no_time_is_passed_over(asked: Any) -> None:
    """A header that was not a number must not end the flow."""
    flow, begun = source(TransientError("x", retry_after=asked), [])
    async with stage(flow) as at:
        await at.clock.advance(2)
        assert len(begun) == 2


@pytest.mark.parametrize("asked", [float("inf"), 1e18])
async def test_nobody_waits_longer_than_three_days(asked: float) -> None:
    """An absurd Retry-After must not silence a source for ever."""
    flow, begun = source(TransientError("x", retry_after=asked), [])
    async with stage(flow) as at:
        await at.clock.advance(3 * DAY - 1)
        assert len(begun) == 1
        await at.clock.advance(2)
        assert len(begun) == 2


@pytest.mark.parametrize("error", [PermanentError("key revoked"), SettingsError("no such bucket")])
async def test_trouble_that_stays_ends_the_flow_and_only_that(error: Exception) -> None:
    """Trying again cannot help; the plugin is red, its other flows work."""
    bad, begun = source(error, [], name="bad")
    good, _ = source([bars(1.0)[0]], name="good")
    async with stage(bad, good) as at:
        await at.clock.advance(DAY)
        assert len(begun) == 1
        assert (at.state.state, at.state.error, at.state.restarts) == ("failed", str(error), 0)
        assert at.recorder.recorded == bars(1.0)


async def test_a_bug_is_shown_with_its_place_logged_with_its_traceback_and_tried_again() -> None:
    """Whoever wrote the plugin needs the line."""
    flow, begun = source(ZeroDivisionError("oops"), [])
    async with stage(flow) as at:
        assert at.state.state == "retrying"
        assert at.state.error is not None
        assert at.state.error.startswith("ZeroDivisionError: oops (test_supervisor.py, line ")
        [entry] = [entry for entry in at.capture.entries if entry["log_level"] == "warning"]
        assert isinstance(entry["exc_info"], ZeroDivisionError)
        await at.clock.advance(2)
        assert len(begun) == 2


class OddError(Exception):
    """Cannot even be told."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Unrelated(BaseException):
    """Escapes `except Exception`."""


@pytest.mark.parametrize(
    "error",
    [
        *(SystemExit(1), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError(), Unrelated("x"), MemoryError(), RecursionError()),
        *(
            OddError(),
            ValueError("\ud800\x1b[31m\n" + "x" * 100_000),
            StopIteration(),
            TimeoutError(),
            ExceptionGroup("g", [ValueError("y")]),
        ),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_a_plugin_raises_stays_in_its_flow(error: BaseException) -> None:
    """sys.exit() in a plugin is the plugin's end, not the hub's."""
    bad, begun = source(error, [alert("back")], name="bad")
    ticks, _ = source([bars(float(minute))[0] for minute in range(1, 50)], name="good")
    live = transform(lambda _: raise_(error))
    async with stage(bad, ticks, live) as at:
        await at.bus.publish(bars(1.0)[0])
        await at.clock.advance(5)
        assert len(begun) >= 2
        assert at.recorder.recorded.count(alert("back")) == 1
        assert sum(isinstance(message, Bar) for message in at.recorder.recorded) == 49
        assert not any(task.done() for task in at.tasks)
        for state in at.announced:
            assert state.error is None or (state.error.isprintable() and len(state.error) < 1_100)


def raise_(error: BaseException) -> Any:
    raise error


async def test_a_source_that_ends_is_started_again() -> None:
    """A stream from outside has no end; one that ends has lost its way."""
    begun = 0

    async def stream() -> AsyncIterator[Bar]:
        nonlocal begun
        begun += 1
        yield bars(float(begun))[0]

    async with stage(Source("s", stream, (Bar,))) as at:
        await at.clock.advance(10)
        assert begun >= 3
        assert "ended by itself" in {state.error for state in at.announced}


async def not_a_generator() -> Any:
    return []


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (not_a_generator, "must be an asynchronous generator (async def with yield), not coroutine"),
        (lambda: [1], "must be an asynchronous generator (async def with yield), not list"),
        (source([1])[0].stream, "s yielded 1, which is neither a message nor a list of messages"),
        (source(["text"])[0].stream, "s yielded 'text', which is neither a message nor a list of messages"),
        (source([[bars(1.0)[0], None]])[0].stream, "s says it produces Alert, but yielded Bar("),
        (source([[alert("x"), None]])[0].stream, "s says it produces Alert, but yielded None"),
        (source([[alert("x")] * 50_001])[0].stream, "s yielded 50001 messages at once; 50000 are the most"),
    ],
)
async def test_junk_is_refused_in_words_and_none_of_it_is_recorded(stream: Any, words: str) -> None:
    """A plugin's author reads this on the first day."""
    async with stage(Source("s", stream, (Alert,))) as at:
        assert at.state.state == "retrying"
        assert words in (at.state.error or "")
        assert at.recorder.recorded == []


async def test_a_source_that_falls_silent_is_stale_until_something_comes() -> None:
    """An exchange that answers with nothing for an hour is not fine."""
    news: asyncio.Queue[Bar] = asyncio.Queue()

    async def stream() -> AsyncIterator[Bar]:
        while True:
            yield await news.get()

    async with stage(Source("s", stream, (Bar,), stale_after=timedelta(minutes=5))) as at:
        await at.clock.advance(299)
        assert at.states == ["running"]
        await at.clock.advance(80)
        assert at.state.state == "stale"
        assert (at.state.error or "").startswith("nothing new for 3")
        news.put_nowait(bars(1.0)[0])
        await at.clock.advance(1)
        assert at.states == ["running", "stale", "running"]
        assert at.state.restarts == 0


async def test_a_silent_source_is_stale_though_another_flow_has_trouble() -> None:
    """One flow's trouble must not hide another's; the worst of them is shown."""
    silent, _ = source([], name="silent", stale_after=timedelta(minutes=5))
    failing, _ = source(*[TransientError("x")] * 3, [], name="failing")
    async with stage(silent, failing) as at:
        await at.clock.advance(300 + 76)
        assert at.watch.state_of("silent") == "stale"
        await at.clock.advance(120)
        assert at.state.state == "stale"


async def test_a_flow_without_trouble_for_a_minute_runs_again_though_nothing_came() -> None:
    """A news source speaks every quarter of an hour; it need not look broken until then."""
    flow, _ = source(TransientError("x"), [])
    async with stage(flow) as at:
        await at.clock.advance(1)
        assert at.state.state == "retrying"
        await at.clock.advance(HEALTHY_AFTER + 20)
        assert at.states == ["running", "retrying", "running"]


async def test_a_flow_that_waits_is_not_called_running() -> None:
    """An hour of ban is an hour of `retrying`."""
    flow, _ = source(TransientError("banned", retry_after=3600), [])
    live = transform(lambda _: raise_(TransientError("busy", retry_after=3600)))
    async with stage(flow, live) as at:
        await at.bus.publish(bars(1.0)[0])
        await at.clock.advance(3500)
        assert at.watch.state_of("s") == at.watch.state_of("t") == "retrying"


async def test_states_are_announced_in_order_and_since_tells_when_they_began() -> None:
    """Home Assistant shows `since`; a new reason for the same state is no new state."""
    flow, _ = source(TransientError("first"), TransientError("second"), [bars(1.0)[0]], [bars(1.0)[0]])
    async with stage(flow) as at:
        await at.clock.advance(60)
        await at.stop()
        assert at.states == ["running", "retrying", "retrying", "running", "stopped"]
        assert [state.restarts for state in at.announced] == [0, 1, 2, 2, 2]
        assert [state.error for state in at.announced] == [None, "first", "second", None, None]
        since = [state.since for state in at.announced]
        assert since == sorted(since)
        assert since[1] == since[2] < since[3] < since[4]


async def test_what_a_source_yielded_is_on_disk_when_it_goes_on() -> None:
    """So a source may ask the store where it stands."""
    seen: list[int] = []
    recorder = MemoryRecorder()

    async def stream() -> AsyncIterator[Any]:
        for number in range(1, 5):
            yield bars(*range(1, number + 1))
            seen.append(len(recorder.facts))
        await asyncio.Event().wait()

    async with stage(Source("s", stream, (Bar,)), recorder=recorder):
        assert seen == [1, 3, 6, 10]
        assert [len(commit) for commit in recorder.commits] == [1, 2, 3, 4], "one batch, one transaction"


async def test_a_batch_is_held_while_the_store_cannot_write() -> None:
    """A full disk costs time, not bars; and nothing more is taken in meanwhile."""
    recorder = MemoryRecorder()
    recorder.full = 5
    series = bars(1.0, 2.0, 3.0)
    flow, begun = source(series)
    async with stage(flow, recorder=recorder) as at:
        assert (at.state.state, at.state.error) == ("retrying", "the disk is full")
        assert recorder.recorded == []
        await at.clock.advance(200)
        assert recorder.recorded == series
        assert (len(begun), recorder.refused, at.state.state, at.state.restarts) == (1, 5, "running", 0)


async def test_a_transform_goes_on_with_the_next_message_after_a_bug() -> None:
    """The same message would only meet the bug again; the others did nothing wrong."""

    def work(bar: Bar) -> list[Alert]:
        if bar.close == 2.0:
            raise KeyError("x")
        return [alert(f"{bar.close}")]

    async with stage(transform(work)) as at:
        for bar in bars(1.0, 2.0, 3.0):
            await at.bus.publish(bar)
        await at.clock.advance(5)
        assert at.recorder.recorded == [alert("1.0"), alert("3.0")]
        assert at.states == ["running", "retrying", "running"]
        assert at.state.restarts == 1
        assert at.bus.readers == 1


async def test_a_transform_gets_the_same_message_again_after_trouble_that_may_pass() -> None:
    """A service that was down for a minute must not cost a message."""
    seen: list[float] = []

    def work(bar: Bar) -> list[Alert]:
        seen.append(bar.close)
        if len(seen) < 4:
            raise TransientError("down")
        return [alert(f"{bar.close}")]

    async with stage(transform(work)) as at:
        for bar in bars(1.0, 2.0):
            await at.bus.publish(bar)
        await at.clock.advance(30)
        assert seen == [1.0, 1.0, 1.0, 1.0, 2.0]
        assert at.recorder.recorded == [alert("1.0"), alert("2.0")]


async def test_a_transform_has_a_deadline_for_each_message() -> None:
    """One that never answers loses the message, and hears the next."""

    async def work(bar: Bar) -> list[Alert]:
        if bar.close == 1.0:
            await asyncio.Event().wait()
        return [alert("made")]

    async with stage(transform(work, deadline=0.02)) as at:
        for bar in bars(1.0, 2.0):
            await at.bus.publish(bar)
        await at.until("retrying")
        assert at.state.error == "RuntimeError: gave no result within 0.02 s"
        await at.clock.advance(5)
        assert at.recorder.recorded == [alert("made")]


async def test_a_timeout_of_its_own_is_not_taken_for_the_deadline() -> None:
    """The plugin's httpx timed out; the hub's patience had nothing to do with it."""
    async with stage(transform(lambda _: raise_(TimeoutError("upstream")))) as at:
        await at.bus.publish(bars(1.0)[0])
        await at.clock.advance(0)
        assert (at.state.error or "").startswith("TimeoutError: upstream")


async def test_what_a_transform_makes_of_a_message_is_recorded_together_or_not_at_all() -> None:
    """Half of a forecast is none."""

    def work(bar: Bar) -> Any:
        yield alert("a")
        yield alert("b")
        if bar.close == 1.0:
            raise ValueError("x")

    async with stage(transform(work)) as at:
        for bar in bars(1.0, 2.0):
            await at.bus.publish(bar)
        await at.clock.advance(5)
        assert at.recorder.commits == [[alert("a"), alert("b")]]


async def test_a_transform_that_never_stops_yielding_is_stopped() -> None:
    """It would fill the memory and never give the loop back."""

    async def apply(_: Bar) -> AsyncIterator[Alert]:
        while True:
            yield alert("again")

    async with stage(Transform("t", apply, (Bar,), (Alert,))) as at:
        await at.bus.publish(bars(1.0)[0])
        await at.clock.advance(0)
        assert f"made more than {MOST_OUTPUTS} messages of one" in (at.state.error or "")
        assert at.recorder.recorded == []


async def test_a_transform_that_makes_what_it_did_not_declare_is_refused() -> None:
    """The graph and the ACL are drawn from what it declared."""
    async with stage(transform(lambda bar: [bar])) as at:
        await at.bus.publish(bars(1.0)[0])
        await at.clock.advance(0)
        assert "t says it produces Alert, but yielded Bar(" in (at.state.error or "")


@pytest.mark.parametrize("error", [PermanentError("no"), SettingsError("no")])
async def test_a_transform_ends_where_trying_again_cannot_help(error: Exception) -> None:
    """And its subscription ends with it."""
    async with stage(transform(lambda _: raise_(error))) as at:
        await at.bus.publish(bars(1.0)[0])
        await at.clock.advance(0)
        assert at.states == ["running", "failed"]
        assert at.bus.readers == 0


class Shelf:
    """A sink's other side."""

    def __init__(self, *troubles: BaseException | None) -> None:
        self.taken: list[list[Message]] = []
        self.offered: list[list[Message]] = []
        self._troubles = list(troubles)

    async def write(self, batch: Sequence[Message]) -> None:
        self.offered.append(list(batch))
        if self._troubles and (trouble := self._troubles.pop(0)) is not None:
            raise trouble
        self.taken.append(list(batch))


async def test_a_durable_sink_sees_a_batch_again_unless_write_returned() -> None:
    """At least once: a database that was down gets everything when it is back."""
    recorder, series = MemoryRecorder(), bars(*range(1, 8))
    await recorder.record(series)
    shelf = Shelf(TransientError("down"), ValueError("bug"), None, TransientError("down"))
    async with stage(Sink("db", shelf.write, (Bar,), durable=True, batch=3), recorder=recorder) as at:
        await at.clock.advance(60)
        assert shelf.taken == [series[0:3], series[3:6], series[6:]]
        assert shelf.offered[:3] == [series[0:3]] * 3
        assert recorder.cursors == {"x.db": 7}
        assert at.state.state == "running"
        await recorder.record(bars(9.0))
        await at.clock.advance(0)
        assert shelf.taken[-1] == bars(9.0), "what is recorded later comes when it is recorded"


async def test_a_durable_sink_goes_on_where_it_was_after_a_restart() -> None:
    """The cursor is on disk: nothing twice, nothing left out."""
    recorder, series = MemoryRecorder(), bars(*range(1, 10))
    await recorder.record(series[:5])
    first, second = Shelf(), Shelf()
    async with stage(Sink("db", first.write, (Bar,), durable=True, batch=2), recorder=recorder):
        pass
    await recorder.record(series[5:])
    async with stage(Sink("db", second.write, (Bar,), durable=True, batch=2), recorder=recorder):
        pass
    assert [message for batch in first.taken + second.taken for message in batch] == series


async def test_a_durable_sink_is_not_asked_twice_because_the_cursor_could_not_be_written() -> None:
    """The disk is full for a while; the database has the batch already."""
    recorder, shelf = MemoryRecorder(), Shelf()
    await recorder.record(bars(1.0))
    recorder.full = 3
    async with stage(Sink("db", shelf.write, (Bar,), durable=True), recorder=recorder) as at:
        await at.clock.advance(60)
        assert len(shelf.offered) == 1
        assert recorder.cursors == {"x.db": 1}


async def test_a_sink_that_hangs_is_given_up_and_asked_again() -> None:
    """A socket that never answers must not hold a forwarder for ever."""
    recorder, offered = MemoryRecorder(), 0
    await recorder.record(bars(1.0))

    async def write(_: Sequence[Bar]) -> None:
        nonlocal offered
        offered += 1
        if offered == 1:
            await asyncio.Event().wait()

    async with stage(Sink("db", write, (Bar,), durable=True), recorder=recorder) as at:
        await at.until("retrying")
        assert at.state.error == "did not take 1 messages within 0.05 s"
        await at.clock.advance(5)
        assert (offered, recorder.cursors) == (2, {"x.db": 1})


async def test_a_live_sink_hears_what_comes_and_leaves_no_subscription_behind() -> None:
    """Each restart subscribes anew; the old subscription would hold a thousand messages for nobody."""
    shelf = Shelf(None, TransientError("down"), TransientError("down"))
    async with stage(Sink("live", shelf.write, (Bar,))) as at:
        for bar in bars(1.0, 2.0, 3.0, 4.0):
            await at.bus.publish(bar)
            await at.clock.advance(10)
        assert [batch[0] for batch in shelf.taken] == [bars(1.0, 2.0, 3.0, 4.0)[0], bars(1.0, 2.0, 3.0, 4.0)[3]]
        assert at.bus.readers == 1
    assert at.bus.readers == 0


async def test_a_flood_is_slowed_down_and_starves_nobody() -> None:
    """Thousands of messages a second wear out the card and every subscriber; the flow beside keeps all its ticks."""

    async def flood() -> AsyncIterator[Alert]:
        while True:
            yield alert("again")

    async def tick() -> AsyncIterator[Bar]:
        for bar in bars(*range(1, 61)):
            yield bar
            await at.clock.sleep(1)
        await asyncio.Event().wait()

    at = Stage()
    at.run(Source("flood", flood, (Alert,)), Source("tick", tick, (Bar,)))
    try:
        while sum(isinstance(message, Alert) for message in at.recorder.recorded) < Allowance.burst:
            await at.clock.advance(0)
        await at.clock.advance(60)
        floods = sum(isinstance(message, Alert) for message in at.recorder.recorded)
        assert Allowance.burst <= floods <= Allowance.burst + 61 * Allowance.per_second
        assert sum(isinstance(message, Bar) for message in at.recorder.recorded) == 60
        told = [entry for entry in at.capture.entries if "floods the hub" in entry["event"]]
        assert 1 <= len(told) <= 2, "once a minute, not at every batch"
    finally:
        await at.stop()


async def test_a_healthy_flow_keeps_every_tick_beside_eight_that_fail() -> None:
    """A thousand minutes, and every kind of failure beside them."""
    errors = [TransientError("x"), ValueError("x"), SystemExit(1), OddError(), Unrelated(), asyncio.CancelledError(), PermanentError("x")]
    series = bars(*(float(close) for close in range(1, 1001)))

    async def tick() -> AsyncIterator[Bar]:
        for bar in series:
            yield bar
            await at.clock.sleep(60)
        await asyncio.Event().wait()

    at = Stage()
    at.run(*(source(error, name=f"bad{number}")[0] for number, error in enumerate(errors)))
    at.run(Source("junk", lambda: [1], (Bar,)), Source("tick", tick, (Bar,)))  # type: ignore[arg-type, return-value]
    try:
        await at.clock.advance(1000 * 60)
        assert at.recorder.recorded == series
        assert at.state.restarts > 1000
    finally:
        await at.stop()


async def test_stopping_lets_a_flow_clean_up() -> None:
    """A plugin's `finally` closes its files."""
    closed: list[str] = []

    async def stream() -> AsyncIterator[Bar]:
        try:
            yield bars(1.0)[0]
            await asyncio.Event().wait()
        finally:
            closed.append("source")

    async def apply(_: Bar) -> AsyncIterator[Alert]:
        try:
            await asyncio.Event().wait()
            yield alert("never")
        finally:
            closed.append("transform")

    async with stage(Source("s", stream, (Bar,)), Transform("t", apply, (Bar,), (Alert,))) as at:
        await at.bus.publish(bars(1.0)[0])
        await at.clock.advance(0)
    assert sorted(closed) == ["source", "transform"]
    assert at.state.state == "stopped"
    assert all(task.cancelled() for task in at.tasks)


async def test_an_outlet_is_started_again_when_it_fails_and_ends_for_good_where_it_may_not_be() -> None:
    """It is supervised like any flow, and the topics of others are not open to it."""
    async with stage() as here:
        times = 0

        async def talks(outside: Outside) -> None:
            nonlocal times
            times += 1
            outside.announce("device/x", str(times).encode())
            if times == 1:
                raise TransientError("the house is away")
            if times == 2:
                await here.clock.sleep(DAY)
            outside.announce("../hub/state/#", b"offline")

        here.run(Outlet("talks", "house", talks))
        await here.clock.advance(1)
        assert (here.state.state, here.state.error) == ("retrying", "the house is away")
        await here.clock.advance(120)
        assert here.state.state == "running"
        assert here.bus.outside == {"house/device/x": b"2"}
        await here.clock.advance(DAY)
        assert here.state.state == "failed"
        assert "is no topic below house/" in (here.state.error or "")
        assert set(here.bus.announced) == {"house/device/x"}
