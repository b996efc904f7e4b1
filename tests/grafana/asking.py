"""Fills in a board's queries as Grafana does, and asks them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.grafana.day import DAY, HOUR, MINUTE
from tests.influx import Influx

ROOT = Path(__file__).parents[2] / "grafana"
BOARDS = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted((ROOT / "dashboards").glob("*.json"))}
LENGTHS = {"m": MINUTE, "h": HOUR, "d": DAY, "y": 365 * DAY}
MOST_POINTS = 1000
DATABASES = {"tickerml": "", "tickerml-long": "_long"}
"""Data source -> what follows the name of the database."""


@dataclass(frozen=True)
class Series:
    """One series of an answer."""

    tags: dict[str, str]
    columns: list[str]
    values: list[list[Any]]


def ask(influx: Influx, database: str, query: str) -> list[Series]:
    """The series as Grafana gets them, times in ms; InfluxDB's own words where it does not understand."""
    answer = httpx.post(f"{influx.url}/query", data={"db": database, "q": query, "epoch": "ms"}, timeout=30, trust_env=False).json()
    assert "results" in answer, (answer, query)
    [result] = answer["results"]
    assert "error" not in result, (result, query)
    return [Series(one.get("tags", {}), one["columns"], one["values"]) for one in result.get("series", [])]


def fill(influx: Influx, database: str, lines: list[str]) -> None:
    """Make a database, and write lines to it."""
    ask(influx, "", f'CREATE DATABASE "{database}"')
    for start in range(0, len(lines), 5000):
        answer = influx.write("\n".join(lines[start : start + 5000]), database)
        assert answer.status_code == 204, answer.text


@dataclass(frozen=True)
class Question:
    """One query of one panel."""

    board: str
    panel: dict[str, Any]
    target: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.board}: {self.panel['title']} {self.target['refId']}"


def questions() -> Iterator[Question]:
    for name, board in BOARDS.items():
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                yield Question(name, panel, target)


def ask_panel(influx: Influx, database: str, question: Question, now: int, **chosen: str) -> list[Series]:
    """The answer, with the board's own time range and the variables' first choice, as when one opens it, or with what is `chosen`."""
    board = BOARDS[question.board]
    since, until = _range(board["time"], question.panel, now)
    step = max(_length(question.panel.get("interval", "1ms")), (until - since) // MOST_POINTS)
    query = question.target["query"]
    query = query.replace("$timeFilter", f"time >= {since}ms and time <= {until}ms").replace("$__interval", f"{step}ms")
    for variable in board["templating"]["list"]:
        name = variable["name"]
        value = regex([chosen[name]]) if name in chosen else _first(influx, database, variable)
        query = query.replace(f"${{{name}:regex}}", value)
    assert "$" not in re.sub(r"\$/", "", query), f"not filled in: {query}"
    return ask(influx, database + DATABASES[question.target["datasource"]["uid"]], query)


def options(influx: Influx, database: str, variable: dict[str, Any]) -> list[str]:
    """What the user can choose from, sorted as asked."""
    found = [str(row[1]) for series in ask(influx, database, variable["query"]) for row in series.values]
    return sorted(found, key=float) if variable["sort"] == 3 else sorted(found)


def _first(influx: Influx, database: str, variable: dict[str, Any]) -> str:
    """All, in the words of the variable; or else the first, escaped as for a regular expression; or nothing."""
    if variable["includeAll"]:
        return str(variable["allValue"])
    found = options(influx, database, variable)
    return regex(found[:1])


def regex(values: list[str]) -> str:
    """Grafana's format of this name: special letters escaped, several in brackets."""
    escaped = [re.sub(r"[\\^$*+?.()|[\]{}/]", r"\\\g<0>", value) for value in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def _range(written: dict[str, str], panel: dict[str, Any], now: int) -> tuple[int, int]:
    since, until = _moment(written["from"], now), _moment(written["to"], now)
    if "timeFrom" in panel:
        since, until = now - _length(panel["timeFrom"]), now
    if "timeShift" in panel:
        back, unit = re.fullmatch(r"(\d+[mhd])/([mhd])", panel["timeShift"]).groups()  # type: ignore[union-attr]
        length = LENGTHS[unit]
        since = (since - _length(back)) // length * length
        until = (until - _length(back)) // length * length + length - 1
    return since, until


def _moment(text: str, now: int) -> int:
    match = re.fullmatch(r"now(?:([+-])(\d+\w))?", text)
    assert match, text
    return now + (_length(match[2]) * (1 if match[1] == "+" else -1) if match[1] else 0)


def _length(text: str) -> int:
    match = re.fullmatch(r"(\d+)(ms|\w)", text)
    assert match, text
    return int(match[1]) * (1 if match[2] == "ms" else LENGTHS[match[2]])
