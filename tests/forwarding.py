"""The influxdb plugin at work: a real store, the real supervisor, and a clock that hurries."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hub.clock import FastClock
from hub.messages import Bar, Message, PluginState
from hub.runtime.disk.recorder import Recorder
from hub.runtime.disk.store import SqliteStore
from hub.runtime.hosting.supervisor import PluginWatch, Supervisor
from hub.testing import START, FakeHub, MemoryBus
from plugins import influxdb


class Forwarding:
    """A hub that has nothing but this plugin."""

    def __init__(self, folder: Path, settings: dict[str, Any], speed: float) -> None:
        self.clock = FastClock(START, speed)
        self.store = SqliteStore.open(folder / "tickerml.db", self.clock)
        self.recorder = Recorder(self.store, self.clock)
        self.bus = MemoryBus()
        self.told: list[PluginState] = []
        self.watch = PluginWatch("influxdb", self.clock, self.told.append)
        (folder / "influxdb").mkdir(exist_ok=True)
        self.hub = FakeHub(settings, clock=self.clock, store=self.store, data_dir=folder / "influxdb")  # type: ignore[arg-type]
        self.sinks = influxdb.register_sinks(self.hub)
        self._supervisor = Supervisor(self.clock, self.recorder, self.bus)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def state(self) -> PluginState:
        return self.watch.state

    @property
    def waiting(self) -> int:
        """Facts that are not delivered."""
        return self.store.waiting(self.store.cursor("influxdb.influxdb"), self.sinks[0].consumes)

    def said(self, level: str) -> list[str]:
        return [entry["event"] for entry in self.hub.logged.entries if entry["log_level"] == level]

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._supervisor.keep_running(sink, self.watch, self.hub.log)) for sink in self.sinks]

    async def record(self, messages: Sequence[Message]) -> None:
        await self.recorder.record(messages)

    async def until(self, condition: Callable[[], Any], seconds: float = 30.0) -> None:
        """Until it is so; the limit is only there so that a failure ends."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"it never came to that: {self.state}, {self.waiting} waiting"
            await asyncio.sleep(0.01)

    async def drained(self, seconds: float = 45.0) -> None:
        """Until everything is delivered and the plugin says so."""
        await self.until(lambda: not self.waiting, seconds)
        await self.until(lambda: self.state.state == "running" and self.state.lag == 0, seconds)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.hub.http.aclose()
        await self.recorder.close()


@asynccontextmanager
async def forwarding(folder: Path, speed: float = 100.0, **settings: Any) -> AsyncIterator[Forwarding]:
    """The plugin running, and stopped in the end."""
    made = Forwarding(folder, settings, speed)
    made.start()
    try:
        yield made
    finally:
        await made.stop()


def identities(bars: Sequence[Message]) -> set[tuple[str, int]]:
    """Symbol and open time (ns) of bars."""
    return {(bar.symbol, int(bar.open_time.timestamp()) * 10**9) for bar in bars if isinstance(bar, Bar)}
