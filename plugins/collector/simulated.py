"""An exchange on this machine: speaks Binance's REST API and plays a file of bars, or a market of its own, by the hub's clock."""

import argparse
import asyncio
import json
import re
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Protocol
from urllib.parse import parse_qs, urlsplit

from hub.clock import Clock, FastClock, SystemClock
from hub.errors import HubError, SettingsError
from hub.market.interval import MINUTE_MS, floor_minute, to_ms
from plugins.collector.bar_file import BarFile
from plugins.collector.market_simulation import MarketSimulation
from plugins.collector.settings import SimulatedSettings

LARGEST_PAGE = 1000
WEIGHT_LIMIT = 1_000_000
AFTER_LAST_MS = 2_000


class Book(Protocol):
    """The rows of one symbol."""

    def page(self, first: int, last: int, limit: int, *, newest: bool = False) -> bytes:
        """Up to `limit` rows that opened in [first, last], joined by commas: the oldest of them, or the newest."""


class ApiError(Exception):
    """What the exchange answers to a wrong request."""

    def __init__(self, code: int, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.body = json.dumps({"code": code, "msg": text}).encode()
        self.status = status


class SimulatedExchange:
    """Answers as the exchange would at its own time, which is the clock's, held within the bars of its files."""

    def __init__(self, clock: Clock, books: Mapping[str, Book]) -> None:
        """`books` by symbol (`BTC-USDT`)."""
        self._clock = clock
        self._books = {symbol.replace("-", ""): book for symbol, book in books.items()}
        self._symbols = {symbol.replace("-", ""): symbol for symbol in books}
        files = [book for book in books.values() if isinstance(book, BarFile)]
        self._held = (min(file.first for file in files), max(file.last for file in files) + MINUTE_MS + AFTER_LAST_MS) if files else None
        self._weight, self._weight_minute = 0, 0
        self._counting = threading.Lock()

    def now_ms(self) -> int:
        """The exchange's time."""
        now = to_ms(self._clock.now())
        return now if self._held is None else max(self._held[0], min(now, self._held[1]))

    def answer(self, path: str, params: Mapping[str, str]) -> bytes:
        """The body for a GET. ApiError for a wrong one."""
        if path == "/api/v3/klines":
            return self._klines(params)
        if path == "/api/v3/time":
            return json.dumps({"serverTime": self.now_ms()}).encode()
        if path == "/api/v3/ping":
            return b"{}"
        if path == "/api/v3/exchangeInfo":
            return self._info(params)
        raise ApiError(0, f"no such path: {path}", 404)

    def used_weight(self, weight: int) -> int:
        """Counts a request; what has been used in this minute of the exchange's time."""
        with self._counting:
            minute = self.now_ms() // MINUTE_MS
            self._weight = self._weight + weight if minute == self._weight_minute else weight
            self._weight_minute = minute
            return self._weight

    def _klines(self, params: Mapping[str, str]) -> bytes:
        book = self._books.get(params.get("symbol", ""))
        if book is None:
            raise ApiError(-1121, "Invalid symbol.")
        if params.get("interval") != "1m":
            raise ApiError(-1120, "Invalid interval.")
        now = self.now_ms()
        limit = min(LARGEST_PAGE, max(1, _whole(params, "limit", 500)))
        first, last = _whole(params, "startTime", 0), min(_whole(params, "endTime", now), now)
        page = book.page(first, last, limit, newest="startTime" not in params)
        running = floor_minute(now)
        if page and last >= running:
            begins = page.rfind(b"[%d," % running)
            if begins >= 0:
                page = page[:begins] + _unfinished(page[begins:])
        return b"[" + page + b"]"

    def _info(self, params: Mapping[str, str]) -> bytes:
        names = list(self._symbols)
        try:
            names = [params["symbol"]] if "symbol" in params else json.loads(params["symbols"]) if "symbols" in params else names
        except ValueError as error:
            raise ApiError(-1100, "Illegal characters found in parameter 'symbols'.") from error
        if not isinstance(names, list) or not all(name in self._symbols for name in names):
            raise ApiError(-1121, "Invalid symbol.")
        parts = {name: self._symbols[name].split("-") for name in names}
        limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": WEIGHT_LIMIT}
        listed = [{"symbol": name, "status": "TRADING", "baseAsset": base, "quoteAsset": quote} for name, (base, quote) in parts.items()]
        return json.dumps({"timezone": "UTC", "serverTime": self.now_ms(), "rateLimits": [limit], "symbols": listed}).encode()


def _unfinished(row: bytes) -> bytes:
    """The row of the minute still running: so far there has been no move."""
    cells = json.loads(row)
    opened = cells[1]
    return json.dumps(
        [cells[0], opened, opened, opened, opened, "0.00000000", cells[6], "0.00000000", 0, "0.00000000", "0.00000000", "0"]
    ).encode()


def _whole(params: Mapping[str, str], name: str, default: int) -> int:
    text = params.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,16}", text):
        raise ApiError(-1100, f"Illegal characters found in parameter '{name}'.")
    return int(text)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 60
    weights: ClassVar[Mapping[str, int]] = {"/api/v3/klines": 2, "/api/v3/exchangeInfo": 20}

    def __init__(self, exchange: SimulatedExchange, *args: Any) -> None:
        self._exchange = exchange
        super().__init__(*args)

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        params = {name: values[-1] for name, values in parse_qs(url.query).items()}
        try:
            status, body = 200, self._exchange.answer(url.path, params)
        except ApiError as error:
            status, body = error.status, error.body
        self.send_response(status)
        self.send_header("Content-Type", "application/json;charset=UTF-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-MBX-USED-WEIGHT-1M", str(self._exchange.used_weight(self.weights.get(url.path, 1))))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Silent: the client says what matters."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class LoopbackServer:
    """Serves an exchange on 127.0.0.1, in a thread of its own, while the context is open."""

    def __init__(self, exchange: SimulatedExchange, port: int = 0) -> None:
        self._server = _Server(("127.0.0.1", port), partial(_Handler, exchange))
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.5}, name="simulated-exchange", daemon=True
        )

    @property
    def base_url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    async def __aenter__(self) -> "LoopbackServer":
        self._thread.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with suppress(OSError):
            self._server.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread at once, so that it need not look all the time
        await asyncio.to_thread(self._server.shutdown)
        self._server.server_close()


def files_for(settings: SimulatedSettings, symbols: Sequence[str]) -> dict[str, list[Path]]:
    """Which files hold which symbol's bars; empty where chance makes the market. SettingsError where it does not come out even."""
    given = settings.file
    if given is None:
        return {}
    if isinstance(given, dict):
        found = {symbol: [given[symbol]] for symbol in symbols if symbol in given}
    else:
        listed = [given] if isinstance(given, Path) else list(given)
        found = {symbol: named for symbol in symbols if (named := [file for file in listed if _names(file, symbol)])}
    problems = [_no_file_for(symbol) for symbol in symbols if symbol not in found]
    found = {symbol: [file.expanduser() for file in files] for symbol, files in found.items()}
    absent = dict.fromkeys(file for files in found.values() for file in files if not file.is_file())
    problems += [f"plugins.collector.simulated.file: {file}: no such file" for file in absent]
    if problems:
        raise SettingsError(problems)
    return found


def _no_file_for(symbol: str) -> str:
    base, quote = symbol.split("-")
    return f"plugins.collector.simulated.file: no file for {symbol}: put {base}{quote} into its name, or write {{{base}/{quote}: path}}"


def _names(file: Path, symbol: str) -> bool:
    return re.search(rf"(?<![A-Z0-9]){symbol.replace('-', '[-_]?')}(?![A-Z0-9])", file.name) is not None


def open_books(settings: SimulatedSettings, symbols: Sequence[str]) -> dict[str, Book]:
    """The rows of every symbol. Reads whole files: not for the event loop. SettingsError or PermanentError naming file and line."""
    files = files_for(settings, symbols)
    if files:
        return {symbol: BarFile(paths) for symbol, paths in files.items()}
    return {symbol: MarketSimulation(settings.seed, symbol) for symbol in symbols}


def _main(say: Callable[[str], None] = print) -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--file", type=Path, action="append", default=[], help="bars to play (.csv or .csv.gz); several times for several")
    options.add_argument("--symbol", action="append", default=[], help="default: BTC-USDT and ETH-USDT, those that the files have")
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--start", type=datetime.fromisoformat, help="its time when it starts, such as 2025-05-20T00:00:00+00:00")
    options.add_argument("--speed", type=float, default=1.0)
    given = options.parse_args()
    symbols = given.symbol or [
        name for name in ("BTC-USDT", "ETH-USDT") if not given.file or any(_names(file, name) for file in given.file)
    ]
    system = SystemClock()
    clock = FastClock(given.start or system.now(), given.speed) if given.start or given.speed != 1 else system

    async def serve() -> None:
        settings = SimulatedSettings(file=tuple(given.file) or None, seed=given.seed)
        async with LoopbackServer(SimulatedExchange(clock, open_books(settings, symbols)), given.port) as server:
            say(server.base_url)
            await asyncio.Event().wait()

    try:
        asyncio.run(serve())
    except KeyboardInterrupt:
        return
    except HubError as error:
        raise SystemExit(f"{error}") from error


if __name__ == "__main__":
    _main()
