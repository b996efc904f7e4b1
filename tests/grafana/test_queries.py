"""Every query of every panel and variable, asked of a real InfluxDB after a day of a hub, and after its first hour."""

import re
from functools import reduce
from typing import Any

import pytest

from tests.grafana.asking import BOARDS, Question, Series, ask, ask_panel, options, questions, regex
from tests.grafana.day import HORIZONS, SCHEMA, SYMBOLS
from tests.influx import Influx

QUESTIONS = list(questions())
EVERY_HUB_HAS = {"bar", "plugin", "hub"}
WORDS = re.compile(r"""'[^']*'|"([^"]*)"|/(?:\\.|[^/])+/""")


def tables(query: str) -> set[str]:
    return set(re.findall(r'FROM\s+"(\w+)"', query))


def unwritten(query: str) -> set[str]:
    """Names in a query that nobody writes, but for those that its own subquery gives."""
    given = set(re.findall(r'AS\s+"([^"]+)"', query)) if "(SELECT" in query else set()
    [table] = tables(query)
    tags, fields = SCHEMA[table]
    named = {word for word in WORDS.findall(re.sub(r'AS\s+"[^"]+"', "", query)) if word}
    return named - given - tags - fields - {table}


def columns(panel: dict[str, Any], found: list[Series]) -> set[str]:
    """What a column or a line is called in the panel."""
    names = {name for series in found for name in (*series.columns[1:], *series.tags)}
    for alias in (target.get("alias", "") for target in panel["targets"]):
        names |= {reduce(lambda text, tag: text.replace(f"$tag_{tag[0]}", tag[1]), series.tags.items(), alias) for series in found}
    return names | {"Time"}


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_a_query_names_only_what_is_written(question: Question) -> None:
    """A field that nobody writes is no error in InfluxQL: the panel would stay empty for ever."""
    assert unwritten(question.target["query"]) == set()


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_every_query_answers_after_a_day(influx: Influx, now: int, question: Question) -> None:
    """With values, and as many rows as the panel's kind needs."""
    found = ask_panel(influx, "full", question, now)
    assert found
    for number, column in enumerate(found[0].columns[1:], 1):
        assert any(row[number] is not None for series in found for row in series.values), column
    for series in found:
        if "GROUP BY time" in question.target["query"] and 'sum("missing")' not in question.target["query"]:
            assert len(series.values) > 1
        if question.panel["type"] in {"stat", "gauge"}:
            assert len(series.values) == 1
    if question.panel["type"] == "candlestick":
        assert {"open", "high", "low", "close", "volume"} <= set(found[0].columns)


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_the_first_hour_shows_figures_or_words(influx: Influx, now: int, question: Question) -> None:
    """A hub without forecasts, scores and news has no panel that looks broken."""
    found = ask_panel(influx, "young", question, now)
    if not found:
        words = question.panel["fieldConfig"]["defaults"]["noValue"]
        assert len(words) > 3
        assert words != "No data"
    young = tables(question.target["query"]) <= EVERY_HUB_HAS and question.target["datasource"]["uid"] == "tickerml"
    if young and "fallback" not in question.target["query"]:
        assert found


@pytest.mark.parametrize(
    "panel", [panel for board in BOARDS.values() for panel in board["panels"] if "targets" in panel], ids=lambda panel: panel["title"]
)
def test_every_override_meets_a_column(influx: Influx, now: int, panel: dict[str, Any]) -> None:
    """A misspelt name in an override is no error in Grafana: the unit would silently be missing."""
    mine = [question for question in QUESTIONS if question.panel is panel]
    names = set().union(*(columns(panel, ask_panel(influx, "full", question, now)) for question in mine))
    for override in panel["fieldConfig"]["overrides"]:
        wanted = override["matcher"]["options"]
        pattern = wanted.strip("/") if override["matcher"]["id"] == "byRegexp" else f"^{re.escape(wanted)}$"
        assert any(re.search(pattern, name) for name in names), (wanted, names)


def test_the_variables_offer_what_is_there(influx: Influx) -> None:
    """Horizons by number, not by letter."""
    offered = {variable["name"]: options(influx, "full", variable) for board in BOARDS.values() for variable in board["templating"]["list"]}
    assert offered == {"symbol": list(SYMBOLS), "horizon": [str(horizon) for horizon in HORIZONS], "asset": ["BTC", "ETH"]}


def test_missing_minutes_are_counted_hour_by_hour(influx: Influx, now: int) -> None:
    """A hundred are missing, an hour of them whole; only whole hours count, one more than the day has."""
    [question] = [question for question in QUESTIONS if question.panel["title"] == "Minutes missing, by the hour"]
    [series] = ask_panel(influx, "full", question, now, symbol="ETH-USDT")
    missing = [row[1] for row in series.values]
    assert (len(missing), sum(missing)) == (25, 100)
    [whole] = ask_panel(influx, "full", question, now, symbol="BTC-USDT")
    assert sum(row[1] for row in whole.values) == 0


def test_an_odd_symbol_does_not_break_the_regular_expression(influx: Influx) -> None:
    """Several choices, and letters that mean something to it."""
    assert regex(["BTC-USDT", "A.B/C"]) == r"(BTC-USDT|A\.B\/C)"
    [series] = ask(influx, "full", f'SELECT count("close") FROM "bar" WHERE "symbol" =~ /^{regex(["BTC-USDT", "A.B/C"])}$/')
    assert series.values[0][1] == 1800


def test_a_link_to_a_headline_is_never_a_script(influx: Influx, now: int) -> None:
    """Headlines are untrusted: what is no web address is not shown."""
    [question] = [question for question in QUESTIONS if question.panel["title"] == "Headlines"]
    [series] = ask_panel(influx, "full", question, now)
    urls = [row[series.columns.index("url")] for row in series.values]
    assert len(urls) == 48
    assert all(url.startswith("https://") for url in urls)
