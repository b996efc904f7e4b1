"""The composition root: builds the hub from its configuration, runs it, and stops it cleanly."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import structlog

from hub import __version__
from hub.clock import Clock
from hub.errors import HubError, SettingsError, TransientError
from hub.flow import Answer
from hub.messages import Forecast, HubInfo, PluginState, Request, Score, Sentiment
from hub.runtime import control
from hub.runtime.bus import Bus
from hub.runtime.context import clock_for
from hub.runtime.disk_watch import DiskWatch
from hub.runtime.embedded import EmbeddedBroker
from hub.runtime.health import health_of
from hub.runtime.lineup import STORE_FILE, Member, line_up
from hub.runtime.outbox import Outbox
from hub.runtime.recorder import Recorder
from hub.runtime.requests import Requests, store_answers
from hub.runtime.store import SqliteStore
from hub.runtime.supervisor import PluginWatch, Supervisor
from hub.settings import Configuration, load_configuration
from hub.topics import encode, topic_of

STOP_PATIENCE = 2.0
STORE_PATIENCE = 10.0


class App:
    """A running hub."""

    def __init__(self, configuration: Configuration, recorder: Recorder, bus: Bus, clock: Clock) -> None:
        self.configuration = configuration
        self.recorder = recorder
        self.bus = bus
        self.clock = clock
        self.outbox = Outbox(recorder.store, bus, structlog.get_logger().bind(part="outbox"))
        recorder.listeners.append(self.outbox.ring)
        self.members: dict[str, Member] = {}
        self.watches: dict[str, PluginWatch] = {}
        self.started_at = clock.now()
        self._supervisor = Supervisor(clock, recorder, bus)
        self._flows: dict[str, list[asyncio.Task[None]]] = {}
        self._answers: dict[str, Answer] = {
            **store_answers(recorder, clock),
            "health": self._answer_health,
            "plugin/restart": self._answer_restart,
        }
        self._log = structlog.get_logger()

    @property
    def requests(self) -> Requests:
        """The desk, with the verbs of the hub and of every plugin."""
        verbs = dict(self._answers)
        for member in self.members.values():
            verbs |= member.declared.answers
        return Requests(self.bus, verbs)

    def start(self, member: Member) -> None:
        """Run a plugin's flows, or show why it cannot."""
        member.ready(self.clock, self.recorder.store, self.configuration)
        self.members[member.name] = member
        watch = self.watches[member.name] = PluginWatch(member.name, self.clock, self._announce_state)
        log = self._log.bind(plugin=member.name)
        if member.failure:
            log.error("failed", reason=member.failure)
            watch.report("load", "failed", member.failure)
            return
        if not member.declared.flows:
            watch.report("load", "running")
        self._flows[member.name] = [
            asyncio.create_task(self._supervisor.keep_running(flow, watch, log), name=f"{member.name}.{flow.name}")
            for flow in member.declared.flows
        ]

    async def stop(self, name: str) -> None:
        """Stop a plugin's flows and let go of what it holds."""
        tasks = self._flows.pop(name, [])
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_PATIENCE)
        with suppress(TimeoutError):
            await asyncio.wait_for(self.members.pop(name).leave(), STOP_PATIENCE + 1.0)
        watch = self.watches.pop(name)
        self._announce_state(watch.state.model_copy(update={"state": "stopped", "since": self.clock.now(), "error": None}))

    def introduce(self) -> None:
        """Tell the world what this hub is."""
        info = HubInfo(
            version=__version__,
            started_at=self.started_at,
            symbols=self.configuration.settings.symbols,
            plugins=tuple(sorted(self.members)),
        )
        self.bus.announce(topic_of(info), encode(info))

    async def pump(self) -> None:
        """Keep the outbox going; a store that cannot be read now can be read later."""
        while True:
            try:
                await self.outbox.pump()
            except TransientError as error:
                self._log.warning("outbox waits", reason=str(error))
                await self.clock.sleep(STORE_PATIENCE)

    def recall(self) -> None:
        """Tell the bus what stood on retained topics when the hub last ran: a broker that has lost it gets it again."""
        store = self.recorder.store
        for symbol, open_time in store.frontier().items():
            for bar in store.bars(symbol, open_time, open_time):
                self.bus.remember(bar)
        for kind in (Forecast, Score, Sentiment):
            for fact in store.newest_facts(kind):
                self.bus.remember(fact)

    async def reload(self) -> None:
        """Read the configuration again: all of it is right and counts, or none of it does."""
        try:
            fresh = load_configuration(self.configuration.file)
            changed = {name for name, section in fresh.sections.items() if self.configuration.sections.get(name) != section}
            newcomers = await line_up(fresh, self.clock, sorted(changed))
            try:
                fresh.raise_problems()
            except SettingsError:
                for member in newcomers:
                    await member.leave()
                raise
        except HubError as error:
            self._log.error("configuration not reloaded; the old one goes on", problems=str(error).splitlines())
            return
        if fresh.settings.model_copy(update={"plugins": {}}) != self.configuration.settings.model_copy(update={"plugins": {}}):
            self._log.warning("what changed outside of plugins counts from the next start on")
        for name in [name for name in self.members if name in changed or name not in fresh.sections]:
            await self.stop(name)
        self.configuration = fresh
        for member in newcomers:
            self.start(member)
        self.introduce()
        self._log.info("configuration reloaded", changed=sorted(changed))

    def _announce_state(self, state: PluginState) -> None:
        self.bus.announce(topic_of(state), encode(state))

    async def _answer_health(self, _request: Request) -> Any:
        return await asyncio.to_thread(health_of, self)

    async def _answer_restart(self, request: Request) -> Any:
        name = (request.model_extra or {}).get("name", "")
        if name not in self.members:
            raise HubError(f"no plugin {name!r} runs here; there are: {', '.join(sorted(self.members))}")
        await self.stop(name)
        for member in await line_up(self.configuration, self.clock, [name]):
            self.start(member)
        return {"name": name, "state": self.watches[name].state.state}


async def run_hub(
    configuration: Configuration,
    *,
    seconds: float | None = None,
    clock: Clock | None = None,
    beside: Callable[[App], Awaitable[None]] | None = None,
) -> None:
    """Run until SIGTERM or SIGINT, or for that many seconds.

    `beside` runs along with the hub (the demo's display). SettingsError with every problem of the configuration; HubError where
    the data folder or the store cannot be used.
    """
    clock = clock or clock_for(configuration.settings.clock)
    log = structlog.get_logger()
    members = await line_up(configuration, clock)
    try:
        configuration.raise_problems()
        with control.only_hub(configuration.data_dir):
            store = await asyncio.to_thread(SqliteStore.open, configuration.data_dir / STORE_FILE, clock)
            if store.recovered:
                log.error("store recovered", what=store.recovered)
            recorder = Recorder(store, clock)
            try:
                await _run_with(
                    App(configuration, recorder, Bus(configuration.settings.mqtt, clock, log.bind(part="bus")), clock),
                    members,
                    seconds,
                    beside,
                )
            finally:
                await recorder.close()
    finally:
        await asyncio.gather(*(member.leave() for member in members))
        log.info("stopped")


async def _run_with(app: App, members: list[Member], seconds: float | None, beside: Callable[[App], Awaitable[None]] | None) -> None:
    log = structlog.get_logger()
    stop = _stop_signal(app)
    broker = EmbeddedBroker(app.configuration.settings.mqtt, log)
    if app.configuration.settings.mqtt.embedded:
        await broker.start()
    app.recall()
    await app.bus.start()
    for member in members:
        app.start(member)
    app.introduce()
    requests = app.requests
    commands = await control.serve(app.configuration.data_dir, requests.answer)
    log.info("hub runs", version=__version__, plugins=sorted(app.members), data_dir=str(app.configuration.data_dir))
    disk = DiskWatch(app.recorder.store, app.recorder.ballast, log.bind(part="disk"))
    tasks = [asyncio.create_task(app.pump()), asyncio.create_task(requests.serve()), asyncio.create_task(disk.run())]
    if beside is not None:
        tasks.append(asyncio.ensure_future(beside(app)))
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await _first_of(stop, tasks)
    finally:
        commands.close()
        await asyncio.gather(*(app.stop(name) for name in list(app.members)))
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=STOP_PATIENCE)
        await app.bus.stop()
        await broker.stop()


async def _first_of(stop: asyncio.Event, tasks: list[asyncio.Task[None]]) -> None:
    """Wait for the signal; an end of one of the hub's own tasks is a bug that must not pass in silence."""
    waiting = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done - {waiting}:
            task.result()
    finally:
        waiting.cancel()


def _stop_signal(app: App) -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = loop.create_task(app.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    return stop
