"""What the views tell of a day's facts, held against the same counted by hand."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.ledger import entries
from hub.market.interval import MINUTE_MS, to_ms
from hub.messages import Article, Forecast, Message, Score
from hub.score_words import ENOUGH
from hub.testing import START, MemoryStore, bars
from plugins.dashboard.live import Pages
from plugins.dashboard.rendering import data, price, size, time
from plugins.dashboard.views import accuracy, completeness, models, news
from plugins.dashboard.views.overview import MINUTES, MOST_CHARTS, filled, overview
from plugins.dashboard.views.weeks import WEEKS, Weeks
from tests.days import GAP, HOSTILE, LIVE, SHADOW, STAND_INS, a_day

SYMBOLS = ("BTC-USDT", "ETH-USDT")
NOW = START + timedelta(days=1)


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    return MemoryStore(a_day())


def test_the_overview_has_price_bars_fan_and_what_was_said_before(store: MemoryStore) -> None:
    shown = overview(store, SYMBOLS, None, NOW)
    assert [row["symbol"] for row in shown["symbols"]] == list(SYMBOLS)
    assert not shown["starts"]
    row = shown["symbols"][0]
    newest = store.newest_bar("BTC-USDT")
    assert newest is not None
    assert (row["price"], row["at"], row["quality"]) == (newest.close, to_ms(newest.close_time), "exact")
    assert len(row["bars"]["at"]) == MINUTES
    assert [forecast["horizon"] for forecast in row["forecasts"]] == [5, 10, 30]
    for forecast in row["forecasts"]:
        assert forecast["low"] < forecast["price"] < forecast["high"]
        assert forecast["target"] - forecast["made"] == forecast["horizon"] * MINUTE_MS
        assert (forecast["proven"], forecast["verdict"]) == (False, "no better than 'nothing changes'")
    for past in row["past"]:
        assert len(past["at"]) == len(past["price"]) == len(past["inside"]) == MINUTES // 5
        assert past["at"] == sorted(past["at"])
        assert past["at"][-1] <= to_ms(NOW)
    assert row["alert"]["text"] == "sure of a rise", "markup is taken away"
    json.dumps(shown, allow_nan=False)


def test_a_forecast_is_inside_where_the_close_of_its_minute_was(store: MemoryStore) -> None:
    [past] = [past for past in overview(store, SYMBOLS, None, NOW)["symbols"][0]["past"] if past["horizon"] == 10]
    made = {to_ms(each.target_time): each for each in store.newest_first(Forecast, symbol="BTC-USDT", horizon_minutes=10)}
    for at, inside in zip(past["at"], past["inside"], strict=True):
        [bar] = store.bars("BTC-USDT", at - MINUTE_MS, at - MINUTE_MS)
        assert inside is (made[at].low <= bar.close <= made[at].high)


def test_a_forecast_whose_time_has_come_is_none_any_more(store: MemoryStore) -> None:
    assert overview(store, SYMBOLS, None, NOW + timedelta(minutes=30))["symbols"][0]["forecasts"] == []


@pytest.mark.parametrize(("skill_low", "n", "proven"), [(0.01, ENOUGH, True), (0.01, ENOUGH - 1, False), (0.0, ENOUGH, False)])
def test_a_model_is_called_proven_only_when_it_is(skill_low: float, n: int, proven: bool) -> None:
    """And never by the score of another model."""
    told = {"symbol": "BTC-USDT", "horizon_minutes": 5, "skill": 0.02, "auc": 0.5, "hit_rate": 0.5, "brier": 0.25, "coverage": 0.8}
    for model, right in ((LIVE, proven), (SHADOW, False)):
        store = MemoryStore([*a_day(60), Score(**told, n=n, skill_low=skill_low, window="7d", model=model)])
        [first, *_] = overview(store, SYMBOLS, None, START + timedelta(minutes=60))["symbols"][0]["forecasts"]
        assert first["proven"] is right


def test_many_symbols_stand_in_a_table_and_one_that_is_chosen_is_drawn() -> None:
    names = tuple(f"A{number}-USDT" for number in range(9))
    store = MemoryStore([bar for name in names for bar in bars(1, 2, 3, symbol=name)])
    assert [row["symbol"] for row in overview(store, names, None, NOW)["symbols"] if "bars" in row] == list(names[:MOST_CHARTS])
    assert [row["symbol"] for row in overview(store, names, "A7-USDT", NOW)["symbols"] if "bars" in row] == ["A7-USDT"]
    assert [row["symbol"] for row in overview(store, names, "../etc", NOW)["symbols"] if "bars" in row] == list(names[:MOST_CHARTS])


def test_an_empty_store_is_a_start() -> None:
    assert overview(MemoryStore(), SYMBOLS, None, NOW)["starts"]
    assert accuracy.recent(MemoryStore(), NOW) == {"rows": [], "reliability": []}


def test_accuracy_tells_live_and_shadow_apart(store: MemoryStore) -> None:
    rows = accuracy.recent(store, NOW)["rows"]
    assert {(row["model"], row["role"]) for row in rows} == {("mine 3", "live"), ("newer 4", "shadow")}
    assert len(rows) == 12
    assert not any(row["better"] for row in rows), "chance has no skill"


def test_reliability_is_the_share_that_went_up(store: MemoryStore) -> None:
    [row] = [row for row in accuracy.recent(store, NOW)["reliability"] if (row["horizon"], row["role"]) == (10, "live")]
    made = [entry for symbol in SYMBOLS for entry in entries(store, START, NOW, "live", symbol, 10) if entry.outcome]
    assert sum(row["n"]) == len(made)
    for said, came, n in zip(row["said"], row["came"], row["n"], strict=True):
        inside = [entry for entry in made if int(entry.forecast.p_up * 10) == int(said * 10)]
        assert n == len(inside)
        assert came == pytest.approx(np.mean([(entry.outcome or 0.0) > 0 for entry in inside]))


def test_the_weeks_hold_every_scored_forecast_once_however_late_one_looks(tmp_path: Path) -> None:
    """Four days over a Monday; what is over is the same when it is counted again, and when it is only remembered."""
    friday = datetime(2025, 5, 23, tzinfo=UTC)
    store = MemoryStore(fact for day in range(4) for fact in a_day(start=friday + timedelta(days=day), seed=day, symbols=("BTC-USDT",)))
    live = [entry for horizon in (5, 10, 30) for entry in entries(store, friday, friday + timedelta(days=9), "live", "BTC-USDT", horizon)]
    scored = sum(entry.outcome is not None for entry in live)
    told: list[Any] = []
    for number, later in enumerate((4, 6, 20, 40)):
        now = friday + timedelta(days=later)
        rows = Weeks(tmp_path).rows(store, now)
        assert rows == Weeks(tmp_path / "nowhere").rows(store, now), "remembered or counted"
        assert sum(row["n"] for row in rows) == scored, number
        assert [row["from"] for row in rows[:2]] == [to_ms(friday + timedelta(days=3)), to_ms(friday - timedelta(days=4))]
        told.append(rows)
    assert told[1:] == told[:1] * 3
    assert Weeks(tmp_path).rows(store, friday + timedelta(days=100)) == []
    kept = json.loads((tmp_path / "weeks.json").read_text(encoding="utf-8"))
    assert len(kept) == WEEKS - 1, "the week that runs is not over"


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"a": 1}', "null", '{"5": null}'])
def test_weeks_that_cannot_be_remembered_are_counted_again(tmp_path: Path, store: MemoryStore, content: str) -> None:
    (tmp_path / "weeks.json").write_text(content, encoding="utf-8")
    assert Weeks(tmp_path).rows(store, NOW) == Weeks(tmp_path / "nowhere").rows(store, NOW)


def test_the_calendar_knows_gaps_and_stand_ins(store: MemoryStore) -> None:
    told = completeness.calendar(store, "BTC-USDT", NOW)
    [day] = told["days"]
    assert (day["day"], day["of"], day["missing"], day["fallback"]) == ("2025-05-20", 1440, GAP[1] - GAP[0], STAND_INS[1] - STAND_INS[0])
    assert (day["grade"], day["weekday"], told["bars"]) == ("some", "tuesday", 1440 - (GAP[1] - GAP[0]))
    count, found = completeness.gaps(store, SYMBOLS)
    assert (count, {gap.reason for gap in found}) == (2, {"the exchange had none of it"})
    rows = completeness.sources(store, SYMBOLS, NOW)
    assert {(row["source"], row["quality"]) for row in rows} == {("binanceus", "exact"), ("coingecko", "fallback")}
    assert sum(row["bars"] for row in rows) == 2 * (1440 - (GAP[1] - GAP[0]))


@settings(max_examples=60, deadline=None)
@given(
    minutes=st.sets(st.integers(0, 4 * 1440 - 1), min_size=1, max_size=60),
    start=st.integers(0, 1439),
    stands_in=st.sets(st.integers(0, 4 * 1440 - 1), max_size=20),
)
def test_every_minute_of_the_calendar_is_counted_once(minutes: set[int], start: int, stands_in: set[int]) -> None:
    begin = datetime(2025, 5, 20, tzinfo=UTC) + timedelta(minutes=start)
    made: list[Message] = []
    for minute in sorted(minutes | stands_in):
        at = begin + timedelta(minutes=minute)
        fields: dict[str, Any] = {"quality": "fallback", "volume": None} if minute not in minutes else {}
        made += bars(1.0, start=at, **fields)
    told = completeness.calendar(MemoryStore(made), "BTC-USDT", begin + timedelta(days=4))
    spanned = max(minutes | stands_in) - min(minutes | stands_in) + 1
    assert sum(day["of"] for day in told["days"]) == spanned
    assert told["bars"] == len(minutes | stands_in)
    assert sum(day["fallback"] for day in told["days"]) == len(stands_in - minutes)
    assert all(day["missing"] + day["fallback"] <= day["of"] for day in told["days"])


def test_headlines_are_text_and_lead_only_to_the_web(store: MemoryStore) -> None:
    found = news.articles(store, ["BTC"])
    assert found
    assert {article["source"] for article in found} == {"wire"}
    for article in found:
        assert article["url"] is None or article["url"].startswith("https://")
        assert not set(article["title"]) & set("\u202e\u200b\x1b")
    assert not any("script" in article["title"] for article in found), HOSTILE


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "//evil.example", "https:evil", "ftp://a", "http://[", "", "HTTPS//x"]
)
def test_an_address_that_is_none_of_the_web_is_no_link(url: str) -> None:
    article = Article(asset="BTC", title="x", url=url, source="x", published_at=None, collected_at=START)
    assert news.articles(MemoryStore([article]), ["BTC"])[0]["url"] is None


def test_moods_have_each_hour_once_as_it_was_told_last(store: MemoryStore) -> None:
    for row in news.moods(store, ["BTC", "ETH"], NOW):
        assert row["at"] == sorted(set(row["at"]))
        assert len(row["at"]) == 24


def test_every_answer_to_an_offer_is_told_once(store: MemoryStore) -> None:
    told = models.models(store)
    assert (told["live"]["name"], told["shadow"]["name"], told["previous"]) == ("mine", "newer", None)
    assert [answer["status"] for answer in told["answers"]] == ["shadow", "rejected"]
    assert told["refused"] == 1
    assert models.models(MemoryStore())["answers"] == []


def test_numbers_are_written_with_the_digits_that_make_sense() -> None:
    assert [price(value) for value in (118234.5, 12.0, 3.14159, 0.00001234, None)] == [
        "118,234.50",
        "12.00",
        "3.1416",
        "1.234e-05",
        "\u2013",
    ]
    assert [size(value) for value in (5, 2048, 5 * 2**30)] == ["5 bytes", "2.0 KiB", "5.0 GiB"]
    assert time("<b>") == "<span>&lt;b&gt;</span>"
    assert 'datetime="2025-05-20T00:00:00Z"' in time(to_ms(START))
    assert "<" not in data({"text": "</script><script>"})


async def test_a_page_hears_what_is_new_together_and_a_slow_one_holds_up_nobody() -> None:
    pages, heard, slow = Pages(), list[str](), asyncio.Event()

    class Quick:
        async def send_text(self, text: str) -> None:
            heard.append(text)

    class Slow:
        async def send_text(self, _: str) -> None:
            await slow.wait()

    telling = [asyncio.create_task(pages.tell(page)) for page in (Quick(), Slow())]
    await asyncio.sleep(0.01)
    assert pages.open == 2
    day = a_day(20)
    for message in day:
        await asyncio.wait_for(pages.write([message]), 1)
    await asyncio.sleep(1.2)
    assert 1 <= len(heard) <= 3, "many at once are told together"
    assert {"bar", "forecast", "modelstate"} <= {kind for text in heard for kind in json.loads(text)["changed"]}
    for task in telling:
        task.cancel()
    await asyncio.gather(*telling, return_exceptions=True)
    assert pages.open == 0


@pytest.mark.parametrize(
    ("texts", "percent"),
    [
        (["filling in the past plugin=collector minutes=2000 of=3116 percent=64"], 64),
        (
            ["filling in the past plugin=collector minutes=1 of=9 percent=11", "other", "filling in the past minutes=9 of=9 percent=100"],
            None,
        ),
        (["filling in the past"], None),
        (["something else percent=5"], None),
        ([], None),
    ],
)
def test_how_far_the_past_is_filled_in_is_read_from_the_log(texts: list[str], percent: int | None) -> None:
    told = filled([{"at": "", "level": "info", "text": text} for text in texts])
    assert (told or {}).get("percent") == percent
