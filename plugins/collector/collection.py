"""Collects every closed minute of every symbol once: what the past lacks first, then each minute as it closes."""

import asyncio
import random
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import timedelta
from functools import partial

from hub.errors import TransientError
from hub.flow import Hub, Progress
from hub.market.interval import MINUTE_MS, Range, floor_minute, minutes_in, to_ms
from hub.messages import Bar, Gap
from plugins.collector.binance import Binance, UnknownSymbol, gathered
from plugins.collector.coingecko import CoinGecko
from plugins.collector.exchange_time import newest_closed
from plugins.collector.gaps import ABSENT, answered, resting
from plugins.collector.history import EDGE_MS, history_end, missing
from plugins.collector.klines import Page
from plugins.collector.oddities import Oddities
from plugins.collector.outages import Outages
from plugins.collector.stretches import Fetched, settle, span_of, united

Batch = list[Bar | Gap]
AT_ONCE = 8
"""Requests under way at the same time."""
REPAIR_S = 600.0
LISTING_S = 3600.0
LATE_S = (2.0, 3.0, 5.0)
"""How long the exchange is given, again and again, for the newest minute before it counts as missing."""
JITTER_S = (2.0, 8.0)
"""When in a minute the one before is asked for."""
LARGEST_BATCH = 20_000
FALLBACK_AGAIN_MS = 120 * MINUTE_MS
"""Fallback bars younger than this are asked for at every repair; older ones at a start, after an outage and once a day."""
STANDSTILL_S = 600.0
TOLD_STEPS = 10


class Collection:
    """What is known, wanted and under way. `batches()` is the source."""

    def __init__(
        self, hub: Hub, exchange: Binance, fallback: CoinGecko | None, backfill: timedelta | None, progress: Progress | None = None
    ) -> None:
        """`backfill`: how far back an empty store is filled; None for all that the exchange has."""
        self._hub = hub
        self._clock = hub.clock
        self._exchange = exchange
        self._time = exchange.time
        self._backfill = backfill
        self._progress = progress
        self._outages = Outages(hub, exchange, fallback)
        self._oddities = Oddities(hub.log)
        self._wanted: dict[str, list[Range]] = {}
        self._frontier: dict[str, int] = {}
        self._started: dict[str, int] = {}
        self._listed: dict[str, int] = {}
        self._halted: set[str] = set()
        self._status: dict[str, str] = {}
        self._thorough_at = self._repair_at = self._listing_at = self._clock.monotonic()
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._unknown_waits = 0

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Bars and gaps, for ever: what is missing, ascending, then every minute in one batch."""
        while True:
            if self._outages.may_ask():
                try:
                    async with aclosing(self._turn()) as turn:
                        async for batch in turn:
                            yield batch
                except TransientError as error:
                    self._thorough_at = self._clock.monotonic()
                    self._outages.begin(self._hub.symbols, error)
            if self._outages:
                await self._prepare_outage()
                if batch := await self._outages.stand_in(self._unsettled()):
                    yield batch
            await self._wait()

    async def history(self, span: timedelta) -> AsyncGenerator[Batch, None]:
        """What is missing of the last `span`, known gaps included; then ends. TransientError where the exchange does not answer."""
        self._backfill = span
        await self._exchange.synchronise()
        await self._learn_listing()
        await self._plan(thorough=True, force=True)
        async with aclosing(self._repair(live=False)) as repair:
            async for batch in repair:
                yield batch

    async def _turn(self) -> AsyncGenerator[Batch, None]:
        now = self._clock.monotonic()
        if now >= min(self._thorough_at, self._repair_at):
            thorough = now >= self._thorough_at
            await self._exchange.synchronise()
            await self._learn_listing()
            await self._plan(thorough=thorough)
            async with aclosing(self._repair(live=True)) as repair:
                async for batch in repair:
                    yield batch
            self._outages.end_general()
            self._repair_at = self._clock.monotonic() + REPAIR_S
            if thorough:
                self._thorough_at = self._clock.monotonic() + 86_400
        elif self._time.doubtful:
            await self._exchange.synchronise()
        async with aclosing(self._live()) as minutes:
            async for batch in minutes:
                yield batch

    # -- what is missing

    async def _plan(self, *, thorough: bool, force: bool = False) -> None:
        now_ms = self._time.stated_ms
        for symbol in self._hub.symbols:
            if thorough:
                self._started[symbol] = await self._start_of(symbol, now_ms)
            last = history_end(self._hub.store, symbol, now_ms)
            start = self._started[symbol]
            since = start if thorough else self._frontier.get(symbol, start)
            recent = start if thorough else max(start, floor_minute(now_ms - FALLBACK_AGAIN_MS))
            idle = [] if force else resting(self._hub.store.gaps(symbol), now_ms)
            found = await asyncio.to_thread(missing, self._hub.store, symbol, (start, last), since=since, fallback_since=recent, idle=idle)
            self._wanted[symbol] = found if thorough else united([*self._wanted.get(symbol, []), *found])
            self._frontier[symbol] = max(last + MINUTE_MS, self._started[symbol], self._frontier.get(symbol, 0))

    async def _start_of(self, symbol: str, now_ms: int) -> int:
        if self._backfill is not None:
            first = floor_minute(now_ms - int(self._backfill.total_seconds() * 1000))
        else:
            try:
                first = await self._exchange.first_bar(symbol) or newest_closed(now_ms)
            except UnknownSymbol:
                first = newest_closed(now_ms)
        oldest = self._hub.store.oldest_open_time(symbol)
        return max(first if oldest is None else min(first, oldest), self._listed.get(symbol, 0))

    async def _learn_listing(self) -> None:
        if self._clock.monotonic() < self._listing_at:
            return
        self._listing_at = self._clock.monotonic() + LISTING_S
        try:
            status = await self._exchange.halted(self._hub.symbols)
        except (TransientError, UnknownSymbol) as error:
            self._hub.log.debug("the list of symbols was not to be had", reason=str(error))
            return
        for symbol in status.keys() - self._status.keys():
            newest = self._hub.store.newest_bar(symbol)
            since = "no bar of it is stored" if newest is None else f"its last bar stored closed at {newest.close_time:%Y-%m-%d %H:%M} UTC"
            self._hub.log.warning(f"{symbol} is {status[symbol]} at {self._exchange.host}: {since}; the others go on")
        self._status = status

    # -- asking

    async def _repair(self, *, live: bool) -> AsyncGenerator[Batch, None]:
        """Fetch what is wanted, a page of several symbols at a time; the next is under way while one is recorded."""
        total, told = self._left(), 0
        failed: set[str] = set()
        ahead = self._ask_ahead(failed)
        try:
            while ahead is not None:
                asked, found = ahead[0], await ahead[1]
                failed |= asked - found.keys()
                for symbol, fetched in found.items():
                    self._wanted[symbol] = fetched.rest
                waits = self._exchange.exhausted()
                ahead = None if waits else self._ask_ahead(failed)
                if batch := self._settled(found):
                    yield batch
                told = self._tell(total, told)
                if waits and self._left():
                    await self._wait()
                    if live:
                        async with aclosing(self._live()) as minutes:
                            async for batch in minutes:
                                yield batch
                    ahead = self._ask_ahead(failed)
        finally:
            if ahead is not None:
                ahead[1].cancel()
                await asyncio.gather(ahead[1], return_exceptions=True)

    def _ask_ahead(self, failed: set[str]) -> "tuple[set[str], asyncio.Task[dict[str, Fetched]]] | None":
        ready = [
            symbol for symbol, stretches in self._wanted.items() if stretches and symbol not in failed and self._outages.may_ask(symbol)
        ]
        if not ready:
            return None
        now = ready[:AT_ONCE]
        return set(now), asyncio.create_task(self._ask({symbol: self._wanted[symbol] for symbol in now}))

    async def _live(self) -> AsyncGenerator[Batch, None]:
        """The minutes that have closed since the last time, of all symbols in one batch."""
        while wanted := self._behind():
            found = await self._patiently(await self._ask(wanted))
            before = dict(self._frontier)
            for symbol, fetched in found.items():
                end = wanted[symbol][-1][1]
                self._frontier[symbol] = fetched.rest[0][0] if fetched.rest else end + MINUTE_MS
                (self._halted.add if fetched.missing_at(end) else self._halted.discard)(symbol)
            if batch := self._settled(found):
                yield batch
            if before == self._frontier or self._clock.monotonic() >= self._repair_at:
                return

    def _behind(self) -> dict[str, list[Range]]:
        newest = newest_closed(self._time.now_ms())
        behind = {symbol: first for symbol, first in self._frontier.items() if first <= newest and self._outages.may_ask(symbol)}
        reach = max(10, LARGEST_BATCH // max(1, len(behind))) * MINUTE_MS
        return {symbol: [(first, min(newest, first + reach))] for symbol, first in behind.items()}

    async def _patiently(self, found: dict[str, Fetched]) -> dict[str, Fetched]:
        """Give the exchange a little more time where it had everything but the newest minutes, and hear from it that they are over."""
        ends = [fetched.missing[-1][0][1] for fetched in found.values() if fetched.missing]
        if not ends:
            return found
        if max(ends) > newest_closed(self._time.stated_ms):
            await self._exchange.synchronise()
        newest = newest_closed(self._time.stated_ms)
        for fetched in found.values():
            fetched.unsettle_after(newest)
        for wait in LATE_S:
            late = self._late(found)
            if not late:
                break
            await self._clock.sleep(wait)
            again = await self._ask({symbol: [stretch for stretch, _ in found[symbol].missing] for symbol in late})
            for symbol in late:
                fetched = found[symbol]
                if symbol not in again:
                    fetched.unsettle_after(fetched.missing[0][0][0] - MINUTE_MS)
                    continue
                fetched.bars += again[symbol].bars
                fetched.missing = again[symbol].missing
                fetched.rest = united([*fetched.rest, *again[symbol].rest])
        return found

    def _late(self, found: Mapping[str, Fetched]) -> list[str]:
        fresh = newest_closed(self._time.now_ms()) - EDGE_MS
        return [
            symbol
            for symbol, fetched in found.items()
            if symbol not in self._halted
            and fetched.missing
            and fetched.missing[-1][0][1] >= fresh
            and fetched.missing[-1][1].startswith(ABSENT)
        ]

    async def _ask(self, wanted: Mapping[str, Sequence[Range]]) -> dict[str, Fetched]:
        """A page for each symbol. Symbols that fail alone are noted and left out; TransientError where it is the whole exchange."""
        spans = {symbol: span_of(stretches) for symbol, stretches in wanted.items()}
        pages = await gathered(self._gate, {symbol: partial(self._exchange.bars, symbol, span) for symbol, span in spans.items()})
        failed = {symbol: page for symbol, page in pages.items() if isinstance(page, Exception)}
        if len(failed) == len(pages) and (general := self._outages.general_among(failed)):
            raise general
        found = {}
        for symbol, page in pages.items():
            if isinstance(page, Page):
                self._oddities.report(symbol, self._exchange.host, page.rejected)
                fetched = settle(wanted[symbol], spans[symbol], page, self._absence(symbol))
                found[symbol] = await self._since_listed(symbol, fetched, page)
                self._outages.end(symbol)
            else:
                self._outages.begin([symbol], page)
        return found

    async def _since_listed(self, symbol: str, fetched: Fetched, page: Page) -> Fetched:
        """Before the exchange's first bar of a symbol nothing is missing."""
        if symbol not in self._listed and fetched.missing and fetched.missing[0][0][0] == self._started.get(symbol):
            first = await self._exchange.first_bar(symbol)
            honest = first is not None and not (page.bars and to_ms(page.bars[0].open_time) < first)
            self._listed[symbol] = first if first is not None and honest else 0
        listed = self._listed.get(symbol, 0)
        fetched.missing = [((max(first, listed), last), reason) for (first, last), reason in fetched.missing if last >= listed]
        return fetched

    # -- what came

    def _settled(self, found: Mapping[str, Fetched]) -> Batch:
        batch: Batch = []
        for symbol, fetched in found.items():
            batch += fetched.bars
            self._oddities.look(fetched.bars)
            if fetched.missing:
                batch += answered(symbol, fetched.missing, fetched.rest, self._hub.store.gaps(symbol), self._time.now_ms())
        return batch

    def _absence(self, symbol: str) -> str:
        return f"{ABSENT}; {symbol} is {self._status[symbol]}" if symbol in self._status else ABSENT

    def _unsettled(self) -> dict[str, list[Range]]:
        """Per symbol all that has not been answered for, up to now."""
        if not self._time.known:
            return {}
        newest = newest_closed(self._time.now_ms())
        return {
            symbol: united([*self._wanted.get(symbol, []), *([(first, newest)] if first <= newest else [])])
            for symbol, first in self._frontier.items()
        }

    async def _prepare_outage(self) -> None:
        """An outage that was there before us: work out what is missing all the same, if anybody has told us the time."""
        if self._time.known and not self._frontier and self._backfill is not None:
            await self._plan(thorough=True)

    def _left(self) -> int:
        return sum(map(minutes_in, (stretch for stretches in self._wanted.values() for stretch in stretches)))

    def _tell(self, total: int, told: int) -> int:
        done = total - self._left()
        if self._progress:
            self._progress(done, total)
        step = done * TOLD_STEPS // max(1, total)
        if step > told and total >= 2000:
            self._hub.log.info("filling in the past", minutes=done, of=total, percent=100 * done // total)
        return step

    # -- when

    async def _wait(self) -> None:
        """Until shortly after the next minute has closed at the exchange."""
        if not self._time.known:
            self._unknown_waits += 1
            await self._clock.sleep(min(60.0, 5.0 * 2 ** min(self._unknown_waits, 4)) * random.uniform(0.8, 1.2))  # noqa: S311
            return
        jitter = random.uniform(*JITTER_S)  # noqa: S311 - spreads load, hides nothing
        second = self._time.now_ms() % MINUTE_MS / 1000
        wait = jitter - second if second < JITTER_S[0] else 60 + jitter - second
        if (still := self._time.standing_still) and not self._outages:
            wait = max(wait, min(STANDSTILL_S, 60.0 * 2 ** min(still, 8)))
        await self._clock.sleep(wait)
