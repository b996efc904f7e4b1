"""The ledger: every forecast beside its outcome, on disk and in memory alike."""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hub.ledger import accuracy, compare, entries, series_of
from hub.market.metrics import auc, brier, coverage
from hub.messages import Forecast, Message, ModelId, Score
from hub.runtime.disk.store import SqliteStore
from hub.score_words import score_row, verdict_of
from hub.testing import START, FakeClock, MemoryStore, bars
from tests.hubs import hub, write_config

MODEL = ModelId(name="line", version="1", sha256="a" * 64)
YOUNG = ModelId(name="young", version="2", sha256="b" * 64)
Make = Callable[[Iterable[Message]], Any]


def forecast(
    minute: int, *, horizon: int = 5, price: float = 101.0, p_up: float = 0.6, symbol: str = "BTC-USDT", **fields: Any
) -> Forecast:
    """Seen from the bar that opened `minute` minutes after START, whose close was 100."""
    open_time = START + timedelta(minutes=minute)
    values: dict[str, Any] = {
        "made_at": open_time + timedelta(minutes=1, seconds=3),
        "target_time": open_time + timedelta(minutes=1 + horizon),
        "last_close": 100.0,
        "low": price * 0.99,
        "high": price * 1.01,
        "direction": "up" if p_up >= 0.5 else "down",
        "confidence": max(p_up, 1 - p_up),
        "model": MODEL,
    }
    return Forecast(symbol=symbol, horizon_minutes=horizon, open_time=open_time, price=price, p_up=p_up, **(values | fields))


def on_disk(tmp_path: Path) -> Make:
    def make(messages: Iterable[Message]) -> SqliteStore:
        store = SqliteStore.open(tmp_path / "tickerml.db", FakeClock())
        store.record(list(messages))
        return store

    return make


@pytest.fixture(params=["disk", "memory"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    return on_disk(tmp_path) if request.param == "disk" else MemoryStore


def ledger(store: Any, now: datetime, role: Any = "live", horizon: int = 5) -> list[tuple[str, float | None]]:
    return [(entry.state, entry.outcome) for entry in entries(store, START, now, role, "BTC-USDT", horizon)]


def test_the_outcome_is_the_close_at_the_horizon(stored: Make) -> None:
    """The very bar that closes at the target: label and score are one thing."""
    closes = [100.0, 101.0, 102.0, 103.0, 104.0, 105.0, 106.0, 107.0]
    store = stored([*bars(*closes), forecast(0), forecast(2, last_close=102.0)])
    assert ledger(store, START + timedelta(minutes=8)) == [("scored", log(107 / 102)), ("scored", log(105 / 100))]


def test_a_forecast_is_open_until_its_bar_should_be_there_and_then_missing_never_dropped(stored: Make) -> None:
    """And scored after all when the minute is filled in later, even by months."""
    store = stored([*bars(*[100.0] * 5), forecast(0)])
    assert ledger(store, START + timedelta(minutes=10)) == [("open", None)]
    assert ledger(store, START + timedelta(minutes=11)) == [("missing", None)]
    store.record(bars(110.0, start=START + timedelta(minutes=5)))
    assert ledger(store, START + timedelta(minutes=11)) == [("scored", log(1.1))]


def test_a_stand_in_is_no_outcome(stored: Make) -> None:
    """CoinGecko's last price is not the close of the minute."""
    store = stored([*bars(*[100.0] * 5), *bars(110.0, start=START + timedelta(minutes=5), quality="fallback", volume=None), forecast(0)])
    assert ledger(store, START + timedelta(hours=1)) == [("missing", None)]


def test_what_a_shadow_said_is_kept_apart(stored: Make) -> None:
    """The newest of a topic is the live model's."""
    store = stored([*bars(*[100.0] * 8), forecast(0), forecast(1, model=YOUNG, role="shadow")])
    assert [(each.model.name, each.role) for each in sorted(store.newest(Forecast), key=lambda each: each.role)] == [
        ("line", "live"),
        ("young", "shadow"),
    ]
    assert len(ledger(store, START + timedelta(hours=1))) == 1
    assert len(ledger(store, START + timedelta(hours=1), "shadow")) == 1
    assert series_of(store) == [("BTC-USDT", 5, "live"), ("BTC-USDT", 5, "shadow")]


def test_facts_come_from_the_newest_back_page_by_page(stored: Make) -> None:
    """Three thousand forecasts, of which most readers want a few."""
    made = [forecast(minute) for minute in range(3000)]
    store = stored(made)
    found = store.newest_first(Forecast, symbol="BTC-USDT", horizon_minutes=5)
    assert [next(found) for _ in range(3)] == made[:-4:-1]
    assert list(store.newest_first(Forecast, symbol="BTC-USDT", horizon_minutes=5)) == made[::-1]
    assert list(store.newest_first(Forecast, symbol="ETH-USDT", horizon_minutes=5)) == []


def test_closes_are_those_of_exact_bars(stored: Make) -> None:
    """What an outcome, and the symbol beside it, is read from."""
    store = stored([*bars(1.0, 2.0), *bars(3.0, start=START + timedelta(minutes=2), quality="fallback", volume=None)])
    first = int(START.timestamp()) * 1000
    assert store.closes("BTC-USDT", first, first + 600_000) == [(first, 1.0), (first + 60_000, 2.0)]


def scattered(count: int, seed: int = 0) -> tuple[list[Message], np.ndarray[Any, Any], list[Forecast]]:
    """A walk by chance, and a forecast every five minutes with numbers by chance."""
    chance = np.random.default_rng(seed)
    closes = 100.0 * np.exp(np.cumsum(chance.normal(0, 1e-3, count * 5 + 40)))
    said = []
    for number in range(count):
        seen = closes[number * 5]
        expected, p_up = seen * np.exp(chance.normal(0, 1e-4)), float(chance.uniform(0.4, 0.6))
        said.append(forecast(number * 5, price=expected, p_up=p_up, last_close=seen, low=expected * 0.997, high=expected * 1.003))
    return [*bars(*closes), *said], closes, said


def test_accuracy_is_what_a_calculation_by_hand_gives(stored: Make) -> None:
    """Skill against persistence, AUC, hits, Brier, coverage, one by one."""
    messages, closes, said = scattered(200)
    [score] = accuracy(stored(messages), START, START + timedelta(days=2), "7d")
    outcome = np.array([log(closes[number * 5 + 5] / closes[number * 5]) for number in range(200)])
    expected = np.array([log(each.price / each.last_close) for each in said])
    p_up = np.array([each.p_up for each in said])
    low, high = (np.array([log(getattr(each, end) / each.last_close) for each in said]) for end in ("low", "high"))
    assert score.n == 200
    assert score.skill == pytest.approx(1 - ((outcome - expected) ** 2).mean() / (outcome**2).mean())
    assert score.auc == pytest.approx(auc(outcome > 0, p_up))
    assert score.hit_rate == pytest.approx(((p_up > 0.5) == (outcome > 0)).mean())
    assert score.brier == pytest.approx(brier(outcome > 0, p_up))
    assert score.coverage == pytest.approx(coverage(outcome, low, high))
    assert score.error == pytest.approx(np.sqrt(((outcome - expected) ** 2).mean()))
    assert score.baseline_error == pytest.approx(np.sqrt((outcome**2).mean()))
    assert score.last_outcome == pytest.approx(outcome[-1])
    assert score.skill_low is not None
    assert score.skill_low < (score.skill or 0)


def test_a_model_without_skill_is_called_so() -> None:
    """Chance is not better than 'nothing changes', whatever the sign of its skill; nor are a dozen forecasts."""
    told = []
    for seed in range(20):
        [score] = accuracy(MemoryStore(scattered(300, seed)[0]), START, START + timedelta(days=3), "7d")
        told.append(verdict_of(score))
    assert told.count("better than 'nothing changes'") <= 3
    [few] = accuracy(MemoryStore(scattered(12)[0]), START, START + timedelta(days=3), "7d")
    assert verdict_of(few) == "too few to tell, 100 are needed"
    assert "line 1: too few to tell" in score_row(few)


def test_a_model_that_knows_is_called_better() -> None:
    """It expects half of what comes."""
    messages, closes, said = scattered(300)
    knowing = [
        each.model_copy(update={"price": each.last_close * (closes[number * 5 + 5] / each.last_close) ** 0.5})
        for number, each in enumerate(said)
    ]
    [score] = accuracy(MemoryStore([*messages[: -len(said)], *knowing]), START, START + timedelta(days=3), "7d")
    assert score.skill == pytest.approx(0.75)
    assert verdict_of(score) == "better than 'nothing changes'"


def test_what_a_model_said_in_shadow_counts_when_it_is_live(stored: Make) -> None:
    """It is the same model, on the same minutes."""
    store = stored(
        [*bars(*[100.0] * 60), *(forecast(minute, role="shadow") for minute in (0, 5)), *(forecast(minute) for minute in (10, 15, 20))]
    )
    [score] = accuracy(store, START, START + timedelta(days=1), "7d")
    assert (score.n, score.role, score.skill) == (5, "live", None)


def both(count: int, better: float, seed: int = 0) -> Sequence[Message]:
    """Live and shadow on the same minutes; the shadow expects the part `better` of what comes."""
    messages, closes, said = scattered(count, seed)
    shadow = []
    for number, each in enumerate(said):
        price = each.last_close * (closes[number * 5 + 5] / each.last_close) ** better
        shadow.append(
            each.model_copy(update={"model": YOUNG, "role": "shadow", "price": price, "low": price * 0.997, "high": price * 1.003})
        )
    return [*messages, *shadow]


@pytest.mark.parametrize(("better", "choice"), [(0.6, "promote"), (-0.6, "reject")])
def test_live_and_shadow_are_compared_on_the_minutes_of_both(stored: Make, better: float, choice: str) -> None:
    """The minutes that only one has forecast, and those without an outcome, are left out."""
    now = START + timedelta(days=3)
    store = stored([*both(300, better), forecast(2000), forecast(2005, role="shadow", model=YOUNG)])
    found = compare(store, MODEL.sha256, YOUNG.sha256, START, now)
    assert (found.choice, found.pairs) == (choice, 300)
    assert compare(store, MODEL.sha256, "c" * 64, START, now).choice == "wait"
    assert compare(store, MODEL.sha256, YOUNG.sha256, START + timedelta(hours=20), now).pairs == 60


def test_the_commands_show_the_ledger_and_how_good_it_was(tmp_path: Path) -> None:
    """As data and for people; from the disk alone, with the hub stopped."""
    write_config(tmp_path)
    (tmp_path / "data").mkdir()
    store = SqliteStore.open(tmp_path / "data" / "tickerml.db", FakeClock())
    store.record([*bars(*[100.0] * 30, 101.0), forecast(0), forecast(10, horizon=10), forecast(25), forecast(29)])
    store.close()
    shown = hub(tmp_path, "forecasts", "list", "--since", "9000d", "--json")
    assert shown.returncode == 0, shown.stderr
    rows = json.loads(shown.stdout)
    assert [(row["open_time"][11:16], row["horizon_minutes"], row["state"]) for row in rows] == [
        ("00:29", 5, "missing"),
        ("00:25", 5, "scored"),
        ("00:10", 10, "scored"),
        ("00:00", 5, "scored"),
    ]
    assert rows[1]["outcome"] == pytest.approx(log(1.01))
    words = hub(tmp_path, "forecasts", "list", "--since", "9000d", "--symbol", "BTC/USDT").stdout
    assert "BTC-USDT    5 min  up    60%" in words
    assert "came +0.995%" in words
    scores = json.loads(hub(tmp_path, "forecasts", "accuracy", "--since", "9000d", "--json").stdout)
    assert [(score["horizon_minutes"], score["n"], score["missing"], score["model"]["name"]) for score in scores] == [
        (5, 2, 1, "line"),
        (10, 1, 0, "line"),
    ]
    table = hub(tmp_path, "forecasts", "accuracy", "--since", "9000d").stdout.splitlines()
    assert table[0].split()[:4] == ["symbol", "ahead", "n", "missing"]
    assert "too few to tell" in table[1]
    assert hub(tmp_path, "forecasts", "accuracy", "--since", "soon").returncode == 2
    assert hub(tmp_path, "forecasts", "list", "--symbol", "ETH/USDT").stdout == "none\n"
    assert Score.model_validate(scores[0]).n == 2
