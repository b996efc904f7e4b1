"""The alert rules: each is evaluated as Grafana does, on a database where it must fire and on one where it must not."""

import itertools
import re
import time
from collections.abc import Iterable
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.models.alerting import Query, Rule

from tests.grafana import day
from tests.grafana.asking import BOARDS, ROOT, ask, fill
from tests.grafana.day import DAY, HOUR, MINUTE, SCHEMA, Told, written
from tests.grafana.test_queries import tables, unwritten
from tests.influx import Influx

FILE = ROOT / "provisioning" / "alerting" / "rules.yaml"
[GROUP] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["groups"]
RULES = {rule["uid"].removeprefix("tickerml-"): rule for rule in GROUP["rules"]}
EVALUATORS = {"lt": lambda value, limit: value < limit, "gt": lambda value, limit: value > limit}
numbers = itertools.count()


@pytest.fixture
def present() -> int:
    """This minute, and not the simulated day's: a rule's query asks for the present itself."""
    return int(time.time()) // 60 * MINUTE


def fired(influx: Influx, rule: dict[str, Any], told: Iterable[Told]) -> list[dict[str, str]] | str:
    """The labels of each series that fires; or what the rule makes of no data."""
    database = f"alerts{next(numbers)}"
    fill(influx, database, written(told))
    question, reduce, compare = (step["model"] for step in rule["data"])
    assert (reduce["type"], reduce["expression"], compare["type"], compare["expression"]) == ("reduce", "A", "threshold", "B")
    assert reduce["reducer"] == "last"
    found = ask(influx, database, question["query"])
    if not found:
        return str(rule["noDataState"])
    evaluator = compare["conditions"][0]["evaluator"]
    newest = [(series.tags, [row[1] for row in series.values if row[1] is not None][-1]) for series in found]
    return [tags for tags, value in newest if EVALUATORS[evaluator["type"]](value, *evaluator["params"])]


def until(told: Iterable[Told], symbol: str, end: int) -> list[Told]:
    """Without what was told of `symbol` from `end` on."""
    return [(message, at) for message, at in told if getattr(message, "symbol", None) != symbol or at < end]


def test_one_symbol_without_bars_fires_for_itself(influx: Influx, present: int) -> None:
    """The other's bars do not hide it; a late minute or two are no alarm."""
    rule, bars = RULES["bars-stale"], list(day.bars(present, 30 * 60))
    assert fired(influx, rule, bars) == []
    assert fired(influx, rule, until(bars, "ETH-USDT", present - 3 * MINUTE)) == []
    assert fired(influx, rule, until(bars, "ETH-USDT", present - 12 * MINUTE)) == [{"symbol": "ETH-USDT"}]
    assert fired(influx, rule, []) == "Alerting"


def test_a_failed_plugin_fires_by_name(influx: Influx, present: int) -> None:
    """And silence of all is left to the rule that hears it: one outage, one alarm."""
    rule = RULES["plugin-failed"]
    assert fired(influx, rule, day.plugins(present, 30)) == []
    assert fired(influx, rule, day.plugins(present, 30, failed="collector")) == [{"name": "collector"}]
    assert fired(influx, rule, []) == "OK"


def test_influxdb_behind_or_silent_fires(influx: Influx, present: int) -> None:
    """After fifteen minutes."""
    rule = RULES["influxdb-behind"]
    assert fired(influx, rule, day.plugins(present, 30)) == []
    assert fired(influx, rule, day.plugins(present, 30, lag_s=901.0)) == [{}]
    assert fired(influx, rule, day.plugins(present - 20 * MINUTE, 30)) == "Alerting"


def test_only_a_confident_live_forecast_fires(influx: Influx, present: int) -> None:
    """A shadow's confidence is nobody's business yet, and no forecast at all is no alarm."""
    rule = RULES["forecast-confident"]
    assert fired(influx, rule, [day.forecast(present, confidence=0.29)]) == []
    assert fired(influx, rule, [day.forecast(present, confidence=0.31)]) == [{"symbol": "BTC-USDT", "horizon": "5"}]
    assert fired(influx, rule, [day.forecast(present, model=day.SHADOW, confidence=0.9)]) == "OK"
    assert fired(influx, rule, [day.forecast(present - 20 * MINUTE, confidence=0.9)]) == "OK"


def test_a_week_below_zero_fires_and_a_good_hour_saves(influx: Influx, present: int) -> None:
    """A hub with five bad days has not had a bad week."""
    rule = RULES["skill-below-zero"]
    bad = list(day.scores(present, -0.01, ("BTC-USDT",)))
    assert fired(influx, rule, [*bad, *day.scores(present, 0.01, ("ETH-USDT",))]) == [
        {"symbol": "BTC-USDT", "horizon": horizon} for horizon in ("10", "30", "5")
    ]
    assert fired(influx, rule, [(message, at) for message, at in bad if at > present - 5 * DAY]) == []
    good = [day.score(present - back * DAY + MINUTE, "BTC-USDT", 5, skill=0.01) for back in (2, 4)]
    assert fired(influx, rule, [*bad, *good]) == [{"symbol": "BTC-USDT", "horizon": horizon} for horizon in ("10", "30")]
    assert fired(influx, rule, []) == "OK"


def test_a_rollback_fires_and_other_alerts_do_not(influx: Influx, present: int) -> None:
    """The rule reads the inference plugin's own words."""
    rule = RULES["model-rolled-back"]
    assert fired(influx, rule, [day.alert(present, "inference", "model patch 4 was Rolled back: NaN")]) == [{"symbol": "BTC-USDT"}]
    assert fired(influx, rule, [day.alert(present, "volatility", "rolled back")]) == "OK"
    assert fired(influx, rule, [day.alert(present, "inference", "model patch 4 is live")]) == "OK"
    assert fired(influx, rule, [day.alert(present - 2 * HOUR, "inference", "model patch 4 was rolled back")]) == "OK"


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_a_rule_names_only_what_is_written(rule: dict[str, Any]) -> None:
    """A field that nobody writes would be silence for ever."""
    assert unwritten(rule["data"][0]["model"]["query"]) == set()


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_a_rule_is_whole(rule: dict[str, Any]) -> None:
    """Errors alarm; it looks back as far as its query; it leads to a panel of the same measurement; it says what happened."""
    query = rule["data"][0]["model"]["query"]
    assert rule["execErrState"] == "Alerting"
    assert rule["noDataState"] == ("Alerting" if rule["uid"] in {"tickerml-bars-stale", "tickerml-influxdb-behind"} else "OK")
    count, unit = re.search(r"now\(\) - (\d+)([mhd])", query).groups()  # type: ignore[union-attr]
    assert rule["data"][0]["relativeTimeRange"] == {"from": int(count) * {"m": 60, "h": 3600, "d": 86400}[unit], "to": 0}
    texts = rule["annotations"]
    assert (texts["__dashboardUid__"], texts["__panelId__"]) == (rule["dashboardUid"], str(rule["panelId"]))
    [board] = [board for board in BOARDS.values() if board["uid"] == rule["dashboardUid"]]
    [panel] = [panel for panel in board["panels"] if panel["id"] == rule["panelId"]]
    assert tables(panel["targets"][0]["query"]) == tables(query)
    for label in re.findall(r"\.Labels\.(\w+)", texts["summary"]):
        assert label in SCHEMA[tables(query).pop()][0]
        assert label in query.split("GROUP BY")[-1]


def test_the_rules_know_no_dollar() -> None:
    """Grafana reads `$x` of a provisioning file from its environment: in some fields, in some versions."""
    lines = FILE.read_text(encoding="utf-8").splitlines()
    assert not [line for line in lines if "$" in line]


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_a_rule_fits_grafanas_own_types(rule: dict[str, Any]) -> None:
    """A misspelt key would be ignored by Grafana without a word."""
    unknown = set(rule) - set(Rule.from_json(rule).to_json())
    assert unknown == {"dashboardUid", "panelId", "notification_settings"}, "keys of the file format, and one younger than the types"
    for step in rule["data"]:
        assert set(step) == set(Query.from_json(step).to_json())
