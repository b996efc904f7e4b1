"""Runs every flow alone: what fails is started again after a jittered wait, and the plugin's state says how it is doing."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from typing import Any, Protocol

from hub.clock import Clock, SystemClock
from hub.errors import Forgotten, HubError, PermanentError, SettingsError, TransientError
from hub.flow import Desk, Flow, Kinds, Outlet, Service, Sink, Source, Transform
from hub.messages import Message
from hub.runtime.hosting.backlog import MEASURED_EVERY, Backlog
from hub.runtime.hosting.streams import batch_of, iterate
from hub.runtime.hosting.watch import PluginWatch
from hub.runtime.mqtt.outside import OutsideTopics, Wire
from hub.runtime.patience import Allowance, asked_wait
from hub.runtime.words import DescribedError, describe, reason_of

LONGEST_WAIT = 60.0
HEALTHY_AFTER = 60.0
WRITE_DEADLINE = 120.0
MOST_OUTPUTS = 1_000
"""Messages that a transform may make of one."""


class Subscriptions(Wire, Protocol):
    """Where live messages come from: the bus, or a fake of it."""

    def subscribe(self, kinds: Kinds) -> Any:
        """An asynchronous iterator of messages of these kinds, with `close()`."""

    def subscribe_spread(self, kinds: Kinds, group: str) -> Any:
        """The same, but each message goes to one host of the group."""


class Recording(Protocol):
    """The way to disk: the recorder, or a fake of it."""

    @property
    def edition(self) -> int:
        """Grows with every commit."""

    async def record(self, messages: Sequence[Message]) -> None:
        """Returns once the messages are on disk; TransientError if they cannot be now."""

    async def facts_after(self, seq: int, kinds: Kinds, limit: int) -> list[tuple[int, Message]]:
        """Up to `limit` facts of these kinds that are newer than `seq`, in order."""

    async def cursor(self, name: str) -> int:
        """How far the reader of that name has come."""

    async def move_cursor(self, name: str, seq: int) -> None:
        """Remember on disk how far it has come; TransientError if that cannot be now."""

    async def last_seq(self) -> int:
        """The newest fact's number."""

    async def waiting(self, seq: int, kinds: Kinds) -> int:
        """How many facts of these kinds are newer than `seq`."""

    async def wait_for_news(self, edition: int) -> None:
        """Returns when something may have been recorded since `edition`."""


def backoff(failures: int) -> float:
    """Seconds to wait after that many failures in a row: doubling, with jitter, at most a minute."""
    return min(LONGEST_WAIT, 2.0 ** min(failures, 10)) * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing


class Supervisor:
    """Keeps flows running until it is cancelled."""

    def __init__(
        self,
        clock: Clock,
        recorder: Recording,
        bus: Subscriptions,
        *,
        desk: Desk | None = None,
        machine: Clock | None = None,
        write_deadline: float = WRITE_DEADLINE,
    ) -> None:
        """`desk`: where services ask. `machine` meters floods: real seconds, unless a test hurries them.

        `write_deadline`: a sink's, in real seconds.
        """
        self.clock = clock
        self.recorder = recorder
        self.bus = bus
        self.desk = desk
        self.write_deadline = write_deadline
        self._machine = machine or SystemClock()

    async def keep_running(self, flow: Flow, watch: PluginWatch, log: Any) -> None:
        """Run one flow for ever; returns only when it failed for good."""
        run = FlowRun(self, flow, watch, log.bind(flow=flow.name), Allowance(self._machine))
        telling = asyncio.create_task(run.tell_lag(run.backlog)) if run.backlog else None
        try:
            await self._start_again(run)
        finally:
            if telling:
                telling.cancel()

    async def _start_again(self, run: "FlowRun") -> None:
        failures, flow, watch = 0, run.flow, run.watch
        watch.report(flow.name, "running")
        while True:
            begun = self.clock.monotonic()
            try:
                await run.once()
                problem: BaseException = TransientError("ended by itself")
            except (PermanentError, SettingsError) as error:
                run.log.error("failed for good", reason=reason_of(error))
                watch.report(flow.name, "failed", reason_of(error))
                return
            except BaseException as error:  # SystemExit too: nothing that a plugin raises may end the hub
                if _is_our_own_cancellation(error):
                    watch.report(flow.name, "stopped")
                    raise
                problem = error
            failures = 0 if self.clock.monotonic() - begun > HEALTHY_AFTER + LONGEST_WAIT else failures
            await run.wait_after(problem, failures)
            failures += 1


class FlowRun:
    """One flow at work."""

    def __init__(self, supervisor: Supervisor, flow: Flow, watch: PluginWatch, log: Any, allowance: Allowance) -> None:
        self.flow = flow
        self.watch = watch
        self.log = log
        self._clock = supervisor.clock
        self._recorder = supervisor.recorder
        self._bus = supervisor.bus
        self._desk = supervisor.desk
        self._write_deadline = supervisor.write_deadline
        self._allowance = allowance
        self._last_item = self._last_trouble = self._clock.monotonic()
        self._waits = False
        self._trouble: str | None = None
        self._silence: str | None = None
        self.backlog = Backlog(flow.consumes, supervisor.recorder, supervisor.clock) if isinstance(flow, Sink) and flow.durable else None

    async def once(self) -> None:
        """Run the flow until it ends or raises."""
        self._last_item = self._clock.monotonic()
        watching = asyncio.create_task(self._look_after())
        try:
            if isinstance(self.flow, Source):
                await self._run_source(self.flow)
            elif isinstance(self.flow, Transform):
                await self._run_transform(self.flow)
            elif isinstance(self.flow, Outlet):
                await self.flow.run(OutsideTopics(self._bus, self.flow.prefix))
            elif isinstance(self.flow, Service):
                await self._run_service(self.flow)
            elif self.backlog:
                await self._run_durable_sink(self.flow, self.backlog)
            else:
                await self._run_live_sink(self.flow)
        finally:
            watching.cancel()

    async def wait_after(self, problem: BaseException, failures: int, *, counts: bool = True) -> None:
        """Say what went wrong, and wait before the next try: at least as long as the other side asked."""
        known = isinstance(problem, HubError)
        text = reason_of(problem) if known else describe(problem)
        wait = max(backoff(failures), asked_wait(problem))
        self.watch.restarts += counts
        traced = None if known or isinstance(problem, DescribedError) else problem
        self.log.warning("trying again", reason=text, wait_s=round(wait, 1), exc_info=traced)
        if self.backlog:
            with suppress(TransientError):
                await self.backlog.measure()
        self._trouble = text
        self._show("retrying", text)
        self._waits = True
        try:
            await self._clock.sleep(wait)
        finally:
            self._waits = False
            self._last_trouble = self._clock.monotonic()

    async def _look_after(self) -> None:
        """Turn the state to stale where nothing comes, and back to running where nothing has gone wrong for a minute."""
        stale_after = self.flow.stale_after.total_seconds() if isinstance(self.flow, Source) and self.flow.stale_after else None
        while True:
            await self._clock.sleep(min(HEALTHY_AFTER, stale_after or HEALTHY_AFTER) / 4)
            now, state = self._clock.monotonic(), self.watch.state_of(self.flow.name)
            if state == "retrying" and not self._waits and now - self._last_trouble >= HEALTHY_AFTER:
                state, self._trouble = "running", None
                self._show(state, self._remark())
            silent = now - self._last_item
            if state == "running" and stale_after is not None and silent > stale_after:
                self.log.warning("stale", silent_s=round(silent))
                self._silence, state = f"nothing new for {round(silent)} s", "stale"
            if isinstance(self.flow, Source | Outlet) and state in {"running", "stale"}:
                words = (self._silence if state == "stale" else None, self._remark())
                self.watch.report(self.flow.name, state, ": ".join(filter(None, words)) or None)

    def _well(self) -> None:
        self._last_item = self._clock.monotonic()
        self._trouble = None
        self._show("running", self._remark())

    def _show(self, state: str, words: str | None) -> None:
        """What the flow's state is now; a sink that is far behind is stale, whatever else it is."""
        lag = self.backlog.lag if self.backlog else None
        if lag and lag.stale:
            state, words = "stale", ": ".join(filter(None, (f"{self.watch.name} is {lag.words}", words)))
        self.watch.report(self.flow.name, state, words, lag)

    def _remark(self) -> str | None:
        try:
            return self.flow.remark() if not isinstance(self.flow, Transform | Service) and self.flow.remark else None
        except Exception as error:  # noqa: BLE001 - the plugin's: a broken remark must not stop the flow
            return describe(error)

    async def tell_lag(self, backlog: Backlog) -> None:
        """Say once a minute how far a durable sink is behind, for ever."""
        while True:
            await self._clock.sleep(MEASURED_EVERY)
            with suppress(TransientError):
                if backlog.worth_telling:
                    await backlog.measure()
                    state = "retrying" if self._trouble else "running"
                    self._show(state, self._trouble or self._remark())

    async def _run_source(self, source: Source) -> None:
        async with aclosing(iterate(source.stream())) as stream:
            async for item in stream:
                await self._record(batch_of(source, item))
                self._well()

    async def _run_transform(self, transform: Transform) -> None:
        group = f"{self.watch.name}.{transform.name}"
        bus = self._bus
        heard = bus.subscribe_spread(transform.consumes, group) if transform.spread else bus.subscribe(transform.consumes)
        async with aclosing(iterate(heard)) as arriving:
            failures = 0
            async for message in arriving:
                while (problem := await self._apply(transform, message)) is not None:
                    await self.wait_after(problem, failures)
                    failures += 1
                    if not isinstance(problem, TransientError):
                        break  # a bug: the same message would only meet it again
                else:
                    failures = 0
                    self._well()

    async def _apply(self, transform: Transform, message: Message) -> BaseException | None:
        """Make and record what the transform makes of one message, or say why there is nothing. PermanentError ends the flow."""
        limit = transform.deadline.total_seconds()
        try:
            async with asyncio.timeout(limit) as time, aclosing(iterate(transform.apply(message))) as outputs:
                made: list[Message] = []
                async for output in outputs:
                    made += batch_of(transform, [output])
                    if len(made) > MOST_OUTPUTS:
                        raise ValueError(f"made more than {MOST_OUTPUTS} messages of one")
            if made:
                await self._record(made)
        except (PermanentError, SettingsError):
            raise
        except BaseException as error:
            if _is_our_own_cancellation(error):
                raise
            return RuntimeError(f"gave no result within {limit:g} s") if time.expired() and isinstance(error, TimeoutError) else error
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
                self._well()
                await self._recorder.wait_for_news(edition)
                continue
            backlog.begins()
            try:
                await self._write(sink, [message for _, message in facts])
                backlog.seq = facts[-1][0]
            except Forgotten as error:
                self.log.warning("begins again with the oldest fact", reason=str(error))
                backlog.seq = 0
            await self._hold(lambda: self._recorder.move_cursor(name, backlog.seq))
            self._well()

    async def _run_service(self, service: Service) -> None:
        if self._desk is None:
            raise PermanentError("a service runs in a hub that answers requests")
        await service.run(self._desk)

    async def _run_live_sink(self, sink: Sink) -> None:
        async with aclosing(iterate(self._bus.subscribe(sink.consumes))) as arriving:
            async for message in arriving:
                await self._write(sink, [message])
                self._well()

    async def _write(self, sink: Sink, batch: Sequence[Message]) -> None:
        time = asyncio.timeout(self._write_deadline)
        try:
            async with time:
                await sink.write(batch)
        except TimeoutError as error:
            if time.expired():
                raise TransientError(f"did not take {len(batch)} messages within {self._write_deadline:g} s") from error
            raise

    async def _record(self, batch: Sequence[Message]) -> None:
        """The batch is held, and nothing more is taken in, until it is on disk."""
        if self._allowance.spent():
            self.log.warning(f"floods the hub and is slowed down to {self._allowance.per_second} batches a second")
        await self._allowance.take()
        await self._hold(lambda: self._recorder.record(batch))

    async def _hold(self, commit: Callable[[], Awaitable[None]]) -> None:
        failures = 0
        while True:
            try:
                await commit()
            except TransientError as error:
                await self.wait_after(error, failures, counts=False)
                failures += 1
            else:
                return


def _is_our_own_cancellation(error: BaseException) -> bool:
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError | GeneratorExit) and task is not None and task.cancelling() > 0
