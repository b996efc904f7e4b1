"""Exchanges for tests: one in memory that obeys a script, one on a real socket that can misbehave, and a hub that collects from them."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from hub.market.interval import MINUTE_MS, from_ms, to_ms
from hub.testing import START, FakeClock, FakeHub, MemoryStore
from plugins import collector

LISTED = to_ms(START) - 3 * 86_400_000
"""The fake exchange's first bar opened here."""
URL = "http://exchange.test"
GECKO = "http://gecko.test/api/v3"
Script = Callable[[httpx.Request], httpx.Response | None]


def row(minute: int, **changed: Any) -> list[Any]:
    """One of Binance's rows for the minute that opens at `minute` (ms), its numbers made from the minute."""
    price = 100 + minute // MINUTE_MS % 997 / 100
    fields = {
        "open_time": minute,
        "open": f"{price:.8f}",
        "high": f"{price + 1:.8f}",
        "low": f"{price - 1:.8f}",
        "close": f"{price + 0.5:.8f}",
        "volume": "2.50000000",
        "close_time": minute + MINUTE_MS - 1,
        "quote_volume": "250.00000000",
        "trades": 7,
        "taker_base": "1.25000000",
        "taker_quote": "125.00000000",
        "unused": "0",
    }
    return list((fields | changed).values())


def page(*minutes: int, **changed: Any) -> bytes:
    """The body of an answer with these minutes."""
    return json.dumps([row(minute, **changed) for minute in minutes], separators=(",", ":")).encode()


class FakeExchange(httpx.AsyncBaseTransport):
    """Binance and CoinGecko in memory, by the clock's time. `script` may answer before they do."""

    def __init__(self, clock: FakeClock, symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT")) -> None:
        self.clock = clock
        self.symbols = symbols
        self.asked: list[tuple[int, httpx.Request]] = []
        """When (ms, the exchange's time), and what."""
        self.script: Script = lambda _: None
        self.absent: set[int] = set()
        """Minutes that the exchange has no bar of."""
        self.ahead_ms = 0
        """How far the exchange's clock is ahead of this machine's wall clock at START."""
        self.status = "TRADING"
        self.lateness_ms = 0
        """How long after its close a bar appears."""
        self._polls = 0

    def now_ms(self) -> int:
        """The exchange's time; it takes no part in jumps of the wall clock."""
        return to_ms(START) + int(self.clock.monotonic() * 1000) + self.ahead_ms

    def asked_of(self, host: str) -> list[tuple[int, httpx.Request]]:
        return [(at, request) for at, request in self.asked if request.url.host == host]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:  # noqa: PLR0911 - one return a path
        self.asked.append((self.now_ms(), request))
        if (scripted := self.script(request)) is not None:
            return scripted
        if request.url.host == "gecko.test":
            date = from_ms(self.now_ms()).strftime("%a, %d %b %Y %H:%M:%S GMT")
            return httpx.Response(200, headers={"date": date}, json={"bitcoin": {"usd": 111.5}, "ethereum": {"usd": 22.25}})
        params = request.url.params
        match request.url.path:
            case "/api/v3/time":
                return httpx.Response(200, json={"serverTime": self.now_ms()})
            case "/api/v3/exchangeInfo":
                names = json.loads(params["symbols"])
                if not set(names) <= set(self.symbols):
                    return httpx.Response(400, json={"code": -1121, "msg": "Invalid symbol."})
                return httpx.Response(200, json={"symbols": [{"symbol": name, "status": self.status} for name in names]})
            case "/api/v3/klines" if params["symbol"] not in self.symbols:
                return httpx.Response(400, json={"code": -1121, "msg": "Invalid symbol."})
            case "/api/v3/klines":
                return httpx.Response(200, json=self._rows(params))
        return httpx.Response(404, json={})

    def _rows(self, params: httpx.QueryParams) -> list[list[Any]]:
        now = self.now_ms()
        running = now - now % MINUTE_MS
        first = max(int(params["startTime"]), LISTED)
        minutes = (at for at in range(first + -first % MINUTE_MS, running + 1, MINUTE_MS) if at not in self.absent)
        self._polls += 1
        rows = []
        for at in minutes:
            if at == running:  # still running: other numbers at every poll, whatever endTime says
                rows.append(row(at, close=f"{100 + self._polls % 7 / 10:.8f}", high="999.00000000", low="1.00000000"))
            elif at + MINUTE_MS + self.lateness_ms <= now and at <= int(params.get("endTime", now)):
                rows.append(row(at))
            if len(rows) == int(params["limit"]):
                break
        return rows


class Station:
    """A hub in memory that collects from a FakeExchange; time passes only in `run_for`."""

    def __init__(
        self, clock: FakeClock, exchange: FakeExchange, store: MemoryStore, data_dir: Path | None, settings: dict[str, Any]
    ) -> None:
        self.clock, self.exchange, self.store = clock, exchange, store
        self.batches: list[list[Any]] = []
        values = {"binanceus": {"base_url": URL}, "coingecko": {"base_url": GECKO}, "fallback": None, "backfill": "1h"} | settings
        self.hub = FakeHub(values, clock=clock, store=store, symbols=("BTC-USDT", "ETH-USDT"), transport=exchange, data_dir=data_dir)
        self._task: asyncio.Task[None] | None = None

    async def _collect(self) -> None:
        [source] = collector.register_sources(self.hub)
        async with aclosing(source.stream()) as stream:  # type: ignore[type-var]
            async for batch in stream:
                self.batches.append(list(batch))
                self.store.record(list(batch))  # type: ignore[arg-type]

    async def run_for(self, seconds: float) -> None:
        """Let that much of the clock's time pass."""
        if self._task is None:
            self._task = asyncio.create_task(self._collect())
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end - 1e-6:
            while self.clock.next_wake is None:
                if self._task.done():
                    self._task.result()
                    raise AssertionError("the source ended")
                await asyncio.sleep(0)
            await self.clock.advance(min(self.clock.next_wake, end - self.clock.monotonic()))
        for _ in range(50):
            await asyncio.sleep(0)

    async def kill(self) -> None:
        """As SIGKILL would: nothing is told to end well."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self.hub.http.aclose()

    def said(self, level: str | None = None) -> list[str]:
        return [entry["event"] for entry in self.hub.logged.entries if level in (None, entry["log_level"])]

    def unaccounted(self, first: datetime, last: datetime) -> list[Any]:
        """Minutes that are neither a bar nor in a gap."""
        gaps = [(gap.symbol, to_ms(gap.first_open_time), to_ms(gap.last_open_time)) for gap in self.store.gaps()]
        return [
            (symbol, from_ms(at))
            for symbol in self.hub.symbols
            for hole in self.store.missing(symbol, to_ms(first), to_ms(last))
            for at in range(hole[0], hole[1] + 1, MINUTE_MS)
            if not any(name == symbol and start <= at <= end for name, start, end in gaps)
        ]


@asynccontextmanager
async def station(
    *,
    clock: FakeClock | None = None,
    exchange: FakeExchange | None = None,
    store: MemoryStore | None = None,
    data_dir: Path | None = None,
    **settings: Any,
) -> AsyncIterator[Station]:
    """A station that is shut when the test is over."""
    clock = clock or FakeClock()
    with tempfile.TemporaryDirectory() as folder:
        made = Station(clock, exchange or FakeExchange(clock), store or MemoryStore(), data_dir or Path(folder), settings)
        try:
            yield made
        finally:
            await made.kill()


Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def socket_server(behaviour: Behaviour, **listen: Any) -> AsyncIterator[str]:
    """A real server that does `behaviour` with every connection once the request's head is read; yields its address."""

    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())  # type: ignore[arg-type]
        try:
            await reader.readuntil(b"\r\n\r\n")
            await behaviour(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, **listen)
    try:
        scheme = "https" if "ssl" in listen else "http"
        yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


def answering(body: bytes, *headers: str, status: str = "200 OK") -> Behaviour:
    """One plain answer."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await writer.drain()

    return answer
