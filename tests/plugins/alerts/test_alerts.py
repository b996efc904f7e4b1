"""What is worth telling is told once, to everybody, and nothing else is."""

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hub import Alert, Forecast, Gap, ModelId, ModelState, PluginState, Score, SettingsError, TransientError
from hub.messages import ModelAnswer
from hub.testing import START, FakeClock, FakeHub, MemoryStore, replay
from plugins import alerts
from plugins.alerts.notify import Notifier, is_quiet
from plugins.alerts.rules import HUB
from plugins.alerts.settings import AlertsSettings, QuietHours
from tests.webhooks import listening

MODEL = ModelId(name="m", version="1", sha256="1" * 64)


def forecast(confidence: float = 0.7, minute: int = 0, **changed: Any) -> Forecast:
    made = START + timedelta(minutes=minute)
    fields = {
        "symbol": "BTC-USDT",
        "horizon_minutes": 5,
        "open_time": made - timedelta(minutes=1),
        "made_at": made,
        "target_time": made + timedelta(minutes=5),
        "last_close": 100.0,
        "price": 100.1,
        "low": 99.0,
        "high": 101.0,
        "p_up": confidence,
        "direction": "up",
        "confidence": confidence,
        "model": MODEL,
    }
    return Forecast.model_validate(fields | changed)


def score(skill: float | None = 0.01, n: int = 500, **changed: Any) -> Score:
    fields = {"symbol": "BTC-USDT", "horizon_minutes": 5, "n": n, "skill": skill, "auc": 0.53, "hit_rate": 0.52, "brier": 0.249}
    return Score.model_validate(fields | {"coverage": 0.8, "window": "7d", "model": MODEL} | changed)


def told(*messages: Any, hub: FakeHub | None = None, **section: Any) -> list[Alert]:
    found = replay(alerts, messages, hub=hub or FakeHub(section))
    assert all(isinstance(each, Alert) for each in found)
    return found  # type: ignore[return-value]


def test_a_sure_forecast_of_a_proven_model_is_told_with_its_numbers() -> None:
    [alert] = told(score(), forecast(0.7))
    assert alert.symbol == "BTC-USDT"
    assert alert.text == "BTC/USDT in 5 minutes: up with 70%, to 100.10 (99.00 to 101.00)"
    assert alert.forecast is not None
    assert alert.raised_at == START


@pytest.mark.parametrize("known", [[], [score(-0.01)], [score(None)], [score(0.01, n=99)], [score(horizon_minutes=10)]])
def test_of_a_model_that_is_not_proven_nothing_is_told_unless_asked_for(known: list[Score]) -> None:
    """The user would act on it."""
    assert told(*known, forecast(0.9)) == []
    [alert] = told(*known, forecast(0.9), rules=[{"when": "forecast", "unproven": True}])
    assert "not proven" in alert.text


@pytest.mark.parametrize(
    ("rule", "count"),
    [
        ({"confidence": 0.8}, 0),
        ({"symbols": ["ETH/USDT"]}, 0),
        ({"symbols": ["BTC/USDT"], "horizons": [5]}, 1),
        ({"horizons": [30]}, 0),
        ({"direction": "down"}, 0),
        ({"direction": "up"}, 1),
    ],
)
def test_a_rule_looks_at_what_it_names(rule: dict[str, Any], count: int) -> None:
    assert len(told(score(), forecast(), rules=[{"when": "forecast", **rule}])) == count


def test_what_a_shadow_says_is_told_to_nobody() -> None:
    assert told(score(), forecast(0.9, role="shadow"), rules=[{"when": "forecast", "unproven": True}]) == []


def test_a_thousand_sure_forecasts_are_one_alert() -> None:
    assert len(told(score(), *(forecast(0.7, minute) for minute in range(1000)))) == 1


async def test_after_the_cooldown_it_is_told_again_and_a_restart_does_not_shorten_it() -> None:
    clock, store = FakeClock(), MemoryStore()
    rules = [{"when": "forecast", "unproven": True, "cooldown": "1h"}]

    async def life() -> list[Any]:
        [transform] = alerts.register_transforms(FakeHub({"rules": rules}, clock=clock, store=store))
        found = [alert async for alert in transform.apply(forecast())]
        store.record(found)
        return found

    assert len(await life()) == 1
    await clock.advance(3599)
    assert await life() == []
    await clock.advance(2)
    assert len(await life()) == 1


def test_plugins_in_trouble_gaps_models_and_bad_scores_are_told() -> None:
    """About the hub itself, on a topic of its own."""
    failed = PluginState(name="influxdb", state="failed", since=START, error="no disk")
    gap = Gap(symbol="ETH-USDT", first_open_time=START, last_open_time=START + timedelta(minutes=30), reason="halted")
    answer = ModelAnswer(sha256="2" * 64, counter=1, status="rolled_back", reason="it failed", at=START)
    rules = [{"when": "plugin"}, {"when": "gap"}, {"when": "model"}, {"when": "score"}]
    found = told(failed, gap, ModelState(answer=answer), score(-0.02), rules=rules)
    assert [(alert.symbol, alert.source) for alert in found] == [
        (HUB, "plugin"),
        ("ETH-USDT", "gap"),
        (HUB, "model"),
        ("BTC-USDT", "score"),
    ]
    assert "no disk" in found[0].text
    assert "31 minutes without bars: halted" in found[1].text
    assert "rolled back: it failed" in found[2].text
    assert "-2.00% beside 'nothing changes' over 500 forecasts" in found[3].text


def test_well_plugins_short_gaps_and_good_scores_are_not_told() -> None:
    well = PluginState(name="influxdb", state="running", since=START)
    gap = Gap(symbol="ETH-USDT", first_open_time=START, last_open_time=START, reason="halted")
    rules = [{"when": "plugin"}, {"when": "gap"}, {"when": "model"}, {"when": "score"}]
    assert told(well, gap, ModelState(), score(0.02), score(-0.02, n=10), rules=rules) == []


@pytest.mark.parametrize(
    "section",
    [
        {"rules": [{"when": "never"}]},
        {"rules": [{"when": "forecast", "confidence": 1.5}]},
        {"rules": [{"when": "forecast", "confidnce": 0.7}]},
        {"rules": [{"confidence": 0.7}]},
        {"quiet": {"begin": "22:00", "end": "07:00", "zone": "Mars/Olympus"}},
        {"quiet": {"begin": "late", "end": "07:00"}},
        {"late": "0s"},
    ],
)
def test_a_section_that_will_not_do_is_refused(section: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AlertsSettings.model_validate(section)


@settings(max_examples=300, deadline=None)
@given(
    st.datetimes(datetime(2024, 1, 1), datetime(2026, 1, 1)),  # noqa: DTZ001 - hypothesis wants them naive
    st.times(),
    st.times(),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"]),
)
def test_quiet_hours_go_by_the_clocks_on_the_wall(at: datetime, begin: time, end: time, zone: str) -> None:
    """Also over midnight, and in the nights when the clocks are changed."""
    moment = at.replace(tzinfo=UTC)
    shown = moment.astimezone(ZoneInfo(zone)).time()
    inside = begin <= shown < end if begin <= end else not end <= shown < begin
    assert is_quiet(QuietHours(begin=begin, end=end, zone=zone), moment) == inside


def alert(text: str = "it moved", **changed: Any) -> Alert:
    return Alert(symbol="BTC-USDT", source="test", text=text, raised_at=START, **changed)


def notifier(*urls: str, clock: FakeClock | None = None, **section: Any) -> tuple[Notifier, FakeHub]:
    hub = FakeHub(clock=clock)
    return Notifier(hub, AlertsSettings.model_validate({"urls": urls, **section})), hub


async def test_an_alert_reaches_a_webhook() -> None:
    with listening() as (url, heard):
        await notifier(url)[0].write([alert(severity="warning")])
    assert [(each["title"], each["message"], each["type"]) for each in heard] == [("TickerML: test", "it moved", "warning")]


async def test_a_target_that_fails_is_tried_again_and_the_others_are_not_told_twice() -> None:
    with listening() as (good, heard_there), listening(refuses=1) as (bad, heard_late):
        sink, _ = notifier(good, bad)
        with pytest.raises(TransientError, match=r"target 2 \(json\)"):
            await sink.write([alert()])
        await sink.write([alert()])
    assert (len(heard_there), len(heard_late)) == (1, 1)


async def test_no_secret_of_an_url_is_in_what_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    sink, hub = notifier("json://user:s3cr3tw0rd@127.0.0.1:9/t0k3n")
    with pytest.raises(TransientError) as failure:
        await sink.write([alert()])
    said = f"{failure.value} {sink.remark()} {hub.logged.entries} {capfd.readouterr()}"
    assert "s3cr3tw0rd" not in said
    assert "t0k3n" not in said


async def test_old_news_is_left_out_and_that_is_said() -> None:
    clock = FakeClock()
    await clock.advance(3700)
    with listening() as (url, heard):
        sink, _ = notifier(url, clock=clock)
        await sink.write([alert()])
    assert heard == []
    assert sink.remark() == "1 alerts could not be delivered within 60 min and were left out"


async def test_in_quiet_hours_only_what_is_critical_is_delivered() -> None:
    with listening() as (url, heard):
        sink, _ = notifier(url, quiet={"begin": "23:00", "end": "06:00"})
        await sink.write([alert("asleep"), alert("fire", severity="critical")])
    assert [each["message"] for each in heard] == ["fire"]


async def test_an_url_that_is_none_is_named_by_its_place() -> None:
    sink, _ = notifier("nonsense")
    with pytest.raises(SettingsError, match=r"plugins\.alerts\.urls\.0"):
        await sink.write([alert()])


async def test_without_targets_nothing_fails() -> None:
    sink, _ = notifier()
    await sink.write([alert()])
    assert sink.remark() is None
