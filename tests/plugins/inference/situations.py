"""A hub with a day of bars and a model, and how to let it work while its clock stands."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hub.flow import Source
from hub.market.interval import MINUTE_MS, from_ms, to_ms
from hub.messages import Bar, Forecast, Message
from hub.testing import START, FakeClock, FakeHub
from plugins.inference.forecasting import Forecasting
from plugins.inference.schedule import Schedule
from tests.markets import market
from tests.models import FakeSlot, line_model

DAY = 1500
"""Minutes that a model of an hour's window needs."""


def market_bars(symbol: str, minutes: int, end: datetime, seed: int = 1, **fields: Any) -> list[Bar]:
    """Bars by chance, the last of which closes at `end`."""
    made = market(minutes, seed, 50_000.0 if symbol.startswith("BTC") else 3_000.0)
    first = to_ms(end) - minutes * MINUTE_MS
    return [
        Bar(
            symbol=symbol,
            open_time=from_ms(first + number * MINUTE_MS),
            open=made.open[number],
            high=made.high[number],
            low=made.low[number],
            close=made.close[number],
            volume=made.volume[number],
            taker_buy_volume=made.taker_buy_volume[number],
            **{"source": "test", **fields},
        )
        for number in range(minutes)
    ]


class Station:
    """A hub, its models, and the stream of its forecasts."""

    def __init__(
        self,
        folder: Path,
        slot: FakeSlot | None = None,
        *,
        now: datetime = START,
        minutes: int = DAY,
        symbols: Iterable[str] = ("BTC-USDT", "ETH-USDT"),
    ) -> None:
        """The newest bar closes at `now`."""
        self.clock = FakeClock(now)
        self.hub = FakeHub(clock=self.clock, symbols=tuple(symbols), data_dir=folder)
        for seed, symbol in enumerate(self.hub.symbols):
            self.hub.store.record(market_bars(symbol, minutes, now, seed))
        self.slot = slot or FakeSlot(line_model())
        self.schedule = Schedule(self.hub, Forecasting(self.hub, self.slot), timedelta(minutes=5), timedelta(seconds=60))
        self.batches: list[list[Forecast]] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Station":
        self._task = asyncio.create_task(self._run())
        await self.settle()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.hub.http.aclose()

    async def _run(self) -> None:
        async for batch in self.schedule.stream():
            self.hub.store.record(batch)
            self.batches.append(batch)

    async def settle(self) -> None:
        """Until the stream waits for the clock: threads have their say in real time."""
        for _ in range(400):
            await asyncio.sleep(0.005)
            assert self._task is None or not self._task.done() or self._task.result()
            if self.clock.next_wake is not None:
                return
        raise AssertionError("the stream does not come to rest")

    async def pass_time(self, seconds: float) -> None:
        """Second by second."""
        for _ in range(int(seconds)):
            await self.clock.advance(1.0)
            await self.settle()

    def add_bars(self, symbol: str, minutes: int = 1, **fields: Any) -> None:
        """The symbol's next bars are on disk."""
        newest = self.hub.store.newest_bar(symbol)
        assert newest is not None
        for minute in range(1, minutes + 1):
            self.hub.store.record([newest.model_copy(update={"open_time": newest.open_time + timedelta(minutes=minute), **fields})])

    @property
    def made(self) -> list[Forecast]:
        """All of them, in order."""
        return [forecast for batch in self.batches for forecast in batch]


def forecasts(messages: Iterable[Message]) -> list[Forecast]:
    """Those among the messages."""
    return [message for message in messages if isinstance(message, Forecast)]


async def first(source: Source) -> Any:
    """What a source yields first."""
    stream: AsyncIterator[Any] = source.stream()
    return await anext(stream)
