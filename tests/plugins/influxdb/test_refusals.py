"""Every answer a server can give: what is stored stays stored, what is bad is set aside, and everything else is tried again."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hub.messages import Message
from hub.testing import START, bars
from plugins.influxdb.answers import LONGEST_WAIT_S
from plugins.influxdb.lines import lines
from tests.forwarding import Forwarding, forwarding
from tests.influx import Answer, Asked, ScriptedInflux
from tests.plugins.influxdb.examples import article

JSON = {"Content-Type": "application/json"}
Way = tuple[str, str, dict[str, Any]]
V1: Way = ("v1", "1.6.7", {"username": "hub", "password": "canary-1"})
V2: Way = ("v2", "v2.7.1", {"token": "canary-2", "org": "home"})
both = pytest.mark.parametrize("way", [V1, V2], ids=["v1", "v2"])


class Scene(AsyncExitStack):
    """The plugin, and a server that does as it is told."""

    async def begin(self, folder: Path, way: Way = V1, speed: float = 100.0, **settings: Any) -> tuple[ScriptedInflux, Forwarding]:
        server = await self.enter_async_context(ScriptedInflux())
        server.version = way[1]
        plugin = await self.enter_async_context(forwarding(folder, speed, url=server.url, **way[2], **settings))
        return server, plugin


def refuse(way: Way, status: int, words: str, **headers: str) -> Answer:
    """As InfluxDB 1 or 2 says no."""
    body = {"error": words} if way[0] == "v1" else {"code": "invalid", "message": words}
    return status, JSON | {name.replace("_", "-"): text for name, text in headers.items()}, json.dumps(body).encode()


def aside(folder: Path) -> list[dict[str, Any]]:
    file = folder / "influxdb" / "set_aside.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def minute_lines(facts: list[Any]) -> set[str]:
    return {line for fact in facts for line in lines(fact, 0)}


def first_times(server: ScriptedInflux, answer: Callable[[Asked], Answer], times: int = 3) -> None:
    """Answer the first writes like this, and the rest as usual."""
    left = [times]

    def script(asked: Asked) -> Answer | None:
        if asked.path.endswith("/write") and left[0]:
            left[0] -= 1
            return answer(asked)
        return None

    server.script = script


@both
async def test_a_bad_point_is_found_and_set_aside_and_the_rest_goes_on(tmp_path: Path, way: Way) -> None:
    """Not one batch is lost for one point, nor blocked by it; and the user can see it."""
    words = (
        'partial write: field type conflict: input field "close" on measurement "bar" is type float, already exists as integer dropped=1'
    )
    async with Scene() as scene:
        server, plugin = await scene.begin(tmp_path, way)
        server.script = lambda asked: refuse(way, 400, words) if b"close=77.0" in asked.body or b"close=199.0" in asked.body else None
        series = bars(*range(1, 301))
        await plugin.record(series)
        await plugin.drained()
        assert {row["line"] for row in aside(tmp_path)} == minute_lines([series[76], series[198]])
        assert minute_lines(series) - set(server.stored) == minute_lines([series[76], series[198]])
        assert {(row["bucket"], row["reason"]) for row in aside(tmp_path)} == {("tickerml", words)}
        assert len(server.writes) < 45, "it looks at halves, not at each point"
        assert (plugin.state.state, plugin.state.lag) == ("running", 0)
        assert "2 points that InfluxDB refused are set aside in" in (plugin.state.error or "")
        assert plugin.said("error") == ["InfluxDB refused a point; it is set aside"]
        before = len(server.writes)
        await plugin.record(bars(77.0, start=START + timedelta(minutes=76), volume=3.0))  # another point, just as bad
        await plugin.drained()
        assert len(aside(tmp_path)) == 3
        assert len(plugin.said("error")) == 1, "the same reason is said once"
        (tmp_path / "influxdb" / "set_aside.jsonl").unlink()
        await plugin.record(bars(5.0, start=START + timedelta(days=1)))
        await plugin.until(lambda: len(server.writes) > before + 1 and plugin.state.error is None)


async def test_a_point_set_aside_is_not_refused_again_after_a_restart(tmp_path: Path) -> None:
    """It would be in the file twice, and cost a search each time."""
    for last in (10, 11):
        async with Scene() as scene:
            server, plugin = await scene.begin(tmp_path)
            server.script = lambda asked: refuse(V1, 400, "unable to parse 'bar'") if b"close=7.0" in asked.body else None
            await plugin.record(bars(*range(1, last + 1)))
            await plugin.drained()
    assert len(server.writes) == 1, "another server: everything again, but for that point"
    assert len(aside(tmp_path)) == 1


@both
async def test_who_is_not_let_in_waits_says_so_and_goes_on_after_the_fix(tmp_path: Path, way: Way) -> None:
    """401: only a person can help, so a storm of tries would not."""
    async with Scene() as scene:
        server, plugin = await scene.begin(tmp_path, way, speed=300.0)
        times: list[float] = []

        def closed(asked: Asked) -> Answer | None:
            times.append(plugin.clock.monotonic())
            return None if asked.path == "/ping" else refuse(way, 401, "authorization failed")

        server.script = closed
        await plugin.record(bars(1, 2, 3))
        await plugin.until(lambda: plugin.state.restarts >= 3)
        assert plugin.state.state == "retrying"
        expected = "plugins.influxdb.username ('hub') and password" if way is V1 else "check plugins.influxdb.token"
        assert f"{server.url} does not let us in: authorization failed; " in (plugin.state.error or "")
        assert expected in (plugin.state.error or "")
        assert "canary" not in repr(plugin.told) + repr(plugin.hub.logged.entries)
        tries = [later - earlier for earlier, later in pairwise(times[1:])]
        assert min(tries) >= 60.0
        server.script = lambda _: None
        await plugin.drained()
        assert minute_lines(bars(1, 2, 3)) == set(server.stored)


@both
async def test_who_may_not_write_is_told_what_is_missing(tmp_path: Path, way: Way) -> None:
    """403 names the user or the token, and both buckets."""
    async with Scene() as scene:
        server, plugin = await scene.begin(tmp_path, way)
        first_times(server, lambda _: refuse(way, 403, '"hub" user is not authorized to write to database "tickerml"'))
        await plugin.record(bars(1, 2, 3))
        await plugin.until(lambda: plugin.state.state == "retrying")
        whom = "user 'hub'" if way is V1 else "the owner of plugins.influxdb.token"
        assert f"let {whom} write to tickerml and tickerml_long" in (plugin.state.error or "")
        await plugin.drained()


async def test_a_database_that_was_dropped_is_made_again_and_gets_everything_again(tmp_path: Path) -> None:
    """What is on disk reaches InfluxDB, whatever happens to it."""
    async with Scene() as scene:
        server, plugin = await scene.begin(tmp_path)
        server.script = lambda asked: (
            refuse(V1, 404, f'database not found: "{asked.query["db"]}"')
            if asked.path == "/write" and asked.query["db"] not in server.databases
            else None
        )
        series = bars(*range(1, 131))
        await plugin.record(series[:120])
        await plugin.drained()
        server.databases.clear()
        server.stored.clear()
        await plugin.record(series[120:])
        await plugin.until(lambda: len(server.databases) == 2)
        await plugin.drained()
        assert minute_lines(series) <= set(server.stored)
        assert sum("interval=1h" in line for line in server.stored) == 2
        assert server.databases == ["tickerml", "tickerml_long"]


@both
async def test_a_batch_that_is_too_large_is_halved_until_it_fits(tmp_path: Path, way: Way) -> None:
    """413 comes from a proxy, in HTML; what is too large alone is set aside, and the size that fits is remembered."""
    async with Scene() as scene:
        server, plugin = await scene.begin(tmp_path, way)
        server.script = lambda asked: (413, {}, b"<html><h1>413 Request Entity Too Large</h1></html>") if len(asked.body) > 3000 else None
        huge = article(title="x" * 1000, url="https://x/" + "y" * 1900, source="z" * 200)
        facts: list[Message] = [*bars(*range(1, 101)), huge, *bars(*range(1, 101), symbol="ETH-USDT")]
        await plugin.record(facts)
        await plugin.drained()
        assert [row["line"] for row in aside(tmp_path)] == lines(huge, 0)
        assert aside(tmp_path)[0]["reason"].startswith("too large: 413 Request Entity")
        assert {line for line in server.stored if "interval=1h" not in line} == minute_lines(facts) - minute_lines([huge])
        refused = sum(len(asked.body) > 3000 for asked in server.writes)
        await plugin.record(bars(*range(1, 101), symbol="SOL-USDT"))
        await plugin.drained()
        assert sum(len(asked.body) > 3000 for asked in server.writes) == refused


async def test_a_proxy_that_lets_nothing_through_is_no_reason_to_set_points_aside(tmp_path: Path) -> None:
    """Points of 200 bytes are not too large: something on the way is set wrongly, and the user can mend it."""
    async with Scene() as scene:
        server, plugin = await scene.begin(tmp_path)
        server.script = lambda asked: (413, {}, b"") if asked.path == "/write" else None
        await plugin.record(bars(1, 2, 3))
        await plugin.until(lambda: "takes not even" in (plugin.state.error or ""))
        server.script = lambda _: None
        await plugin.drained()
        assert aside(tmp_path) == []
        assert set(server.stored) == minute_lines(bars(1, 2, 3))


@both
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date", "absurd"])
async def test_a_busy_server_is_left_alone_as_long_as_it_asks(tmp_path: Path, way: Way, status: int, form: str) -> None:
    """Retry-After in either form; never longer than an hour, whatever it says."""
    async with Scene() as scene:
        server, plugin = await scene.begin(tmp_path, way, speed=300.0 if form != "absurd" else 20_000.0)
        times: list[float] = []

        def busy(_: Asked) -> Answer:
            times.append(plugin.clock.monotonic())
            now = plugin.clock.now() - timedelta(days=400)  # the server's clock is another one
            asked = {"seconds": "90", "date": format_datetime(now + timedelta(seconds=90), usegmt=True), "absurd": "9" * 11}[form]
            return refuse(way, status, "busy", Retry_After=asked, Date=format_datetime(now, usegmt=True))

        first_times(server, busy, 1)
        await plugin.record(bars(1, 2, 3))
        await plugin.until(lambda: len(server.writes) >= 1)
        await plugin.until(lambda: f"HTTP {status}: busy" in (plugin.state.error or ""))
        await plugin.drained()
        waited = plugin.clock.monotonic() - times[0]
        assert len(server.writes) == 2, "no request in between"
        assert (waited >= 89.0) if form != "absurd" else (waited >= LONGEST_WAIT_S)
        assert set(server.stored) == minute_lines(bars(1, 2, 3))


def _never(_asked: Asked, _writer: asyncio.StreamWriter) -> bool:
    return True


def _reset(_asked: Asked, writer: asyncio.StreamWriter) -> bool:
    writer.transport.abort()
    return True


def _sending(raw: bytes) -> Callable[[Asked, asyncio.StreamWriter], bool]:
    def send(_asked: Asked, writer: asyncio.StreamWriter) -> bool:
        writer.write(raw)
        writer.close()
        return True

    return send


WRONG = {
    "nothing": _never,
    "a reset": _reset,
    "no HTTP": _sending(b"\x00\x01SSH-2.0-OpenSSH\r\n"),
    "half an answer": _sending(b"HTTP/1.1 20"),
    "half a body": _sending(b"HTTP/1.1 500 Oh\r\nContent-Length: 5000\r\n\r\n{"),
    "a portal": _sending(b"HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n<html>Please log in</html>\n"),
    "a redirect": _sending(b"HTTP/1.1 302 Found\r\nLocation: http://portal.test/\r\nContent-Length: 0\r\n\r\n"),
    "JSON of something else": _sending(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]"),
    "a proxy's 400": _sending(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 24\r\n\r\n<h1>400 Bad Request</h1>"),
    "a proxy's 404": _sending(b"HTTP/1.1 404 Not Found\r\nContent-Length: 22\r\n\r\n<h1>404 Not Found</h1>"),
    "a proxy's 502": _sending(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 24\r\n\r\n<h1>502 Bad Gateway</h1>"),
    "a timeout of its own": _sending(b'HTTP/1.1 500 Internal\r\nContent-Length: 19\r\n\r\n{"error":"timeout"}'),
}


@both
@pytest.mark.parametrize("what", list(WRONG))
async def test_whatever_else_answers_it_is_tried_again_until_it_is_stored(tmp_path: Path, way: Way, what: str) -> None:
    """Nothing is taken for success that is not, nothing is set aside, and it goes on by itself."""
    async with Scene() as scene:
        server, plugin = await scene.begin(tmp_path, way, timeout="1s")
        broken = [True]
        server.raw = lambda asked, writer: broken[0] and asked.path.endswith("/write") and WRONG[what](asked, writer)
        await plugin.record(bars(1, 2, 3))
        await plugin.until(lambda: plugin.state.restarts >= 2)
        assert plugin.state.state == "retrying"
        assert server.url in (plugin.state.error or "")
        assert plugin.waiting == 3
        broken[0] = False
        await plugin.drained()
        assert set(server.stored) == minute_lines(bars(1, 2, 3))
        assert aside(tmp_path) == []


async def test_a_write_whose_answer_got_lost_is_sent_again(tmp_path: Path) -> None:
    """Stored, and then a timeout: the same points once more do no harm."""
    async with Scene() as scene:
        server, plugin = await scene.begin(tmp_path, timeout="1s")
        lost = [True]

        def store_and_hang(asked: Asked, _writer: asyncio.StreamWriter) -> bool:
            if asked.path == "/write" and lost[0]:
                lost[0] = False
                server.stored += asked.lines
                return True
            return False

        server.raw = store_and_hang
        await plugin.record(bars(1, 2, 3))
        await plugin.drained()
        assert sorted(server.stored) == sorted([*minute_lines(bars(1, 2, 3))] * 2)


async def test_nobody_there_is_said_with_the_address(tmp_path: Path) -> None:
    """A wrong port and a wrong name, each in words."""
    for url in ("http://127.0.0.1:9", "http://influx.invalid:8086"):
        folder = tmp_path / url[-4:]
        folder.mkdir()
        async with forwarding(folder, url=url) as plugin:
            await plugin.record(bars(1))
            await plugin.until(lambda: plugin.state.state == "retrying")
            assert f"{url} cannot be reached: " in (plugin.state.error or "")


async def test_points_older_than_what_is_kept_are_not_bad_points(tmp_path: Path) -> None:
    """Somebody keeps a week and fills in a year: InfluxDB drops what is too old, as it was told to."""
    async with Scene() as scene:
        server, plugin = await scene.begin(tmp_path)
        first_times(server, lambda _: refuse(V1, 400, "partial write: points beyond retention policy dropped=3"), 1)
        await plugin.record(bars(1, 2, 3))
        await plugin.drained()
        assert len(server.writes) == 1
        assert aside(tmp_path) == []


PINGS = {
    "1.6.7": ({"X-Influxdb-Version": "1.6.7~rc0"}, 204, b"", "/write"),
    "1.8": ({"X-Influxdb-Version": "1.8.10"}, 204, b"", "/write"),
    "2.7": ({"X-Influxdb-Version": "v2.7.1"}, 204, b"", "/api/v2/write"),
    "3 Core": ({**JSON}, 200, b'{"version":"3.1.0","revision":"a"}', "/api/v2/write"),
    "3 Core that keeps it to itself": ({}, 401, b"", "/api/v2/write"),
}


@pytest.mark.parametrize("version", list(PINGS))
async def test_auto_speaks_what_the_server_understands(tmp_path: Path, version: str) -> None:
    """Nobody should have to know which API their InfluxDB has."""
    headers, status, body, path = PINGS[version]
    async with Scene() as scene:
        server, plugin = await scene.begin(tmp_path, V2)
        server.script = lambda asked: (status, headers, body) if asked.path == "/ping" else None
        await plugin.record(bars(1, 2, 3))
        await plugin.drained()
        assert {asked.path for asked in server.writes} == {path}


async def test_a_server_that_is_not_influxdb_is_not_written_to(tmp_path: Path) -> None:
    """A wrong port with a web server behind it."""
    async with Scene() as scene:
        server, plugin = await scene.begin(tmp_path)
        server.script = lambda _: (200, {"Content-Type": "text/html"}, b"<h1>It works!</h1>")
        await plugin.record(bars(1, 2, 3))
        await plugin.until(lambda: "no word of InfluxDB; is plugins.influxdb.url right?" in (plugin.state.error or ""))
        assert server.writes == []


async def test_a_token_that_may_only_write_needs_to_see_no_bucket(tmp_path: Path) -> None:
    """InfluxDB 2 shows such a token an empty list: nothing is made, nothing begins again with each start."""
    for start in range(2):
        async with Scene() as scene:
            server = await scene.enter_async_context(ScriptedInflux())
            server.version, server.databases = "v2.7.1", []
            server.script = lambda asked: (
                refuse(V2, 403, "forbidden") if (asked.method, asked.path) == ("POST", "/api/v2/buckets") else None
            )
            if start:
                (tmp_path / "influxdb" / "destination").write_text(
                    f"{server.url} tickerml tickerml_long\n"
                )  # another port, the same server
            plugin = await scene.enter_async_context(forwarding(tmp_path, url=server.url, token="t", org="home"))
            await plugin.record(bars(*range(start * 10 + 1, start * 10 + 4), start=START + timedelta(hours=start)))
            await plugin.drained()
            assert sum("interval=1m" in line for line in server.stored) == 3


async def test_a_missing_bucket_that_may_not_be_made_is_asked_for_in_words(tmp_path: Path) -> None:
    """What to type stands in the plugin's state; once it is done, everything goes on."""
    async with Scene() as scene:
        server, plugin = await scene.begin(tmp_path, V2, retention="30d")
        server.databases.clear()

        def script(asked: Asked) -> Answer | None:
            if asked.path == "/api/v2/write" and not server.databases:
                return refuse(V2, 404, 'bucket "tickerml" not found')
            return refuse(V2, 401, "unauthorized access") if asked.path == "/api/v2/orgs" else None

        server.script = script
        await plugin.record(bars(1, 2, 3))
        await plugin.until(lambda: "type: influx bucket create" in (plugin.state.error or ""))
        assert "--name tickerml --org home --retention 2592000s" in (plugin.state.error or "")
        server.databases += ["tickerml", "tickerml_long"]
        await plugin.drained()
        assert set(server.stored) == minute_lines(bars(1, 2, 3))
