"""While the exchange cannot be asked: says why, once; notes the gap, sparingly; lets another source stand in."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hub.download import Unreachable
from hub.errors import HubError, TransientError
from hub.flow import Hub
from hub.market.interval import MINUTE_MS, Range, to_ms
from hub.messages import Bar, Gap
from plugins.collector.binance import Binance, UnknownSymbol
from plugins.collector.coingecko import CoinGecko
from plugins.collector.exchange_time import newest_closed
from plugins.collector.gaps import unanswered
from plugins.collector.stretches import common, without

UNKNOWN_AGAIN_S = 3600.0
LONGEST_NOTE_MINUTES = 60


@dataclass
class Outage:
    """One symbol that cannot be asked for."""

    reason: str
    kind: type[HubError]
    retry_at: float
    """Monotonic; not before then."""
    note_at: int = 0
    """Exchange's time (ms) from which the gap on disk is to grow again."""
    minutes: int = 1
    general: bool = False
    """It is the whole exchange that does not answer."""


class Outages:
    """The symbols that cannot be asked for now, and what is done meanwhile."""

    def __init__(self, hub: Hub, exchange: Binance, fallback: CoinGecko | None) -> None:
        self._hub = hub
        self._exchange = exchange
        self._time = exchange.time
        self._fallback = fallback
        self._by_symbol: dict[str, Outage] = {}
        self._general: str | None = None
        self._not_before = 0.0
        self._stood_in = 0
        self._fallback_trouble: str | None = None
        self._unhelped: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._by_symbol)

    def may_ask(self, symbol: str | None = None) -> bool:
        """Whether it is time to ask the exchange (for this symbol)."""
        now = self._hub.clock.monotonic()
        if symbol is None:
            return now >= self._not_before and self._exchange.ban.remaining() <= 0
        outage = self._by_symbol.get(symbol)
        return outage is None or now >= outage.retry_at

    def general_among(self, failed: Mapping[str, Exception]) -> TransientError | None:
        """The failure that means the whole exchange: no answer at all, or none for any symbol that had been fine."""
        fine = {symbol for symbol in self._hub.symbols if symbol not in self._by_symbol or self._by_symbol[symbol].general}
        transient = [error for error in failed.values() if isinstance(error, TransientError)]
        silent = next((error for error in transient if isinstance(error, Unreachable)), None)
        return silent or (transient[0] if transient and fine and fine <= failed.keys() else None)

    def begin(self, symbols: Sequence[str], error: Exception) -> None:
        """These symbols cannot be asked for, because of `error`. Said once, not at every try."""
        reason = str(error)
        now = self._hub.clock.monotonic()
        general = isinstance(error, TransientError) and list(symbols) == list(self._hub.symbols)
        if general:
            self._not_before = now + (getattr(error, "retry_after", None) or 0.0)
            self._say_general(reason)
        wait = UNKNOWN_AGAIN_S if isinstance(error, UnknownSymbol) else 0.0 if general else 30.0
        for symbol in symbols:
            outage = self._by_symbol.get(symbol)
            if outage is not None and general and outage.kind is UnknownSymbol:
                continue
            if outage is None or _kind(outage.reason) != _kind(reason):
                if not general:
                    self._hub.log.warning(reason, symbol=symbol)
                self._by_symbol[symbol] = Outage(reason, type(error), now + wait, general=general)  # type: ignore[arg-type]
            else:
                outage.retry_at = now + wait

    def end(self, symbol: str) -> None:
        """The exchange has answered for this symbol."""
        if self._by_symbol.pop(symbol, None) is not None and self._general is None:
            self._hub.log.info(f"{symbol} is answered for again by {self._exchange.host}", symbol=symbol)

    def end_general(self) -> None:
        """The exchange answers again."""
        self._by_symbol = {symbol: outage for symbol, outage in self._by_symbol.items() if not outage.general}
        if self._general is not None:
            self._hub.log.info(f"{self._exchange.host} answers again")
        self._general = None

    async def stand_in(self, unsettled: Mapping[str, Sequence[Range]]) -> list[Bar | Gap]:
        """Fallback bars of the minute that has just closed, and the gaps that are due to be noted.

        `unsettled`: per symbol the minutes that nobody has answered for.
        """
        bars = await self._fallback_bars()
        batch: list[Bar | Gap] = []
        if self._time.known:
            now_ms = self._time.now_ms()
            for symbol, outage in self._by_symbol.items():
                if now_ms >= outage.note_at and (stretches := unsettled.get(symbol)):
                    batch += self._note(symbol, outage, stretches, bars, now_ms)
        return [*batch, *bars]

    def _note(self, symbol: str, outage: Outage, stretches: Sequence[Range], bars: Iterable[Bar], now_ms: int) -> list[Gap]:
        outage.note_at = now_ms + outage.minutes * MINUTE_MS
        outage.minutes = min(outage.minutes * 2, LONGEST_NOTE_MINUTES)
        store = self._hub.store
        helped = [(at, at) for bar in bars if bar.symbol == symbol for at in (to_ms(bar.open_time),)]
        missing = without(common(store.missing(symbol, stretches[0][0], stretches[-1][1]), stretches), helped)
        return unanswered(symbol, missing, store.gaps(symbol), outage.reason, now_ms)

    async def _fallback_bars(self) -> list[Bar]:
        asked_for = [symbol for symbol, outage in self._by_symbol.items() if outage.kind is not UnknownSymbol]
        if self._fallback is None or not asked_for or (self._time.known and newest_closed(self._time.now_ms()) <= self._stood_in):
            return []
        if strangers := {symbol for symbol in asked_for if not self._fallback.knows(symbol)} - self._unhelped:
            self._unhelped |= strangers
            self._hub.log.warning(f"{self._fallback.host} has no price for {', '.join(sorted(strangers))}; see coingecko.ids")
        try:
            bars = await self._fallback.bars(asked_for)
        except TransientError as error:
            if self._fallback_trouble is None:
                self._hub.log.warning(f"no stand-in either: {error}")
            self._fallback_trouble = str(error)
            return []
        if self._fallback_trouble is not None:
            self._hub.log.info(f"{self._fallback.host} answers again")
        self._fallback_trouble = None
        if bars:
            self._stood_in = to_ms(bars[0].open_time)
        return [bar for bar in bars if self._hub.store.missing(bar.symbol, to_ms(bar.open_time), to_ms(bar.open_time))]

    def _say_general(self, reason: str) -> None:
        if self._general is None or _kind(self._general) != _kind(reason):
            helper = f"; {self._fallback.host} stands in" if self._fallback else ""
            self._hub.log.warning(f"{reason}{helper}")
        self._general = reason


def _kind(reason: str) -> str:
    """The reason without its numbers: a wait that grows shorter is no news."""
    return re.sub(r"\d+", "", reason)
