"""Bytes that a day of two symbols writes to the card: a commit a minute, and the outbox's cursor after it, as the kernel counts them."""

import asyncio
import tempfile
from datetime import timedelta
from pathlib import Path

import structlog

from bench.row import Row
from hub.clock import SystemClock
from hub.messages import Bar
from hub.runtime.disk.recorder import Recorder
from hub.runtime.disk.store import SqliteStore
from hub.runtime.mqtt.outbox import CURSOR, DURABLE, Outbox
from hub.testing import START, MemoryBus, bars

MINUTES = 1440


class Broker(MemoryBus):
    """Acknowledges everything at once."""

    async def ready(self) -> None:
        """It always is."""

    async def publish_all(self, messages: list[Bar]) -> list[None]:
        return [None for _ in messages]

    def held(self, _message: Bar) -> bool:
        return False


def written() -> int:
    """Bytes that this process has sent to the disk so far."""
    return next(int(line.split()[1]) for line in Path("/proc/self/io").read_text().splitlines() if line.startswith("write_bytes"))


async def _day(folder: Path, minutes: int) -> int:
    clock = SystemClock()
    recorder = Recorder(SqliteStore.open(folder / "tickerml.db", clock), clock)
    outbox = Outbox(recorder.store, Broker(), structlog.get_logger())  # type: ignore[arg-type]
    recorder.listeners.append(outbox.ring)
    pump = asyncio.create_task(outbox.pump())
    before = written()
    for minute in range(minutes):
        at = START + timedelta(minutes=minute)
        await recorder.record([bars(100.0 + minute, symbol=symbol, start=at)[0] for symbol in ("BTC-USDT", "ETH-USDT")])
        while recorder.store.waiting(recorder.store.cursor(CURSOR), DURABLE):  # noqa: ASYNC110 - the outbox tells nobody
            await asyncio.sleep(0.0005)
    pump.cancel()
    await asyncio.gather(pump, return_exceptions=True)
    await recorder.close()
    return written() - before


def rows(minutes: int = MINUTES) -> list[Row]:
    structlog.configure(processors=[], logger_factory=structlog.ReturnLoggerFactory())
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:  # not /tmp, which may be in memory
        total = asyncio.run(_day(Path(folder), minutes))
    return [Row("a day of two symbols on the card", total * MINUTES / minutes / 1e6, "MB", at_most=50)]
