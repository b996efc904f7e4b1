"""Asks Binance, Binance.US, or whoever speaks their REST API; turns every answer into bars or into words."""

import asyncio
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from hub.ban import Ban, wait_asked
from hub.download import Answer, Unreachable, download, host_of, printable
from hub.errors import PermanentError, TransientError
from hub.flow import Hub
from hub.market.interval import EARLIEST_MS, MINUTE_MS, Range, epoch_ms, minutes_in
from plugins.collector.exchange_time import ExchangeTime
from plugins.collector.klines import Page, first_open_time, parse

if TYPE_CHECKING:
    import httpx

LARGEST_PAGE = 1000
"""Bars that one request can bring."""
SHARE = 0.1
"""Of the weight limit; the rest is for other programs behind the same address."""
SMALLEST_LIMIT = 1200
"""Weight a minute, until the exchange has told us its own."""
PATIENCE_BLOCKED_S = 600.0
QUIET_S = 2.0
"""Nothing is asked in the first seconds of a minute, when everybody asks."""
_OTHER = {"binanceus": "binance", "binance": "binanceus"}


class UnknownSymbol(PermanentError):
    """The exchange does not have this symbol; the others go on."""


class _Lenient(BaseModel):
    model_config = ConfigDict(strict=True)


class _Time(_Lenient):
    serverTime: int  # noqa: N815 - spelt as on the wire


class _Listing(_Lenient):
    symbol: str
    status: str = "TRADING"


class _Limit(_Lenient):
    rateLimitType: str  # noqa: N815
    interval: str
    intervalNum: int = 1  # noqa: N815
    limit: int


class _Info(_Lenient):
    symbols: list[_Listing] = []
    rateLimits: list[_Limit] = []  # noqa: N815


@dataclass
class Weight:
    """What the exchange says we have used of this minute's allowance."""

    used: int = 0
    limit: int = SMALLEST_LIMIT
    minute: int = 0

    def left(self, server_ms: int) -> float:
        """Weight that may still be used in the minute of `server_ms`."""
        used = self.used if server_ms // MINUTE_MS == self.minute else 0
        return self.limit * SHARE - used


class Binance:
    """One exchange: knows its ban, its weight budget and its time."""

    def __init__(self, hub: Hub, name: str, base_url: str, time: ExchangeTime) -> None:
        """`name`: the bars' source."""
        self.name = name
        self.host = host_of(base_url)
        self.time = time
        self.weight = Weight()
        self._base_url = base_url
        self._http: httpx.AsyncClient = hub.http
        self._clock = hub.clock
        self.ban = Ban(hub.data_dir / f"ban-{re.sub(r'[^A-Za-z0-9.-]', '_', self.host)}.json", hub.clock)

    async def synchronise(self) -> None:
        """Ask the exchange for its time."""
        answer = await self._get("/api/v3/time", {}, found_missing=True)
        if answer.status == 404 and "date" in answer.headers:
            self.time.note(int(parsedate_to_datetime(answer.headers["date"]).timestamp() * 1000))
            return
        try:
            self.time.note(epoch_ms(_Time.model_validate_json(answer.body).serverTime))
        except ValueError as error:
            raise TransientError(f"{self.host}: {_not_data(answer)}") from error

    async def bars(self, symbol: str, stretch: Range) -> Page:
        """Closed bars of the first thousand minutes of `stretch` that have one. UnknownSymbol, or TransientError in words."""
        asked_at = self.time.now_ms()
        first, last = stretch
        answer = await self._get(
            "/api/v3/klines",
            {
                "symbol": symbol.replace("-", ""),
                "interval": "1m",
                "startTime": first,
                "endTime": last,
                "limit": min(LARGEST_PAGE, minutes_in(stretch)),
            },
            symbol=symbol,
        )
        try:
            return parse(answer.body, symbol, self.name, asked_at)
        except ValueError as error:
            raise TransientError(f"{self.host}: {_not_data(answer)}") from error

    async def first_bar(self, symbol: str) -> int | None:
        """Open time of the oldest bar that the exchange has of `symbol`."""
        asked_at = self.time.now_ms()
        params: dict[str, str | int] = {"symbol": symbol.replace("-", ""), "interval": "1m", "startTime": EARLIEST_MS, "limit": 1}
        answer = await self._get("/api/v3/klines", params, symbol=symbol)
        try:
            first = first_open_time(answer.body)
        except ValueError as error:
            raise TransientError(f"{self.host}: {_not_data(answer)}") from error
        return first if first is not None and first < asked_at else None

    async def halted(self, symbols: Sequence[str]) -> dict[str, str]:
        """Symbols that do not trade now, with the exchange's word for it (`BREAK`). Learns the weight limit on the way."""
        names = {symbol.replace("-", ""): symbol for symbol in symbols[:100]}
        answer = await self._get(
            "/api/v3/exchangeInfo", {"symbols": json.dumps(list(names), separators=(",", ":"))}, symbol="one of the symbols"
        )
        try:
            info = _Info.model_validate_json(answer.body)
        except ValidationError as error:
            raise TransientError(f"{self.host}: {_not_data(answer)}") from error
        for limit in info.rateLimits:
            if limit.rateLimitType == "REQUEST_WEIGHT" and limit.interval == "MINUTE" and limit.limit > 0:
                self.weight.limit = limit.limit // max(1, limit.intervalNum)
        return {
            names[item.symbol]: printable(item.status, 30) for item in info.symbols if item.symbol in names and item.status != "TRADING"
        }

    def exhausted(self) -> bool:
        """This minute's share of the weight is used up: history can wait for the next."""
        return self.time.known and self.weight.left(self.time.now_ms()) <= 0

    async def _get(self, path: str, params: Mapping[str, str | int], *, symbol: str = "", found_missing: bool = False) -> Answer:
        if self.time.known and (second := self.time.now_ms() % MINUTE_MS / 1000) < QUIET_S:
            await self._clock.sleep(QUIET_S - second + random.random())  # noqa: S311 - spreads load, hides nothing
        if (wait := self.ban.remaining()) > 0:
            raise Unreachable(f"{self.host} asked us to stay away for another {_span(wait)}", retry_after=wait)
        answer = await download(self._http, self._base_url + path, params)
        if (used := answer.headers.get("x-mbx-used-weight-1m", "")).isdecimal() and len(used) < 10 and self.time.known:
            self.weight.used, self.weight.minute = int(used), self.time.now_ms() // MINUTE_MS
        if answer.status == 200 and not answer.body.lstrip().startswith(b'{"code"'):
            return answer
        if answer.status == 404 and found_missing:
            return answer
        raise self._refusal(answer, symbol)

    def _refusal(self, answer: Answer, symbol: str) -> Exception:
        code, text = _code_of(answer.body)
        if answer.status in {418, 429} or code == -1003 or (answer.status == 503 and "retry-after" in answer.headers):
            return self._banned(answer, text)
        if code == -1121 and symbol:
            return UnknownSymbol(f"{symbol.replace('-', '')} is unknown to {self.host}; correct or remove it in `symbols`")
        if answer.status in {403, 451}:
            return Unreachable(f"{self.host} {self._blocked(answer.status)}", retry_after=PATIENCE_BLOCKED_S)
        return TransientError(f"{self.host}{_in_words(answer, code, text)}")

    def _blocked(self, status: int) -> str:
        if status == 451:
            return f"is blocked in your country (451): choose source {_OTHER.get(self.name, 'binanceus')}"
        return "refuses us (403): its firewall does not like this address, or there were too many requests"

    def _banned(self, answer: Answer, text: str) -> Unreachable:
        now_s = self._clock.now().timestamp()
        wait = wait_asked(answer.headers, now_s)
        if "retry-after" not in answer.headers and (until := re.search(r"banned until (\d{13})\b", text)):
            server_s = self.time.now_ms() / 1000 if self.time.known else now_s
            wait = wait_asked({"retry-after": str(int(int(until[1]) / 1000 - server_s) + 1)}, now_s)
        self.ban.begin(wait)
        what = "banned this address (418)" if answer.status == 418 else f"had too many requests from this address ({answer.status})"
        return Unreachable(f"{self.host} {what}: nothing is asked of it for {_span(wait)}", retry_after=wait)


async def gathered(gate: asyncio.Semaphore, asks: Mapping[str, Any]) -> dict[str, Page | Exception]:
    """The pages of several symbols at once, or why there is none. Where a host gives no answer at all, the rest is not tried."""
    silent: list[Unreachable] = []

    async def one(ask: Any) -> Page:
        async with gate:
            if silent:
                raise silent[0]
            try:
                page: Page = await ask()
            except Unreachable as error:
                silent.append(error)
                raise
            return page

    results = await asyncio.gather(*(one(ask) for ask in asks.values()), return_exceptions=True)
    found: dict[str, Page | Exception] = {}
    for symbol, result in zip(asks, results, strict=True):
        if isinstance(result, TransientError | UnknownSymbol | Page):
            found[symbol] = result
        else:
            raise result
    return found


def _code_of(body: bytes) -> tuple[int | None, str]:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return None, ""
    if not isinstance(message, dict) or type(message.get("code")) is not int:
        return None, ""
    return message["code"], printable(str(message.get("msg", "")))


def _in_words(answer: Answer, code: int | None, text: str) -> str:
    if 300 <= answer.status < 400:
        where = printable(answer.headers.get("location", "elsewhere"))
        return f" redirects to {where}: a captive portal? Log into this network with a browser"
    if answer.status >= 500:
        return f" is in trouble ({answer.status}); what is missed meanwhile is fetched later"
    if code is not None:
        return f" refuses the request ({answer.status}, code {code}: {text})"
    if answer.status == 200:
        return f": {_not_data(answer)}"
    return f" answers {answer.status}; is base_url right?"


def _not_data(answer: Answer) -> str:
    start = answer.body[:200].lstrip().lower()
    if not answer.body.strip():
        return "the answer is empty"
    if start.startswith((b"<", b"\xef\xbb\xbf<")) or "html" in answer.headers.get("content-type", ""):
        return "a web page came instead of data: a captive portal or a proxy? Log into this network with a browser"
    return f"the answer is not what was asked for: {printable(answer.body[:80].decode('utf-8', 'replace'))!r}"


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min" if seconds < 36_000 else f"{seconds / 3600:.0f} h"
