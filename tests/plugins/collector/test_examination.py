"""What the doctor hears of the exchange: told in words, with the fix, and by one exchange that obeys a script."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest

from hub import Check, PermanentError, TransientError
from hub.testing import START, FakeClock, FakeHub
from plugins import collector
from tests.exchanges import URL, FakeExchange


@asynccontextmanager
async def examined(exchange: FakeExchange, *symbols: str, **settings: Any) -> AsyncIterator[dict[str, Check]]:
    """The collector's checks by name, against this exchange."""
    values = {"binanceus": {"base_url": URL}, "binance": {"base_url": URL}} | settings
    hub = FakeHub(values, clock=exchange.clock, symbols=symbols or ("BTC-USDT", "ETH-USDT"), transport=exchange)
    yield {check.name: check for check in collector.register_checks(hub)}
    await hub.http.aclose()


def half_past(*symbols: str) -> FakeExchange:
    """An exchange in the middle of a minute: in its first seconds nobody asks."""
    exchange = FakeExchange(FakeClock(START + timedelta(seconds=30)), symbols or ("BTCUSDT", "ETHUSDT"))
    exchange.ahead_ms = 30_000
    return exchange


@pytest.fixture
def exchange() -> FakeExchange:
    return half_past()


async def test_an_exchange_that_answers_and_trades_is_fine(exchange: FakeExchange) -> None:
    """Both are needed: without bars there is nothing to do."""
    async with examined(exchange) as checks:
        assert await checks["exchange"].look() == "exchange.test answers; BTC/USDT, ETH/USDT trade"
        assert checks["exchange"].needed
        assert checks["clock"].needed


async def test_the_symbol_that_the_exchange_does_not_know_is_named(exchange: FakeExchange) -> None:
    """Among two hundred, which one?"""
    async with examined(exchange, "BTC-USDT", "ETH-USDT", "SHIBB-USDT") as checks:
        with pytest.raises(PermanentError, match=r"^SHIBB/USDT: unknown to exchange.test; correct or remove it in `symbols`$"):
            await checks["exchange"].look()


async def test_a_symbol_that_does_not_trade_is_named_with_its_state(exchange: FakeExchange) -> None:
    """Delisted: it would be gaps for ever."""
    exchange.status = "BREAK"
    async with examined(exchange, "BTC-USDT") as checks:
        with pytest.raises(PermanentError, match=r"BTC/USDT is BREAK: remove it from `symbols`, or wait until it trades again"):
            await checks["exchange"].look()


async def test_more_symbols_than_one_question_holds_are_all_asked_for() -> None:
    """The hundred-and-first is a symbol too."""
    names = [f"A{number}" for number in range(101)]
    exchange = half_past(*(f"{name}USDT" for name in names))
    async with examined(exchange, *(f"{name}-USDT" for name in names), "NOSUCH-USDT") as checks:
        with pytest.raises(PermanentError, match=r"^NOSUCH/USDT: unknown"):
            await checks["exchange"].look()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx.Response(451), r"is blocked in your country \(451\): choose source binance"),
        (httpx.Response(403), r"refuses us \(403\)"),
        (httpx.Response(429, headers={"retry-after": "60"}), "too many requests"),
        (httpx.Response(200, text="<html>log in</html>"), "a captive portal or a proxy"),
        (httpx.Response(503), r"is in trouble \(503\)"),
        (httpx.Response(302, headers={"location": "http://portal"}), "redirects to http://portal"),
    ],
)
async def test_an_exchange_that_does_not_serve_us_says_why(exchange: FakeExchange, answer: httpx.Response, words: str) -> None:
    """The same words that the collector itself would log."""
    exchange.script = lambda _: answer
    async with examined(exchange) as checks:
        with pytest.raises(TransientError, match=words):
            await checks["exchange"].look()


async def test_an_exchange_that_cannot_be_reached_says_so(exchange: FakeExchange) -> None:
    """A cable, a name, a firewall."""

    def refused(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("x") from ConnectionRefusedError()

    exchange.script = refused
    async with examined(exchange) as checks:
        with pytest.raises(TransientError, match=r"exchange.test: connection refused; is base_url right\?"):
            await checks["exchange"].look()


@pytest.mark.parametrize(
    ("ahead_ms", "words"),
    [
        (0, "within 2 s of the exchange's"),
        (1_900, "within 2 s of the exchange's"),
        (12_000, "this machine's clock is 12 s behind the exchange's; bars go by the exchange's"),
        (-299_000, "this machine's clock is 299 s ahead of the exchange's; bars go by the exchange's"),
    ],
)
async def test_a_clock_that_is_a_little_off_is_shown(exchange: FakeExchange, ahead_ms: int, words: str) -> None:
    """Bars do not depend on it."""
    exchange.ahead_ms += ahead_ms
    async with examined(exchange) as checks:
        assert words in await checks["clock"].look()


@pytest.mark.parametrize("ahead_ms", [301_000, -86_400_000])
async def test_a_clock_that_is_far_off_fails_with_the_fix(exchange: FakeExchange, ahead_ms: int) -> None:
    """Certificates, logs and dumps do depend on it."""
    exchange.ahead_ms += ahead_ms
    async with examined(exchange) as checks:
        with pytest.raises(PermanentError, match="timedatectl set-ntp true"):
            await checks["clock"].look()


async def test_a_simulated_exchange_needs_neither(exchange: FakeExchange) -> None:
    """The demo's doctor asks nobody."""
    async with examined(exchange, source="simulated") as checks:
        assert await checks["exchange"].look() == "simulated on this machine"
        assert "no other clock" in await checks["clock"].look()
        assert exchange.asked == []
