"""Runs every flow alone: what fails is started again after a jittered wait, and the plugin's state says how it is doing."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from typing import Any, Protocol

from hub.clock import Clock
from hub.errors import Forgotten, HubError, PermanentError, SettingsError, TransientError
from hub.flow import Flow, Kinds, Sink, Source, Transform
from hub.messages import Message, PluginState
from hub.runtime.backlog import MEASURED_EVERY, Backlog, Lag
from hub.runtime.plugins import describe
from hub.runtime.recorder import Recorder

LONGEST_WAIT = 60.0
HEALTHY_AFTER = 60.0
WRITE_DEADLINE = 120.0
_BADNESS = ("stopped", "running", "stale", "retrying", "failed")


class Subscriptions(Protocol):
    """Where live messages come from: the bus, or a fake of it."""

    def subscribe(self, kinds: Kinds) -> Any:
        """An asynchronous iterator of messages of these kinds."""


def backoff(failures: int) -> float:
    """Seconds to wait after that many failures in a row: doubling, with jitter, at most a minute."""
    return min(LONGEST_WAIT, 2.0 ** min(failures, 10)) * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing


class PluginWatch:
    """The state of one plugin: the worst of its flows and all that waits for them, announced whenever it changes."""

    def __init__(self, name: str, clock: Clock, announce: Callable[[PluginState], None]) -> None:
        self.name = name
        self.restarts = 0
        self._clock = clock
        self._announce = announce
        self._flows: dict[str, tuple[str, str | None]] = {}
        self.lags: dict[str, Lag] = {}
        """Of each durable sink, as last measured."""
        self.state = PluginState(name=name, state="stopped", since=clock.now())

    def report(self, flow: str, state: str, error: str | None = None, lag: Lag | None = None) -> None:
        """One of its flows is now in this state."""
        self._flows[flow] = (state, error)
        if lag is not None:
            self.lags[flow] = lag
        worst, reason = max(self._flows.values(), key=lambda entry: (_BADNESS.index(entry[0]), entry[1] is not None))
        told: dict[str, Any] = {"state": worst, "error": reason, "restarts": self.restarts, "lag": None, "lag_s": None}
        if self.lags:
            told["lag"] = sum(each.facts for each in self.lags.values())
            told["lag_s"] = round(max(each.seconds for each in self.lags.values()), 1)
        if told != self.state.model_dump(include=set(told)):
            since = self.state.since if worst == self.state.state else self._clock.now()
            self.state = PluginState.model_validate({"name": self.name, "since": since, **told})
            self._announce(self.state)


class Supervisor:
    """Keeps flows running until it is cancelled."""

    def __init__(self, clock: Clock, recorder: Recorder, bus: Subscriptions) -> None:
        self._clock = clock
        self._recorder = recorder
        self._bus = bus

    async def keep_running(self, flow: Flow, watch: PluginWatch, log: Any) -> None:
        """Run one flow for ever; returns only when it failed for good."""
        run = FlowRun(flow, watch, log.bind(flow=flow.name), self._clock, self._recorder, self._bus)
        telling = asyncio.create_task(run.tell_lag()) if run.backlog else None
        try:
            await self._start_again(run)
        finally:
            if telling:
                telling.cancel()

    async def _start_again(self, run: "FlowRun") -> None:
        failures, flow, watch = 0, run.flow, run.watch
        while True:
            begun = self._clock.monotonic()
            try:
                watch.report(flow.name, "running") if not failures else None
                await run.once()
                problem: BaseException = TransientError("ended by itself")
            except (PermanentError, SettingsError) as error:
                run.log.error("failed for good", reason=str(error))
                watch.report(flow.name, "failed", str(error))
                return
            except BaseException as error:  # SystemExit too: nothing that a plugin raises may end the hub
                if _is_our_own_cancellation(error):
                    watch.report(flow.name, "stopped")
                    raise
                problem = error
            failures = 0 if self._clock.monotonic() - begun > HEALTHY_AFTER + LONGEST_WAIT else failures
            await run.wait_after(problem, failures)
            failures += 1


class FlowRun:
    """One flow at work."""

    def __init__(self, flow: Flow, watch: PluginWatch, log: Any, clock: Clock, recorder: Recorder, bus: Subscriptions) -> None:
        self.flow = flow
        self.watch = watch
        self.log = log
        self._clock = clock
        self._recorder = recorder
        self._bus = bus
        self._last_item = clock.monotonic()
        self._trouble: str | None = None
        self.backlog = Backlog(flow.consumes, recorder, clock) if isinstance(flow, Sink) and flow.durable else None

    async def once(self) -> None:
        """Run the flow until it ends or raises."""
        if isinstance(self.flow, Source):
            await self._run_source(self.flow)
        elif isinstance(self.flow, Transform):
            await self._run_transform(self.flow)
        elif self.backlog:
            await self._run_durable_sink(self.flow, self.backlog)
        else:
            await self._run_live_sink(self.flow)

    async def wait_after(self, problem: BaseException, failures: int) -> None:
        """Say what went wrong, and wait before the next try: at least as long as the other side asked."""
        known = isinstance(problem, HubError)
        text = str(problem) if known else describe(problem)
        wait = max(backoff(failures), getattr(problem, "retry_after", None) or 0.0)
        self.watch.restarts += 1
        self.log.warning("trying again", reason=text, wait_s=round(wait, 1), exc_info=None if known else problem)
        self._trouble = text
        if self.backlog:
            with suppress(TransientError):
                await self.backlog.measure()
        self._show()
        await self._clock.sleep(wait)

    async def tell_lag(self) -> None:
        """Say once a minute how far a durable sink is behind, for ever."""
        while self.backlog:
            await self._clock.sleep(MEASURED_EVERY)
            with suppress(TransientError):
                if self.backlog.worth_telling:
                    await self.backlog.measure()
                    self._show()

    def _show(self) -> None:
        """What the flow's state is now, with the words for it."""
        lag = self.backlog.lag if self.backlog else None
        state, words = ("running", self._remark()) if self._trouble is None else ("retrying", self._trouble)
        if lag and lag.stale:
            state, words = "stale", ": ".join(filter(None, (f"{self.watch.name} is {lag.words}", words)))
        self.watch.report(self.flow.name, state, words, lag)

    def _remark(self) -> str | None:
        try:
            return self.flow.remark() if isinstance(self.flow, Sink) and self.flow.remark else None
        except Exception as error:  # noqa: BLE001 - the plugin's: a broken remark must not stop the flow
            return describe(error)

    def _works(self) -> None:
        self._trouble = None
        self._show()

    async def _run_source(self, source: Source) -> None:
        self._last_item = self._clock.monotonic()
        stale = asyncio.create_task(self._watch_for_staleness(source)) if source.stale_after else None
        try:
            async with aclosing(_iterate(source.stream())) as stream:
                async for item in stream:
                    batch = [item] if isinstance(item, Message) else list(item)
                    _check_produced(source, batch)
                    await self._record(batch)
                    self._last_item = self._clock.monotonic()
                    self._works()
        finally:
            if stale:
                stale.cancel()

    async def _watch_for_staleness(self, source: Source) -> None:
        patience = source.stale_after.total_seconds() if source.stale_after else 0.0
        while True:
            await self._clock.sleep(patience / 4)
            silent = self._clock.monotonic() - self._last_item
            if silent > patience and self.watch.state.state == "running":
                self.log.warning("stale", silent_s=round(silent))
                self.watch.report(source.name, "stale", f"nothing new for {round(silent)} s")

    async def _run_transform(self, transform: Transform) -> None:
        async with aclosing(_iterate(self._bus.subscribe(transform.consumes))) as arriving:
            failures = 0
            async for message in arriving:
                while True:
                    problem = await self._apply(transform, message)
                    if problem is None:
                        failures = 0
                        break
                    await self.wait_after(problem, failures)
                    failures += 1
                    if not isinstance(problem, TransientError):
                        break  # a bug: the same message would only meet it again

    async def _apply(self, transform: Transform, message: Message) -> BaseException | None:
        try:
            async with asyncio.timeout(transform.deadline.total_seconds()), aclosing(_iterate(transform.apply(message))) as outputs:
                made = [output async for output in outputs]
        except PermanentError:
            raise
        except TimeoutError:
            return RuntimeError(f"gave no result within {transform.deadline.total_seconds():g} s")
        except BaseException as error:
            if _is_our_own_cancellation(error):
                raise
            return error
        _check_produced(transform, made)
        if made:
            await self._record(made)
        self._works()
        return None

    async def _run_durable_sink(self, sink: Sink, backlog: Backlog) -> None:
        name = f"{self.watch.name}.{sink.name}"
        backlog.seq = await self._recorder.cursor(name)
        while True:
            edition, newest = self._recorder.edition, await self._recorder.last_seq()
            facts = await self._recorder.facts_after(backlog.seq, sink.consumes, sink.batch)
            if not facts:
                backlog.seq = max(backlog.seq, newest)  # nothing of it up to there is for this sink: not looked through again
                backlog.ends()
                self._works()
                await self._recorder.wait_for_news(edition)
                continue
            backlog.begins()
            try:
                await self._write(sink, [message for _, message in facts])
                backlog.seq = facts[-1][0]
            except Forgotten as error:
                self.log.warning("begins again with the oldest fact", reason=str(error))
                backlog.seq = 0
            await self._recorder.move_cursor(name, backlog.seq)
            self._works()

    async def _run_live_sink(self, sink: Sink) -> None:
        async with aclosing(_iterate(self._bus.subscribe(sink.consumes))) as arriving:
            async for message in arriving:
                await self._write(sink, [message])
                self._works()

    async def _write(self, sink: Sink, batch: Sequence[Message]) -> None:
        try:
            async with asyncio.timeout(WRITE_DEADLINE):
                await sink.write(batch)
        except TimeoutError as error:
            raise TransientError(f"did not take {len(batch)} messages within {WRITE_DEADLINE:g} s") from error

    async def _record(self, batch: Sequence[Message]) -> None:
        """The batch is held, and nothing more is taken in, until it is on disk."""
        failures = 0
        while True:
            try:
                await self._recorder.record(batch)
            except TransientError as error:
                await self.wait_after(error, failures)
                failures += 1
            else:
                return


async def _iterate(stream: Any) -> Any:
    """`stream` as an asynchronous generator; TypeError, in words, where it is none."""
    if not hasattr(stream, "__aiter__"):
        if isinstance(stream, Awaitable):
            getattr(stream, "close", lambda: None)()
        raise TypeError(f"must be an asynchronous generator (async def with yield), not {type(stream).__name__}")
    iterator = stream.__aiter__()
    try:
        async for item in iterator:
            yield item
    finally:
        if hasattr(iterator, "aclose"):
            await iterator.aclose()


def _check_produced(flow: Source | Transform, batch: Sequence[Any]) -> None:
    for item in batch:
        if not isinstance(item, flow.produces):
            names = ", ".join(kind.__name__ for kind in flow.produces)
            raise TypeError(f"{flow.name} says it produces {names}, but yielded {item!r:.200}")


def _is_our_own_cancellation(error: BaseException) -> bool:
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError | GeneratorExit) and task is not None and task.cancelling() > 0
