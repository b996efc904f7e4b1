"""When forecasts are made: on the clock, as soon as the bars are there; and whenever somebody asks."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict

from hub import Forecast, Hub, Request
from hub.errors import HubError
from hub.market.interval import MINUTE_MS, from_ms, to_ms
from hub.settings import SymbolName
from plugins.inference.forecasting import Forecasting
from plugins.inference.refusal import ModelFailed, Refused

LOOK_S = 1.0
"""How often a bar that is awaited is looked for."""


class NowWanted(BaseModel):
    """What `forecast/now` may be asked: of one symbol, or of all."""

    model_config = ConfigDict(extra="ignore")

    symbol: SymbolName | None = None


@dataclass
class Wish:
    """Somebody waits for forecasts of the newest bars."""

    symbols: Sequence[str]
    made: "asyncio.Future[list[Forecast]]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Schedule:
    """The stream of all forecasts; each batch is of one symbol and one bar, the live model's and the shadow's."""

    def __init__(self, hub: Hub, forecasting: Forecasting, every: timedelta, patience: timedelta) -> None:
        self._hub = hub
        self._forecasting = forecasting
        self._every = every
        self._patience = min(patience, every)
        self._wishes: asyncio.Queue[Wish] = asyncio.Queue()
        self._refused: dict[str, str] = {}
        self._newest: dict[str, int] = {}

    def remark(self) -> str | None:
        """Which symbols have no forecast now, and why."""
        return "; ".join(f"{symbol}: {reason}" for symbol, reason in sorted(self._refused.items())) or None

    async def answer(self, request: Request) -> Any:
        """`forecast/now`: forecasts from the newest bars, made now, once they are on disk."""
        wanted = NowWanted.model_validate(request.model_dump()).symbol
        if wanted is not None and wanted not in self._hub.symbols:
            raise HubError(f"{wanted.replace('-', '/')} is not among this hub's symbols")
        wish = Wish([wanted] if wanted else list(self._hub.symbols))
        self._wishes.put_nowait(wish)
        return [forecast.model_dump(mode="json") for forecast in await wish.made]

    async def stream(self) -> AsyncGenerator[list[Forecast], None]:
        """For ever. A slot that is still in time when the hub starts is made, unless it is on disk already."""
        newest = await asyncio.to_thread(self._hub.store.newest, Forecast)
        self._newest = {forecast.symbol: to_ms(forecast.open_time) for forecast in newest if forecast.role == "live"}
        slot = self._slot_before(self._hub.clock.now())
        while True:
            async with aclosing(self._make_slot(slot)) as batches:
                async for batch in batches:
                    yield batch
            now = self._hub.clock.now()
            following = max(slot + self._every, self._slot_before(now))
            slot = following if following - now <= self._every else self._slot_before(now) + self._every  # the clock was set back
            async with aclosing(self._wait_until(slot)) as batches:
                async for batch in batches:
                    yield batch

    def _slot_before(self, now: datetime) -> datetime:
        ms = to_ms(now)
        return from_ms(ms - ms % (self._every // timedelta(milliseconds=1)))

    async def _make_slot(self, slot: datetime) -> AsyncGenerator[list[Forecast], None]:
        """Forecasts seen from the bar that closes at the slot, each symbol's as soon as its bars are there."""
        open_time, end = to_ms(slot) - MINUTE_MS, slot + self._patience
        tried = set[str]()
        while waiting := self._without(open_time, tried):
            if self._hub.clock.now() > end:
                for symbol in waiting:
                    self._refuse(symbol, Refused("stale", await self._stale(symbol, slot)))
                return
            for symbol in await self._ready(waiting, open_time, slot + self._patience / 2):
                tried.add(symbol)
                if made := await self._try(symbol, open_time):
                    yield made
            if self._without(open_time, tried):
                async with aclosing(self._wait_until(self._hub.clock.now() + timedelta(seconds=LOOK_S))) as batches:
                    async for batch in batches:
                        yield batch

    def _without(self, open_time: int, tried: set[str]) -> list[str]:
        return [symbol for symbol in self._hub.symbols if symbol not in tried and self._newest.get(symbol, -1) < open_time]

    async def _ready(self, waiting: Sequence[str], open_time: int, no_longer_for_partners: datetime) -> list[str]:
        """Symbols whose bar is there, and that of the symbol beside it: one that is late is waited for half as long."""
        present = {symbol for symbol in self._hub.symbols if await self._has(symbol, open_time)}
        if self._hub.clock.now() >= no_longer_for_partners:
            return [symbol for symbol in waiting if symbol in present]
        return [symbol for symbol in waiting if symbol in present and present.issuperset(await self._forecasting.partners(symbol))]

    async def _has(self, symbol: str, open_time: int) -> bool:
        return bool(await asyncio.to_thread(self._hub.store.bars, symbol, open_time, open_time))

    async def _stale(self, symbol: str, slot: datetime) -> str:
        bar = await asyncio.to_thread(self._hub.store.newest_bar, symbol)
        newest = "there is no bar" if bar is None else f"the newest bar closed at {bar.close_time:%Y-%m-%d %H:%M}"
        return f"at {slot:%Y-%m-%d %H:%M} its bar did not come within {self._patience.total_seconds():g} s; {newest}"

    async def _try(self, symbol: str, open_time: int) -> list[Forecast]:
        try:
            made = await self._forecasting.about(symbol, open_time)
        except (Refused, ModelFailed) as error:
            self._refuse(symbol, error)
            return []
        if self._refused.pop(symbol, None):
            self._hub.log.info("forecasts are made again", symbol=symbol)
        self._newest[symbol] = open_time
        return made

    def _refuse(self, symbol: str, error: Refused | ModelFailed) -> None:
        name = error.name if isinstance(error, Refused) else "model"
        if not self._refused.get(symbol, "").startswith(name):
            self._hub.log.warning("no forecast is made", symbol=symbol, reason=str(error))
        self._refused[symbol] = str(error) if isinstance(error, Refused) else f"model: {error}"

    async def _wait_until(self, end: datetime) -> AsyncGenerator[list[Forecast], None]:
        """Wait, and meanwhile grant wishes."""
        while (left := (end - self._hub.clock.now()).total_seconds()) > 0:
            if (wish := await self._next_wish(min(left, self._every.total_seconds()))) is not None:
                async with aclosing(self._grant(wish)) as batches:
                    async for batch in batches:
                        yield batch

    async def _next_wish(self, seconds: float) -> Wish | None:
        sleeping = asyncio.ensure_future(self._hub.clock.sleep(seconds))
        wishing = asyncio.ensure_future(self._wishes.get())
        try:
            await asyncio.wait({sleeping, wishing}, return_when=asyncio.FIRST_COMPLETED)
            return wishing.result() if wishing.done() else None
        finally:
            sleeping.cancel()
            wishing.cancel()

    async def _grant(self, wish: Wish) -> AsyncGenerator[list[Forecast], None]:
        """What is asked for, unless the asker has gone: its answer comes when the forecasts are on disk."""
        granted, reasons = list[Forecast](), list[str]()
        for symbol in wish.symbols:
            try:
                known, made = await self._from_newest(symbol)
            except (Refused, ModelFailed) as error:
                reasons.append(f"{symbol}: {error}")
                continue
            if made:
                yield made
            granted += known + [forecast for forecast in made if forecast.role == "live"]
        with suppress(asyncio.InvalidStateError):
            if granted:
                wish.made.set_result(granted)
            else:
                wish.made.set_exception(HubError("no forecast: " + "; ".join(reasons)))

    async def _from_newest(self, symbol: str) -> tuple[list[Forecast], list[Forecast]]:
        """Forecasts from the symbol's newest bar: those on disk, or else made now."""
        bar = await asyncio.to_thread(self._hub.store.newest_bar, symbol)
        if bar is None or self._hub.clock.now() - bar.close_time > timedelta(minutes=1) + self._patience:
            raise Refused("stale", "there is no bar" if bar is None else f"the newest bar closed at {bar.close_time:%Y-%m-%d %H:%M}")
        known = [
            each for each in await asyncio.to_thread(self._hub.store.newest, Forecast) if each.symbol == symbol and each.role == "live"
        ]
        if known and all(each.open_time == bar.open_time for each in known):
            return known, []
        made = await self._forecasting.about(symbol, to_ms(bar.open_time))
        self._newest[symbol] = to_ms(bar.open_time)
        return [], made
