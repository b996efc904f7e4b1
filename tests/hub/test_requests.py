"""What the hub answers whoever asks: the right data, the right refusals in words, and one answer to every request."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from hub import Bar, Forecast, Gap, ModelId, PermanentError, Request, Source, Transform, TransientError
from hub.clock import SystemClock
from hub.configuration import load_configuration
from hub.market.interval import to_ms
from hub.messages import Response
from hub.runtime import backfill
from hub.runtime.app import App
from hub.runtime.disk.recorder import Recorder
from hub.runtime.disk.store import SqliteStore
from hub.runtime.hosting.lineup import Member
from hub.runtime.hosting.plugins import Declared
from hub.runtime.mqtt.bus import Bus
from hub.runtime.mqtt.subscription import Raw
from hub.runtime.requests import Requests
from hub.testing import START, bars
from hub.topics import MAX_PAYLOAD_BYTES
from tests.hubs import drop_in, write_config

Ask = Callable[..., Awaitable[Response]]


class Line:
    """The bus's side: requests that are put in, and what was published."""

    def __init__(self) -> None:
        self.arriving: asyncio.Queue[Raw] = asyncio.Queue()
        self.published: list[tuple[str, dict[str, Any]]] = []

    def subscribe_raw(self, topic_filter: str) -> AsyncIterator[Raw]:
        assert topic_filter == "hub/request/#"

        async def arriving() -> AsyncIterator[Raw]:
            while True:
                yield await self.arriving.get()

        return arriving()

    async def publish_raw(self, topic: str, payload: bytes) -> None:
        assert len(payload) <= MAX_PAYLOAD_BYTES, "no broker would take it"
        self.published.append((topic, json.loads(payload)))


@asynccontextmanager
async def desk(answers: dict[str, Any]) -> AsyncIterator[tuple[Line, Callable[..., Awaitable[dict[str, Any]]]]]:
    """A desk at work, and a way to ask it."""
    line = Line()
    serving = asyncio.create_task(Requests(line, lambda: answers).serve())

    async def ask(verb: str, payload: bytes, *, retained: bool = False) -> dict[str, Any]:
        before = len(line.published)
        line.arriving.put_nowait(Raw(f"hub/request/{verb}", payload, retained))
        for _ in range(500):
            await asyncio.sleep(0.001)
            if len(line.published) > before:
                assert line.published[-1][0] == f"hub/response/{verb}"
                return line.published[-1][1]
        return {}

    try:
        yield line, ask
        assert not serving.done(), "nothing that is asked ends the desk"
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


def answering(result: Any) -> Any:
    async def answer(_request: Request) -> Any:
        if isinstance(result, BaseException):
            raise result
        return result

    return answer


@pytest.mark.parametrize(
    ("payload", "answer"),
    [
        (b"", {"status": "ok", "data": [1]}),
        (b"{}", {"status": "ok", "data": [1]}),
        (b'{"transaction": 7}', {"status": "ok", "data": [1], "transaction": 7}),
        (b'{"transaction": "a", "more": {"x": 1}}', {"status": "ok", "data": [1], "transaction": "a"}),
    ],
)
async def test_an_answer_carries_the_transaction_of_its_request(payload: bytes, answer: dict[str, Any]) -> None:
    """As Zigbee2MQTT does, so that two who ask at once know whose answer it is."""
    async with desk({"verb": answering([1])}) as (_, ask):
        assert await ask("verb", payload) == answer


@pytest.mark.parametrize("payload", [b"x", b"[]", b'"a"', b"\xff", b'{"transaction": []}', b'{"a":' * 500, b"nul", b"1e999", b"\x00"])
async def test_what_is_no_request_is_answered_in_words(payload: bytes) -> None:
    """Silence would leave the asker waiting."""
    async with desk({"verb": answering([1])}) as (_, ask):
        answer = await ask("verb", payload)
        assert answer["status"] == "error"
        assert answer["error"].startswith("a request is a JSON object")


async def test_an_unknown_verb_is_told_the_known_ones() -> None:
    """A typing error should not need the documentation."""
    async with desk({"bars": answering(1), "gaps": answering(1)}) as (_, ask):
        assert await ask("brs", b"{}") == {"status": "error", "error": "unknown verb 'brs'; there are: bars, gaps"}


async def test_a_retained_request_is_ignored() -> None:
    """It would be carried out again at every start of the hub."""
    async with desk({"verb": answering(1)}) as (_, ask):
        assert await ask("verb", b"{}", retained=True) == {}
        assert (await ask("verb", b"{}"))["status"] == "ok"


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (PermanentError("not today"), "not today"),
        (TransientError("ask later"), "ask later"),
        (ZeroDivisionError("oops"), "ZeroDivisionError: oops"),
        (SystemExit(1), "SystemExit: 1"),
        (TimeoutError("mine"), "TimeoutError: mine"),
        (object(), "the answer cannot be written as JSON"),
        (float("nan"), "the answer cannot be written as JSON"),
        ("\ud800", "the answer cannot be written as JSON"),
        ({"x": {1, 2}}, "the answer cannot be written as JSON"),
        ("x" * 300_000, "ask for less"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value[:20],
)
async def test_whatever_an_answer_does_the_asker_is_told(result: Any, words: str) -> None:
    """And the desk goes on."""
    async with desk({"bad": answering(result), "good": answering("fine")}) as (_, ask):
        answer = await ask("bad", b'{"transaction": 5}')
        assert (answer["status"], answer["transaction"]) == ("error", 5)
        assert words in answer["error"]
        assert (await ask("good", b"{}"))["data"] == "fine"


async def test_one_that_takes_long_holds_up_nobody() -> None:
    """Eight at a time; the ninth waits."""
    released = asyncio.Event()

    async def slow(_request: Request) -> str:
        await released.wait()
        return "done"

    async with desk({"slow": slow, "quick": answering("here")}) as (line, ask):
        for _ in range(7):
            line.arriving.put_nowait(Raw("hub/request/slow", b"{}", retained=False))
        assert (await ask("quick", b"{}"))["data"] == "here"
        released.set()
        while len(line.published) < 8:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)


@pytest.fixture
def log() -> Iterator[None]:
    """Lines of the hub's own go nowhere."""
    structlog.configure(processors=[structlog.testing.LogCapture()])
    yield
    structlog.reset_defaults()


@asynccontextmanager
async def station(folder: Path, *flows: Any, plugins: str = "", **answers: Any) -> AsyncIterator[tuple[App, Ask]]:
    """A hub that is not connected to anything, with one plugin that has these flows and answers; and a way to ask it."""
    write_config(folder, plugins)
    configuration = load_configuration(folder / "config.yaml", {})
    clock = SystemClock()
    store = SqliteStore.open(configuration.data_dir / "tickerml.db", clock)
    recorder = Recorder(store, clock)
    app = App(configuration, recorder, Bus(configuration.settings.mqtt, clock, structlog.get_logger()), clock)
    app.start(Member("collector", {}, declared=Declared(list(flows), answers)))

    async def ask(verb: str, **arguments: Any) -> Response:
        return await app.requests.answer(verb, json.dumps(arguments).encode())

    try:
        yield app, ask
    finally:
        await app.backfill.stop()
        for name in list(app.members):
            await app.stop(name)
        await recorder.close()


async def refused(answer: Awaitable[Response]) -> str:
    """The words of a refusal."""
    response = await answer
    assert response.status == "error", response
    assert response.data is None
    return str(response.error)


@pytest.mark.usefixtures("log")
async def test_bars_are_the_newest_ones_and_the_symbol_is_written_either_way(tmp_path: Path) -> None:
    """For a chart, or a script."""
    async with station(tmp_path) as (app, ask):
        await app.recorder.record(bars(*range(1, 1001)))
        for symbol in ("BTC/USDT", "BTC-USDT"):
            found = (await ask("bars", symbol=symbol, limit=3)).data
            assert [bar["close"] for bar in found] == [998.0, 999.0, 1000.0]
        assert len((await ask("bars", symbol="BTC/USDT")).data) == 60
        most = await ask("bars", symbol="BTC/USDT", limit=500)
        assert len(most.data) == 500
        assert len(most.model_dump_json()) < MAX_PAYLOAD_BYTES
        assert (await ask("bars", symbol="NO/NE")).data == []


@pytest.mark.usefixtures("log")
async def test_the_most_bars_that_may_be_asked_for_always_fit_into_a_message(tmp_path: Path) -> None:
    """Numbers with seventeen digits, a long symbol, a long source."""
    ugly = {"volume": 1234567.1234567891, "quote_volume": 98765432.123456781, "trades": 2**50, "taker_buy_volume": 0.12345678901234567}
    series = bars(
        *(10000.123456789012 + n / 7 for n in range(500)), symbol="A" * 20 + "-" + "B" * 20, **ugly, source="s" * 64, quality="fallback"
    )
    async with station(tmp_path) as (app, ask):
        await app.recorder.record(series)
        assert len((await ask("bars", symbol=series[0].symbol, limit=500)).model_dump_json()) < MAX_PAYLOAD_BYTES


@pytest.mark.parametrize(
    ("verb", "arguments", "words"),
    [
        ("bars", {}, "symbol: is needed, and is missing"),
        ("bars", {"symbol": "btc"}, "symbol: 'btc' will not do: a symbol is base and quote asset"),
        ("bars", {"symbol": "BTC/USDT", "limit": 501}, "limit: 501 will not do"),
        ("bars", {"symbol": "BTC/USDT", "limit": 0}, "limit: 0 will not do"),
        ("gaps", {"symbol": 5}, "symbol: 5 will not do"),
        ("forecast", {"horizon_minutes": "soon"}, "horizon_minutes: 'soon' will not do: must be a whole number"),
        ("backfill", {}, "days: is needed, and is missing"),
        ("backfill", {"days": 0}, "days: 0 will not do"),
        ("plugin/restart", {}, "name: is needed, and is missing"),
        ("plugin/restart", {"name": "nobody"}, "no plugin 'nobody' runs here; there are: collector"),
    ],
)
@pytest.mark.usefixtures("log")
async def test_a_request_that_will_not_do_is_told_the_key(tmp_path: Path, verb: str, arguments: dict[str, Any], words: str) -> None:
    """As in the configuration: key, value, what would be right."""
    async with station(tmp_path) as (_, ask):
        assert words in await refused(ask(verb, **arguments))


@pytest.mark.usefixtures("log")
async def test_gaps_are_those_of_the_command(tmp_path: Path) -> None:
    """Known ones with their reason, and what nobody has explained."""
    async with station(tmp_path) as (app, ask):
        known = Gap(symbol="ETH-USDT", first_open_time=START, last_open_time=START + timedelta(minutes=4), reason="exchange: no data")
        series = bars(*range(1, 11))
        await app.recorder.record([*series[:3], *series[5:], known])
        found = [(gap["symbol"], gap["reason"], gap["minutes"]) for gap in (await ask("gaps")).data]
        assert found == [("BTC-USDT", "unexplained", 2), ("ETH-USDT", "exchange: no data", 5)]
        assert [gap["symbol"] for gap in (await ask("gaps", symbol="BTC/USDT")).data] == ["BTC-USDT"]


async def forecasts(_: Bar) -> AsyncIterator[Forecast]:
    return
    yield


def forecast(symbol: str, horizon: int) -> Forecast:
    model = ModelId(name="m", version="1", sha256="0" * 64)
    moments = {"open_time": START, "made_at": START, "target_time": START + timedelta(minutes=horizon)}
    values = {"last_close": 1.0, "price": 1.1, "low": 1.0, "high": 1.2, "p_up": 0.6, "confidence": 0.5}
    return Forecast(symbol=symbol, horizon_minutes=horizon, direction="up", model=model, **moments, **values)  # type: ignore[arg-type]


@pytest.mark.usefixtures("log")
async def test_forecasts_are_the_newest_or_the_reason_why_there_is_none(tmp_path: Path) -> None:
    """No plugin, none yet, or not of this symbol: three different answers."""
    async with station(tmp_path) as (_, ask):
        assert await refused(ask("forecast")) == (
            "no plugin makes forecasts here; add `inference: {}` under `plugins` in the configuration"
        )
    async with station(tmp_path, Transform("inference", forecasts, (Bar,), (Forecast,))) as (app, ask):
        assert await refused(ask("forecast")) == "no forecast has been made yet"
        await app.recorder.record([forecast("BTC-USDT", 5), forecast("BTC-USDT", 10), forecast("ETH-USDT", 5), forecast("ETH-USDT", 5)])
        assert len((await ask("forecast")).data) == 3
        [one] = (await ask("forecast", symbol="BTC/USDT", horizon_minutes=10)).data
        assert (one["symbol"], one["horizon_minutes"], one["direction"]) == ("BTC-USDT", 10, "up")
        words = await refused(ask("forecast", symbol="BTC/USDT", horizon_minutes=60))
        assert words == "no forecast of BTC-USDT 60 minutes ahead has been made yet"


def past(*turns: Any, waits: asyncio.Event | None = None) -> Source:
    """A source whose past is this: batches, or an error."""

    async def stream() -> AsyncIterator[Bar]:
        await asyncio.Event().wait()
        yield bars(1.0)[0]

    async def fetch(days: int, progress: Callable[[int, int], None]) -> AsyncIterator[Any]:
        for number, turn in enumerate(turns, 1):
            if waits is not None:
                await waits.wait()
            if isinstance(turn, BaseException):
                raise turn
            progress(number * 10, days * 10)
            yield turn

    return Source("collector", stream, (Bar,), backfill=fetch)


@pytest.mark.usefixtures("log")
async def test_a_backfill_is_answered_at_its_end_and_recorded_on_the_way(tmp_path: Path) -> None:
    """The answer says how much, from whom."""
    async with station(tmp_path, past(bars(1.0, 2.0), bars(3.0, start=START + timedelta(hours=1)))) as (app, ask):
        assert (await ask("backfill", days=2)).data == {"finished": True, "done": 20, "total": 20, "sources": ["collector"]}
        assert len(app.recorder.store.bars("BTC-USDT", 0, to_ms(START) * 2)) == 3
        assert (await ask("backfill", days=2)).status == "ok", "and may be asked for again"


@pytest.mark.usefixtures("log")
async def test_a_backfill_that_takes_long_goes_on_and_is_not_begun_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A year of minutes takes longer than anybody waits for an answer."""
    monkeypatch.setattr(backfill, "ANSWER_S", 0.05)
    waits = asyncio.Event()
    async with station(tmp_path, past(bars(1.0), waits=waits)) as (app, ask):
        assert (await ask("backfill", days=2)).data["finished"] is False
        assert await refused(ask("backfill", days=2)) == "a backfill is under way: 0 of 0 minutes"
        waits.set()
        while app.backfill.under_way:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
        assert app.backfill.done == 10


@pytest.mark.parametrize(
    ("turn", "words"),
    [
        (TransientError("exchange.test is in trouble (503)"), "exchange.test is in trouble (503)"),
        (ZeroDivisionError("oops"), "ZeroDivisionError: oops"),
        ([5], "collector says it produces Bar, but yielded 5"),
    ],
)
@pytest.mark.usefixtures("log")
async def test_a_backfill_that_fails_says_why(tmp_path: Path, turn: Any, words: str) -> None:
    """In the answer, for whoever asked."""
    async with station(tmp_path, past(turn)) as (_, ask):
        assert words in await refused(ask("backfill", days=1))


@pytest.mark.usefixtures("log")
async def test_no_source_with_a_past_is_told(tmp_path: Path) -> None:
    """With the section that would help."""
    async with station(tmp_path, Transform("inference", forecasts, (Bar,), (Forecast,))) as (_, ask):
        assert await refused(ask("backfill", days=1)) == "no plugin here can fetch the past; add `collector: {}` under `plugins`"


@pytest.mark.usefixtures("log")
async def test_health_tells_what_hub_status_shows(tmp_path: Path) -> None:
    """One source of truth for both."""
    async with station(tmp_path, past()) as (app, ask):
        await app.recorder.record([*bars(1.0, 2.0), forecast("BTC-USDT", 5)])
        health = (await ask("health")).data
        assert health["running"]
        assert [(plugin["name"], plugin["state"]) for plugin in health["plugins"]] == [("collector", "running")]
        assert health["symbols"][0]["last_bar"]["close"] == 2.0
        assert health["symbols"][0]["last_forecast"]["price"] == 1.1


@pytest.mark.usefixtures("log")
async def test_a_plugins_verb_is_answered_and_the_hubs_own_are_not_given_away(tmp_path: Path) -> None:
    """A plugin that answers `health` would blind everybody who watches."""
    async with station(tmp_path, greet=answering("hello"), health=answering("all is well")) as (_, ask):
        assert (await ask("greet")).data == "hello"
        assert (await ask("health")).data["running"] is True
        assert "greet" in await refused(ask("nothing"))


DROP_IN = """
from hub import *
@hookimpl
def register_requests(hub):
    async def version(request):
        return {version}
    return {{"version": version}}
"""


@pytest.mark.usefixtures("log")
async def test_a_restart_loads_the_plugin_anew_and_its_verbs_with_it(tmp_path: Path) -> None:
    """The file was edited; nobody wants to restart the hub for it."""
    async with station(tmp_path, plugins="  x: {}\n") as (app, ask):
        drop_in(tmp_path, "x", DROP_IN.format(version=1))
        app.start(Member("x", {}, failure="not there yet"))
        assert (await ask("plugin/restart", name="x")).data == {"name": "x", "state": "running", "error": None}
        assert (await ask("version")).data == 1
        drop_in(tmp_path, "x", DROP_IN.format(version=2))
        await asyncio.gather(*(ask("plugin/restart", name="x") for _ in range(3)))
        assert (await ask("version")).data == 2
        assert len(app.members) == 2
        drop_in(tmp_path, "x", "broken(")
        answer = (await ask("plugin/restart", name="x")).data
        assert answer["state"] == "failed"
        assert "SyntaxError" in answer["error"]
        assert "version" not in await refused(ask("nothing"))
