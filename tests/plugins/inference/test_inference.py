"""The plugin at work on a clock that stands: what is forecast, when, and by name why not."""

import asyncio
import json
from datetime import timedelta
from math import exp
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from hub.errors import HubError
from hub.flow import Source
from hub.market.features import FEATURES
from hub.market.interval import MINUTE_MS, to_ms
from hub.messages import Request, Sentiment
from hub.settings import PluginSettings
from hub.testing import START, FakeHub
from plugins import inference
from plugins.inference.model_file import facts_in
from plugins.inference.refusal import ModelFailed
from plugins.inference.session import Model
from plugins.inference.settings import InferenceSettings
from plugins.inference.window import read_window
from tests.models import FakeSlot, digest, finished, line_model
from tests.plugins.inference.situations import DAY, Station, market_bars


async def test_every_symbol_gets_its_forecasts_as_soon_as_its_bars_are_there(tmp_path: Path) -> None:
    """The slot that is still in time when the hub starts is made at once; one batch a symbol, recorded together."""
    async with Station(tmp_path) as station:
        assert [(batch[0].symbol, [each.horizon_minutes for each in batch]) for batch in station.batches] == [
            ("BTC-USDT", [5, 10, 30]),
            ("ETH-USDT", [5, 10, 30]),
        ]
        said = station.made[0]
        assert said.open_time == START - timedelta(minutes=1)
        assert said.made_at == START
        assert said.target_time == START + timedelta(minutes=5)
        assert said.low < said.price < said.high
        assert said.confidence == max(said.p_up, 1 - said.p_up)
        assert said.direction == ("up" if said.p_up >= 0.5 else "down")
        assert (said.model.name, said.model.sha256, said.role) == ("line", digest(line_model()), "live")
        assert station.schedule.remark() is None


async def test_the_next_slot_waits_for_its_bars_and_no_slot_is_made_twice(tmp_path: Path) -> None:
    """Five minutes on, at the first look after the bar came."""
    async with Station(tmp_path) as station:
        await station.pass_time(300)
        assert len(station.batches) == 2, "the bars are not there yet"
        for symbol in ("BTC-USDT", "ETH-USDT"):
            station.add_bars(symbol, 5)
        await station.pass_time(2)
        assert [batch[0].made_at for batch in station.batches[2:]] == [START + timedelta(seconds=301)] * 2
        await station.pass_time(200)
        assert len(station.batches) == 4


async def test_a_restart_makes_nothing_twice(tmp_path: Path) -> None:
    """What is on disk for this slot is not said again."""
    async with Station(tmp_path) as station:
        made = station.made
    fresh = Station(tmp_path)
    fresh.hub.store.record(made)
    async with fresh:
        assert fresh.batches == []


async def test_a_late_forecast_is_not_made_and_the_state_says_so(tmp_path: Path) -> None:
    """A bar that comes 61 seconds after its close is too late for its slot; the reason goes when the next one is made."""
    async with Station(tmp_path) as station:
        await station.pass_time(300)
        station.add_bars("ETH-USDT", 5)
        await station.pass_time(62)
        station.add_bars("BTC-USDT", 5)
        await station.pass_time(3)
        assert [batch[0].symbol for batch in station.batches] == ["BTC-USDT", "ETH-USDT", "ETH-USDT"]
        remark = station.schedule.remark()
        assert remark is not None
        assert remark.startswith(
            "BTC-USDT: stale: at 2025-05-20 00:05 its bar did not come within 60 s; the newest bar closed at 2025-05-20 00:00"
        )
        for symbol in ("BTC-USDT", "ETH-USDT"):
            station.add_bars(symbol, 5)
        await station.pass_time(240)
        assert station.schedule.remark() is None
        assert [entry["event"] for entry in station.hub.logged.entries] == ["no forecast is made", "forecasts are made again"]


async def test_the_other_symbols_bar_is_waited_for_half_as_long(tmp_path: Path) -> None:
    """Training has both symbols' closes; a forecast without would not be what replay makes of the same minute."""
    async with Station(tmp_path) as station:
        await station.pass_time(300)
        station.add_bars("BTC-USDT", 5)
        await station.pass_time(29)
        assert len(station.batches) == 2
        await station.pass_time(3)
        assert [batch[0].symbol for batch in station.batches[2:]] == ["BTC-USDT"]


async def test_a_symbol_alone_waits_for_nobody(tmp_path: Path) -> None:
    """A hub that does not follow the other symbol leaves its features at nothing."""
    async with Station(tmp_path, symbols=["BTC-USDT"]) as station:
        assert len(station.batches) == 1


@pytest.mark.parametrize("jump", [timedelta(hours=-3), timedelta(hours=3)])
async def test_a_clock_that_is_set_neither_stops_the_schedule_nor_doubles_it(tmp_path: Path, jump: timedelta) -> None:
    """NTP, a dead battery: the next slot is at most `every` away."""
    async with Station(tmp_path) as station:
        station.clock.jump(jump)
        await station.pass_time(660)
        assert len(station.batches) == 2
        assert station.clock.next_wake is not None


async def test_a_gap_in_the_window_is_refused_by_name(tmp_path: Path) -> None:
    """Nothing is bridged: the minutes are named."""
    station = Station(tmp_path, minutes=0)
    for seed, symbol in enumerate(("BTC-USDT", "ETH-USDT")):
        made = market_bars(symbol, DAY, START, seed)
        station.hub.store.record(made[:700] + made[703:] if symbol == "BTC-USDT" else made)
    async with station:
        assert [batch[0].symbol for batch in station.batches] == ["ETH-USDT"]
        assert station.schedule.remark() == "BTC-USDT: gap: 3 of the last 1,500 minutes are missing, the first 2025-05-19 10:40"


async def test_a_young_hub_says_how_much_history_it_needs(tmp_path: Path) -> None:
    """The first day of a station: it is told, not silent."""
    async with Station(tmp_path, minutes=400) as station:
        assert station.batches == []
        assert "BTC-USDT: gap: it needs the last 1,500 minutes, and 1,100 of them are not there yet" in (station.schedule.remark() or "")


@pytest.mark.parametrize(("stand_ins", "refused"), [(3, False), (4, True)])
async def test_stand_ins_beyond_the_models_limit_are_refused_by_name(tmp_path: Path, stand_ins: int, refused: bool) -> None:
    """Five in a hundred, of the hour that the model sees; its metadata may say otherwise."""
    station = Station(tmp_path, minutes=0, symbols=["BTC-USDT"])
    made = market_bars("BTC-USDT", DAY, START)
    worse = [bar.model_copy(update={"quality": "fallback", "volume": None, "taker_buy_volume": None}) for bar in made[-stand_ins:]]
    station.hub.store.record([*made[:-stand_ins], *worse])
    async with station:
        assert bool(station.batches) != refused
        assert (station.schedule.remark() == "BTC-USDT: fallback: 4 of the last 60 bars are stand-ins; the model takes 5%") == refused


async def test_other_features_than_it_was_trained_on_are_refused_by_name(tmp_path: Path) -> None:
    """A model of another hub version is never fed rows that mean something else."""
    slot = FakeSlot(line_model(told=json.dumps({"feature_set": {"names": list(FEATURES), "hash": "0" * 64}})))
    async with Station(tmp_path, slot) as station:
        assert station.batches == []
        assert "BTC-USDT: features: model line 1 was trained on another feature set" in (station.schedule.remark() or "")
        assert all(ok for _, ok, _ in slot.reports), "the model's run did not fail: there was none"


async def test_a_symbol_it_was_not_trained_on_is_refused_by_name(tmp_path: Path) -> None:
    """It might be right; nobody has tried."""
    async with Station(tmp_path, symbols=["BTC-USDT", "DOGE-USDT"]) as station:
        assert [batch[0].symbol for batch in station.batches] == ["BTC-USDT"]
        assert station.schedule.remark() == "DOGE-USDT: symbol: model line was trained on BTC-USDT, ETH-USDT, not on DOGE-USDT"


async def test_the_shadow_speaks_beside_the_live_model_about_the_same_window(tmp_path: Path) -> None:
    """In the same transaction; its forecasts carry its own digest and role."""
    slot = FakeSlot(line_model(), shadow=line_model(pull=0.5, name="young"))
    async with Station(tmp_path, slot) as station:
        assert [(each.model.name, each.role) for each in station.batches[0]] == [("line", "live")] * 3 + [("young", "shadow")] * 3
        live, shadow = station.batches[0][:3], station.batches[0][3:]
        assert [each.open_time for each in live] == [each.open_time for each in shadow]
        assert [each.p_up for each in live] != [each.p_up for each in shadow]
        assert {(sha256, ok) for sha256, ok, _ in slot.reports} == {(digest(line_model()), True), (digest(slot.in_shadow or b""), True)}


def nan_model() -> bytes:
    """Passes every check of its form, and says NaN."""
    nodes = [
        helper.make_node("ReduceMean", ["features"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "one"], ["column"]),
    ]
    nodes += [
        helper.make_node("Mul", ["column", "nothing"], [name]) for name in ("log_return", "log_return_low", "log_return_high", "p_up")
    ]
    values = {"one": np.array([1], np.int64), "nothing": np.full(3, np.nan, np.float32)}
    return finished(nodes, values, 60, "mad", {})


async def test_a_live_model_that_says_nan_is_tried_three_times_and_the_one_before_it_makes_the_slot(tmp_path: Path) -> None:
    """No slot is missed: the slot hears of every failure, and whoever is live then is asked."""
    slot = FakeSlot(nan_model(), line_model())
    async with Station(tmp_path, slot) as station:
        assert [(batch[0].symbol, batch[0].model.name) for batch in station.batches] == [("BTC-USDT", "line"), ("ETH-USDT", "line")]
        assert [(ok, reason) for _, ok, reason in slot.reports[:3]] == [(False, "it says a number that cannot be")] * 3
        assert station.schedule.remark() is None


async def test_a_shadow_that_fails_costs_the_live_model_nothing(tmp_path: Path) -> None:
    """It is reported, that is all."""
    slot = FakeSlot(line_model(), shadow=nan_model())
    async with Station(tmp_path, slot) as station:
        assert [{each.role for each in batch} for batch in station.batches] == [{"live"}, {"live"}]
        assert [ok for sha256, ok, _ in slot.reports if sha256 == digest(nan_model())] == [False, False]


async def test_when_every_model_fails_the_state_says_which_and_why(tmp_path: Path) -> None:
    """Nothing is made up."""
    async with Station(tmp_path, FakeSlot(nan_model())) as station:
        assert station.batches == []
        assert "BTC-USDT: model: model mad 1: it says a number that cannot be" in (station.schedule.remark() or "")


async def test_a_forecast_is_made_on_request_and_answered_when_it_is_on_disk(tmp_path: Path) -> None:
    """`forecast/now`: from the newest bar, between slots too; asked again, the same one is the answer."""
    async with Station(tmp_path) as station:
        await station.pass_time(60)
        for symbol in ("BTC-USDT", "ETH-USDT"):
            station.add_bars(symbol)
        asked = asyncio.create_task(station.schedule.answer(Request.model_validate({"symbol": "BTC/USDT"})))
        answer = await asyncio.wait_for(asked, 5)
        assert [(each["symbol"], each["horizon_minutes"], each["open_time"]) for each in answer] == [
            ("BTC-USDT", horizon, "2025-05-20T00:00:00Z") for horizon in (5, 10, 30)
        ]
        assert [each.model_dump(mode="json") for each in station.batches[-1]] == answer
        assert await asyncio.wait_for(station.schedule.answer(Request.model_validate({"symbol": "BTC-USDT"})), 5) == answer
        assert len(station.batches) == 3


async def test_a_request_is_refused_in_words(tmp_path: Path) -> None:
    """Unknown symbol, stale bar: the asker reads why."""
    async with Station(tmp_path) as station:
        with pytest.raises(HubError, match="SOL/USDT is not among"):
            await station.schedule.answer(Request.model_validate({"symbol": "SOL/USDT"}))
        await station.pass_time(125)
        with pytest.raises(HubError, match="no forecast: BTC-USDT: stale: the newest bar closed at 2025-05-20 00:00"):
            await asyncio.wait_for(station.schedule.answer(Request.model_validate({"symbol": "BTC-USDT"})), 5)


def test_a_price_is_the_last_close_moved_by_what_the_model_said(tmp_path: Path) -> None:
    """Log returns in the file, prices on the wire."""
    hub = FakeHub(data_dir=tmp_path)
    for seed, symbol in enumerate(hub.symbols):
        hub.store.record(market_bars(symbol, DAY, START, seed))
    model = Model(line_model(), tmp_path)
    window = read_window(hub.store, "BTC-USDT", model.facts, to_ms(START) - MINUTE_MS)
    said = model.run(window.rows)
    station = Station(tmp_path)
    [five, *_] = asyncio.run(station.schedule._forecasting.about("BTC-USDT", to_ms(START) - MINUTE_MS))
    assert five.price == pytest.approx(window.last_close * exp(said[0, 0]), rel=1e-12)
    assert (five.low, five.high) == pytest.approx((window.last_close * exp(said[1, 0]), window.last_close * exp(said[2, 0])), rel=1e-12)
    asyncio.run(station.hub.http.aclose())


def test_the_news_of_the_newest_hour_that_was_read_are_in_the_window(tmp_path: Path) -> None:
    """And no later one; an hour's last word about itself counts."""
    hub = FakeHub(data_dir=tmp_path)
    for seed, symbol in enumerate(hub.symbols):
        hub.store.record(market_bars(symbol, DAY, START, seed))
    hours = [(1, 0.1), (2, 0.9), (1, 0.2)]
    hub.store.record(
        [Sentiment(asset="BTC", hour=START - timedelta(hours=ago), score=score, articles=3, scorer="x") for ago, score in hours]
    )
    rows = read_window(hub.store, "BTC-USDT", Model(line_model(), tmp_path).facts, to_ms(START) - MINUTE_MS).rows
    mood, articles = rows[:, FEATURES.index("sentiment")], rows[:, FEATURES.index("articles")]
    assert mood[-1] == np.float32(0.9), "the hour that ends now is still being read"
    assert articles[-1] == pytest.approx(np.log(4), rel=1e-6)
    assert mood[0] == 0.0, "an hour ago nothing was known"


def test_a_model_finds_no_file_beside_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model given as bytes may name external data; it is looked for in an empty folder, not where the hub was started."""
    from onnx import TensorProto, external_data_helper, load_from_string

    model = load_from_string(line_model())
    here, empty = tmp_path / "here", tmp_path / "empty"
    here.mkdir(), empty.mkdir()
    for tensor in model.graph.initializer:
        if tensor.name == "move":
            (here / "weights").write_bytes(tensor.raw_data)
            external_data_helper.set_external_data(tensor, "weights")
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
    monkeypatch.chdir(here)
    with pytest.raises(ModelFailed, match="cannot be loaded"):
        Model(model.SerializeToString(), empty)
    assert list(empty.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, line_model()[:500], line_model() + b"\xff" * 7])
def test_bytes_that_are_no_model_fail_in_words(content: bytes, tmp_path: Path) -> None:
    """Never a crash, never a traceback of C++."""
    with pytest.raises(ModelFailed, match="cannot be loaded"):
        Model(content, tmp_path)


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({}, "no metadata"),
        ({"tickerml": "{"}, "will not do"),
        ({"tickerml": '{"name": "x"}'}, "version"),
        ({"tickerml": "[]"}, "will not do"),
    ],
)
def test_metadata_that_will_not_do_is_named(metadata: dict[str, str], words: str) -> None:
    """Each missing field by its name."""
    with pytest.raises(ModelFailed, match=words):
        facts_in(metadata)


@pytest.mark.parametrize("value", ["0m", "90s", "7m", "2d"])
def test_slots_divide_the_day(value: str) -> None:
    """Otherwise they would move from day to day."""
    with pytest.raises(ValueError, match="whole minutes that divide a day"):
        InferenceSettings.model_validate({"every": value})


async def test_the_plugin_declares_one_source_and_a_verb(tmp_path: Path) -> None:
    """Both know each other: who asks is answered by the stream."""
    hub = FakeHub({"every": "15m"}, data_dir=tmp_path)
    assert issubclass(inference.register_settings(), PluginSettings)
    source, _ = inference.register_sources(hub)
    assert isinstance(source, Source)
    assert source.stale_after == timedelta(minutes=31)
    answer = inference.register_requests(hub)["forecast/now"]
    assert answer.__self__.remark == source.remark  # type: ignore[attr-defined]
    await hub.http.aclose()
