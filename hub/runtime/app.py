"""The composition root: builds the hub from its configuration, runs it, and stops it cleanly."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import structlog

from hub import __version__
from hub.clock import Clock
from hub.configuration import Configuration
from hub.errors import TransientError
from hub.flow import Answer, Flow
from hub.messages import Bar, Forecast, HubInfo, ModelState, ModelWant, PluginState, Score, Sentiment
from hub.runtime import control
from hub.runtime.backfill import Backfill
from hub.runtime.backups.nightly import back_up_nightly
from hub.runtime.changes import reload
from hub.runtime.discretion import keep_secret
from hub.runtime.disk.disk_watch import DiskWatch
from hub.runtime.disk.pruning import prune_hourly, shed
from hub.runtime.disk.recorder import Recorder
from hub.runtime.disk.store import SqliteStore
from hub.runtime.hosting.context import clock_for
from hub.runtime.hosting.interpreter import settle_in
from hub.runtime.hosting.lineup import STORE_FILE, Member, line_up
from hub.runtime.hosting.supervisor import Supervisor
from hub.runtime.hosting.watch import PluginWatch
from hub.runtime.mqtt.bus import Bus
from hub.runtime.mqtt.embedded import EmbeddedBroker
from hub.runtime.mqtt.mirror import Mirror
from hub.runtime.mqtt.outbox import DURABLE, Outbox
from hub.runtime.requests import Requests
from hub.runtime.signals import Signals
from hub.runtime.systemd import Systemd
from hub.runtime.verbs import verbs_of
from hub.runtime.vitals import announce_vitals
from hub.runtime.words import describe
from hub.topics import encode, is_shadow, topic_of

STOP_PATIENCE = 2.0
STORE_PATIENCE = 10.0


class App:
    """A running hub."""

    def __init__(self, configuration: Configuration, recorder: Recorder, bus: Bus, clock: Clock, *, part: bool = False) -> None:
        """`part`: of a station, whose main hub runs elsewhere and speaks for it."""
        self.part = part
        self.configuration = configuration
        self.recorder = recorder
        self.bus = bus
        self.clock = clock
        self.log = structlog.get_logger()
        self.own = DURABLE
        """Facts that are made here, and published."""
        self.outbox = Outbox(recorder.store, bus, self.log.bind(part="outbox"))
        recorder.listeners.append(self.outbox.ring)
        self.backfill = Backfill(recorder.record)
        self.requests = Requests(bus, self._verbs, self._overheard)
        self.members: dict[str, Member] = {}
        self.watches: dict[str, PluginWatch] = {}
        self.started_at = clock.now()
        self.changing = asyncio.Lock()
        """Held by whoever starts or stops plugins while the hub runs."""
        self._supervisor = Supervisor(clock, recorder, bus, desk=self.requests)
        self._flows: dict[str, list[asyncio.Task[None]]] = {}
        self._own_verbs = verbs_of(self)

    def start(self, member: Member) -> None:
        """Run the flows of a plugin that is ready, or show why it cannot."""
        watch = self.watches[member.name] = PluginWatch(member.name, self.clock, self._announce_state)
        self.members[member.name] = member
        log = self.log.bind(plugin=member.name)
        if member.failure:
            log.error("failed", reason=member.failure)
            watch.report("load", "failed", member.failure)
            return
        for verb in member.declared.answers.keys() & self._own_verbs.keys():
            log.warning("a verb of the hub's own is not given away", verb=verb)
        if not member.declared.flows:
            watch.report("load", "running")
        self._flows[member.name] = [asyncio.create_task(self._run_flow(flow, watch, log)) for flow in member.declared.flows]

    async def _run_flow(self, flow: Flow, watch: PluginWatch, log: Any) -> None:
        try:
            await self._supervisor.keep_running(flow, watch, log)
        except Exception as error:
            log.exception("the hub failed to keep this flow running", flow=flow.name)
            watch.report(flow.name, "failed", f"a bug in the hub: {describe(error)}")

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
        """Tell the world what this hub is; the part of a station is not what the station is."""
        if self.part:
            return
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
                self.log.warning("outbox waits", reason=str(error))
                await self.clock.sleep(STORE_PATIENCE)

    def recall(self) -> None:
        """Tell the bus what stood on retained topics when the hub last ran: a broker that has lost it gets it again."""
        store = self.recorder.store
        for symbol, open_time in store.frontier().items() if Bar in self.own else ():
            for bar in store.bars(symbol, open_time, open_time):
                self.bus.remember(bar)
        for kind in (Forecast, Score, Sentiment, ModelState):
            for fact in store.newest(kind) if kind in self.own else ():
                if not is_shadow(fact):
                    self.bus.remember(fact)

    def _overheard(self) -> dict[str, Answer] | None:
        """A part of a station answers for its plugins alone."""
        return {verb: answer for member in self.members.values() for verb, answer in member.declared.answers.items()} if self.part else None

    def join(self, members: Iterable[Member]) -> Mirror:
        """Become a part of a station: publish what these plugins make, and record what others do."""
        made = {kind for member in members for flow in member.declared.flows for kind in getattr(flow, "produces", ())}
        self.own = tuple(kind for kind in DURABLE if kind in made)
        self.recorder.listeners.remove(self.outbox.ring)
        self.outbox = Outbox(self.recorder.store, self.bus, self.log.bind(part="outbox"), kinds=self.own)
        self.recorder.listeners.append(self.outbox.ring)
        others = tuple(kind for kind in DURABLE if kind not in made and kind is not ModelWant)
        symbols = self.configuration.settings.symbols
        return Mirror(self.bus, self.recorder, self.clock, symbols, others, self.log.bind(part="mirror"))

    def _verbs(self) -> dict[str, Answer]:
        verbs = dict(self._own_verbs)
        for member in self.members.values():
            verbs |= {verb: answer for verb, answer in member.declared.answers.items() if verb not in verbs}
        return verbs

    def _announce_state(self, state: PluginState) -> None:
        self.bus.announce(topic_of(state), encode(state))


async def run_hub(
    configuration: Configuration,
    *,
    seconds: float | None = None,
    clock: Clock | None = None,
    beside: Callable[[App], Awaitable[None]] | None = None,
    only: Sequence[str] | None = None,
) -> None:
    """Run until SIGTERM or SIGINT, or for that many seconds.

    `only`: these plugins, as a part of a station whose main hub runs elsewhere on the same broker. `beside` runs along with the hub
    (the demo's display). SettingsError with every problem of the configuration; HubError where the data folder or the store
    cannot be used.
    """
    clock = clock or clock_for(configuration.settings.clock)
    log = structlog.get_logger()
    keep_secret(configuration.secrets)
    signals, systemd = Signals(), Systemd()  # before any plugin has a process, which would inherit its line
    members = await signals.unless_stopped(line_up(configuration, clock, only))
    if members is None:
        log.info("stopped while the plugins were loaded")
        return
    settle_in()
    try:
        configuration.raise_problems()
        with control.only_hub(configuration.data_dir):
            store = await asyncio.to_thread(SqliteStore.open, configuration.data_dir / STORE_FILE, clock)
            if store.recovered:
                log.error("store recovered", what=store.recovered)
            recorder = Recorder(store, clock)
            try:
                for member in members:
                    member.ready(clock, store, configuration)
                configuration.raise_problems()
                bus = Bus(configuration.settings.mqtt, clock, log.bind(part="bus"), part=None if only is None else "-".join(sorted(only)))
                app = App(configuration, recorder, bus, clock, part=only is not None)
                await _run(app, members, signals, systemd, seconds, beside)
            finally:
                await recorder.close()
    finally:
        await asyncio.gather(*(member.leave() for member in members))
        log.info("stopped")


async def _run(
    app: App,
    members: Iterable[Member],
    signals: Signals,
    systemd: Systemd,
    seconds: float | None,
    beside: Callable[[App], Awaitable[None]] | None,
) -> None:
    broker = EmbeddedBroker(app.configuration.settings.mqtt, app.log)
    tasks: list[asyncio.Task[None]] = []
    commands: asyncio.Server | None = None
    try:
        mirror = app.join(members) if app.part else None
        if app.configuration.settings.mqtt.embedded and mirror is None:
            await broker.start()
        app.recall()
        await app.bus.start()
        for member in members:
            app.start(member)
        app.introduce()
        commands = await control.serve(app.configuration.data_dir, app.requests.answer)
        signals.on_reload = partial(reload, app)
        app.log.info("hub runs", version=__version__, plugins=sorted(app.members), data_dir=str(app.configuration.data_dir))
        disk = DiskWatch(app.recorder.store, app.recorder.ballast, app.log.bind(part="disk"), shed=partial(shed, app))
        systemd.tell(READY="1")
        works = (app.pump(), app.requests.serve(), disk.run(), systemd.keep_telling(app), back_up_nightly(app), prune_hourly(app))
        tasks += [asyncio.create_task(work) for work in works]
        tasks.append(asyncio.create_task(announce_vitals(app) if mirror is None else mirror.run()))
        if beside is not None:
            tasks.append(asyncio.ensure_future(beside(app)))
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await _first_of(signals.stop, tasks)
    finally:
        signals.on_reload = None
        systemd.tell(STOPPING="1")
        if commands is not None:
            commands.close()
        await app.backfill.stop()
        await asyncio.gather(*(app.stop(name) for name in list(app.members)))
        for task in tasks:
            task.cancel()
        if tasks:
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
