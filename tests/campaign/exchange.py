"""The exchange of the campaign: answers as Binance does, at a time of its own, unless it is told to misbehave."""

from collections.abc import Callable, Mapping
from datetime import datetime

from hub.clock import FastClock
from hub.market.interval import MINUTE_MS
from plugins.collector.market_simulation import MarketSimulation
from plugins.collector.simulated import ApiError, SimulatedExchange

SYMBOLS = ("BTC-USDT", "ETH-USDT")


class Says(ApiError):
    """In place of an answer."""

    def __init__(self, body: bytes, status: int = 200) -> None:
        super().__init__(0, "as the campaign wants it", status)
        self.body = body


class ScriptedExchange(SimulatedExchange):
    """Its market is the same in every run, minute by minute."""

    def __init__(self, start: datetime, speed: float) -> None:
        self.clock = FastClock(start, speed)
        super().__init__(self.clock, {symbol: MarketSimulation(1, symbol) for symbol in SYMBOLS})
        self.mood: Callable[[str], None] | None = None
        """May raise `Says`; called with the path."""
        self.asked = 0

    def answer(self, path: str, params: Mapping[str, str]) -> bytes:
        self.asked += 1
        if (mood := self.mood) is not None:
            mood(path)
        return super().answer(path, params)

    def closes(self, symbol: str, first: int, last: int) -> dict[int, str]:
        """Close of every minute that opened in [first, last] (ms), as it is written on the wire."""
        rows = MarketSimulation(1, symbol).page(first, last, (last - first) // MINUTE_MS + 1)
        fields = (row.split(b",") for row in rows.strip(b"[]").split(b"],["))
        return {int(row[0]): row[4].decode().strip('"') for row in fields}
