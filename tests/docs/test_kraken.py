"""The tutorial's exchange: it runs, keeps to the rules, and is as short as promised."""

import asyncio
import importlib.util
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from hub import Bar, PermanentError, TransientError
from hub.kit.reading import read
from hub.market.interval import MINUTE_MS, to_ms
from hub.testing import START, FakeClock, FakeHub

FILE = Path(__file__).parents[2] / "docs" / "examples" / "kraken.py"


def plugin() -> Any:
    spec = importlib.util.spec_from_file_location("kraken", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Kraken(httpx.AsyncBaseTransport):
    """Answers as its documentation says, the running minute included."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.answer: httpx.Response | None = None
        self.asked: list[httpx.QueryParams] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.params)
        if self.answer is not None:
            return self.answer
        since, now = int(request.url.params["since"]), to_ms(self.clock.now()) // 1000
        first = max(since + 1, now - 720 * 60)
        times = range(first + -first % 60, now + 1, 60)
        rows = [[at, "100.0", "101.5", "99.5", "100.5", "100.2", "2.5", 7] for at in times]
        return httpx.Response(200, json={"error": [], "result": {"XXBTZUSD": rows, "last": now}})


async def brought(hub: FakeHub, minutes: int) -> list[Bar]:
    """What the source yields in so many minutes, recorded as the hub would."""
    [source] = plugin().register_sources(hub)
    found: list[Bar] = []
    async with aclosing(source.stream()) as stream:
        end = hub.clock.monotonic() + minutes * 60
        waiting = asyncio.ensure_future(anext(stream))
        while hub.clock.monotonic() < end:
            await hub.clock.advance(5)
            if waiting.done():
                found += waiting.result()
                hub.store.record(waiting.result())
                waiting = asyncio.ensure_future(anext(stream))
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    await hub.http.aclose()
    return found


async def test_every_minute_comes_once_and_only_when_it_is_over() -> None:
    clock = FakeClock(START + timedelta(hours=20, seconds=30))
    exchange = Kraken(clock)
    found = await brought(FakeHub(clock=clock, symbols=("BTC-USDT",), transport=exchange), 5)
    times = [to_ms(bar.open_time) for bar in found]
    assert times == list(range(times[0], times[-1] + 1, MINUTE_MS))
    assert len(times) >= 718 + 4
    assert found[-1].close_time <= clock.now()
    assert exchange.asked[0]["pair"] == "XBTUSDT"
    assert (found[0].volume, found[0].trades, found[0].source) == (2.5, 7, "kraken")


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (httpx.Response(200, json={"error": ["EQuery:Unknown asset pair"], "result": {}}), PermanentError, "Unknown asset pair"),
        (httpx.Response(200, json={"error": ["EGeneral:Too many requests"], "result": {}}), TransientError, "Too many requests"),
        (httpx.Response(503), TransientError, "503"),
        (httpx.Response(200, text="<html>"), TransientError, "Kraken: BTC-USDT"),
        (httpx.Response(200, json={"error": [], "result": {"X": [[1, "2"]]}}), TransientError, "Kraken: BTC-USDT"),
    ],
)
async def test_what_it_answers_otherwise_is_told_in_words(answer: httpx.Response, kind: type[Exception], words: str) -> None:
    clock = FakeClock(START + timedelta(hours=20, seconds=30))
    exchange = Kraken(clock)
    exchange.answer = answer
    with pytest.raises(kind, match=words):
        await brought(FakeHub(clock=clock, symbols=("BTC-USDT",), transport=exchange), 2)


def test_it_is_shorter_than_eighty_lines_and_keeps_to_the_checklist() -> None:
    assert len(FILE.read_text(encoding="utf-8").splitlines()) < 80
    assert [finding for finding in read([FILE]) if not finding.ok] == []
