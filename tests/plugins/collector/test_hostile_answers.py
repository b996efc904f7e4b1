"""Whatever an exchange or the network does instead of answering: no bar is stored, and the reason is in words (X3, X9, X10)."""

import asyncio
import gzip
import json
import socket
import ssl
import subprocess
import tracemalloc
from pathlib import Path
from typing import Any

import httpx
import pytest

from hub.clock import SystemClock
from hub.download import LARGEST, download
from hub.errors import TransientError
from hub.testing import START, FakeClock, FakeHub
from plugins.collector.binance import Binance, UnknownSymbol
from plugins.collector.exchange_time import ExchangeTime
from tests.exchanges import FakeExchange, answering, page, socket_server, station

T = 1_747_699_200_000
SPAN = (T, T + 59 * 60_000)
Answer = tuple[int, dict[str, str], bytes]

HOSTILE: dict[str, tuple[Answer, str]] = {
    "500": ((500, {}, b"oops"), r"in trouble \(500\)"),
    "502 with a page": ((502, {}, b"<html>Bad gateway</html>"), r"in trouble \(502\)"),
    "503": ((503, {}, b""), r"in trouble \(503\)"),
    "504": ((504, {}, b""), r"in trouble \(504\)"),
    "403 of a firewall": ((403, {}, b"<html>Forbidden</html>"), r"refuses us \(403\)"),
    "451": ((451, {}, b'{"code":0,"msg":"Service unavailable from a restricted location"}'), "blocked in your country.*source binance"),
    "404": ((404, {}, b""), "404; is base_url right"),
    "401": ((401, {}, b""), "answers 401"),
    "302": ((302, {"location": "http://wifi.hotel/login"}, b""), "redirects to http://wifi.hotel/login.*captive portal"),
    "a portal's page with 200": ((200, {"content-type": "text/html"}, b"<!DOCTYPE html><title>Log in"), "web page.*captive portal"),
    "a page with a byte order mark": ((200, {}, b"\xef\xbb\xbf<html>"), "web page"),
    "an empty body": ((200, {}, b""), "answer is empty"),
    "white space": ((200, {}, b" \r\n "), "answer is empty"),
    "half a list": ((200, {}, page(T)[:50]), "not what was asked for"),
    "an object": ((200, {}, b'{"bars": []}'), "not what was asked for"),
    "null": ((200, {}, b"null"), "not what was asked for"),
    "a string": ((200, {}, b'"x"'), "not what was asked for"),
    "binary": ((200, {}, bytes(range(256))), "not what was asked for"),
    "escape sequences": ((200, {}, b"\x1b[31mred\x1b]0;title\x07"), "not what was asked for"),
    "deep nesting": ((200, {}, b"[" * 50_000), "not what was asked for"),
    "code -1003 with 200": ((200, {}, b'{"code":-1003,"msg":"Too many requests"}'), "nothing is asked of it for 60 s"),
    "code -1003 until a time": (
        (418, {}, b'{"code":-1003,"msg":"Way too many requests; IP banned until %d."}' % (T + 1_800_000)),
        r"banned this address \(418\): nothing is asked of it for 30 min",
    ),
    "429": ((429, {"retry-after": "7"}, b""), "nothing is asked of it for 7 s"),
    "503 with a wait": ((503, {"retry-after": "30"}, b""), "nothing is asked of it for 30 s"),
    "code -1000": (
        (400, {}, b'{"code":-1000,"msg":"An unknown\\u001b error"}'),
        r"refuses the request \(400, code -1000: An unknown  error\)",
    ),
    "code as text": ((400, {}, b'{"code":"-1121","msg":"x"}'), "answers 400"),
    "gzip": ((200, {"content-encoding": "gzip"}, b"x"), r"compressed body \(gzip\)"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_answer_is_a_reason_in_words(name: str, tmp_path: Path) -> None:
    answer, words = HOSTILE[name]
    clock = FakeClock()
    status, headers, body = answer
    body = gzip.compress(page(T)) if "content-encoding" in headers else body
    transport = httpx.MockTransport(lambda _: httpx.Response(status, headers=headers, stream=httpx.ByteStream(body)))
    hub = FakeHub(clock=clock, transport=transport, data_dir=tmp_path)
    time = ExchangeTime(clock, hub.log)
    time.note(T + 5000)
    exchange = Binance(hub, "binanceus", "http://exchange.test", time)
    with pytest.raises(TransientError, match=words) as caught:
        await exchange.bars("BTC-USDT", SPAN)
    assert str(caught.value).startswith("exchange.test")
    assert str(caught.value).isprintable(), "nothing foreign may steer a terminal"
    assert len(str(caught.value)) <= 300, "fits into a gap's reason"
    await hub.http.aclose()


@pytest.mark.parametrize("name", HOSTILE)
async def test_the_station_survives_it_and_catches_up(name: str) -> None:
    (status, headers, body), _ = HOSTILE[name]
    clock = FakeClock()
    exchange = FakeExchange(clock)

    def script(_: httpx.Request) -> httpx.Response | None:
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body)) if 100 < clock.monotonic() < 400 else None

    exchange.script = script
    async with station(clock=clock, exchange=exchange) as made:
        await made.run_for(4000)
        assert not made.store.gaps()
        assert not made.unaccounted(START.replace(hour=0), START.replace(hour=1))
        assert len([text for text in made.said("warning") if "exchange.test" in text]) <= 3


async def test_minus_1121_names_the_symbol_and_the_host(tmp_path: Path) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(400, json={"code": -1121, "msg": "Invalid symbol."}))
    hub = FakeHub(transport=transport, data_dir=tmp_path)
    time = ExchangeTime(hub.clock, hub.log)
    time.note(T + 5000)
    with pytest.raises(UnknownSymbol, match=r"^BTCUSDT is unknown to api\.binance\.us"):
        await Binance(hub, "binanceus", "https://api.binance.us", time).bars("BTC-USDT", SPAN)
    await hub.http.aclose()


async def reason(url: str, **limits: Any) -> str:
    async with httpx.AsyncClient(trust_env=False) as http:
        with pytest.raises(TransientError) as caught:
            await download(http, url, {}, **limits)
    return str(caught.value)


async def test_a_body_without_end_is_given_up_at_four_mebibytes() -> None:
    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"[" * 65_536)
            await writer.drain()

    async with socket_server(pour) as url:
        tracemalloc.start()
        assert "more than 4 MiB" in await reason(url)
        assert tracemalloc.get_traced_memory()[1] < 4 * LARGEST
        tracemalloc.stop()


async def test_a_gzip_bomb_is_refused_unopened() -> None:
    bomb = gzip.compress(bytes(200_000_000 // 8), 9)
    async with socket_server(answering(bomb, "Content-Encoding: gzip")) as url:
        tracemalloc.start()
        assert "compressed body (gzip)" in await reason(url)
        assert tracemalloc.get_traced_memory()[1] < LARGEST
        tracemalloc.stop()


async def test_we_never_ask_for_compression() -> None:
    heads: list[bytes] = []

    async def listen(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]")
        await writer.drain()

    async with socket_server(listen) as url, httpx.AsyncClient(trust_env=False, event_hooks={"request": [remember(heads)]}) as http:
        await download(http, url, {})
    assert heads == [b"identity"]


def remember(heads: list[bytes]) -> Any:
    async def hook(request: httpx.Request) -> None:
        heads.extend(value for name, value in request.headers.raw if name.lower() == b"accept-encoding")

    return hook


async def test_a_body_that_drips_is_ended_by_the_deadline() -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b"[")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with socket_server(drip) as url:
        assert "did not finish its answer within 0 s" in await reason(url, deadline_s=0.3)


async def test_a_connection_that_breaks_off_says_so() -> None:
    async def break_off(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n[[")
        await writer.drain()

    async with socket_server(break_off) as url:
        assert "broke off" in await reason(url)


async def test_what_is_not_http_says_so() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await writer.drain()

    async with socket_server(greet) as url:
        assert "broke off" in await reason(url)


async def test_a_closed_port_says_refused() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert "connection refused" in await reason(f"http://127.0.0.1:{port}")


async def test_a_name_that_does_not_resolve_says_dns() -> None:
    assert "DNS" in await reason("http://no-such-host.invalid")


async def test_a_foreign_certificate_says_so(tmp_path: Path) -> None:
    """A proxy or a captive portal that answers in the exchange's place."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    options = ["-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)]
    await asyncio.to_thread(subprocess.run, ["openssl", "req", "-x509", *options], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    async with socket_server(answering(b"[]"), ssl=context) as url:
        assert "TLS certificate is not to be trusted" in await reason(url)


async def test_the_ways_to_fail_have_words_of_their_own() -> None:
    words = [text for _, text in HOSTILE.values()]
    assert len(HOSTILE) >= 20
    assert len(set(words)) >= 18


async def test_a_real_socket_serves_bars_too(tmp_path: Path) -> None:
    """The scripted server is no different from a real one where it behaves."""
    async with socket_server(answering(page(T, T + 60_000))) as url:
        hub = FakeHub(clock=SystemClock(), data_dir=tmp_path)  # type: ignore[arg-type]
        time = ExchangeTime(hub.clock, hub.log, compare=False)
        time.note(T + 10 * 60_000 + 5000)
        result = await Binance(hub, "binanceus", url, time).bars("BTC-USDT", SPAN)
        assert len(result.bars) == 2
        await hub.http.aclose()


async def test_json_answers_with_a_foreign_shape_of_time_are_refused(tmp_path: Path) -> None:
    bodies: list[Any] = [{"serverTime": "1"}, {"serverTime": 1e18}, {"serverTime": -1}, {"serverTime": True}, {}, [], None]
    for answer in map(json.dumps, bodies):
        transport = httpx.MockTransport(lambda _, answer=answer: httpx.Response(200, content=answer))
        hub = FakeHub(transport=transport, data_dir=tmp_path)
        exchange = Binance(hub, "binanceus", "http://exchange.test", ExchangeTime(hub.clock, hub.log))
        with pytest.raises(TransientError):
            await exchange.synchronise()
        assert not exchange.time.known
        await hub.http.aclose()
