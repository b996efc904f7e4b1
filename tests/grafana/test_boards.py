"""The boards as files: generated and committed are the same, nothing overlaps, everything is explained."""

import json
import re
from itertools import combinations
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.common import GraphFieldConfig, TableFieldOptions
from grafana_foundation_sdk.models.dashboard import Dashboard, FieldConfig

from grafana.boards.draw import drawn
from grafana.boards.render import BOARDS as BUILDERS
from grafana.boards.render import rendered
from tests.grafana.asking import BOARDS, DATABASES, ROOT

PANELS = [(name, panel) for name, board in BOARDS.items() for panel in board["panels"] if panel["type"] != "row"]
NAMES = [f"{name}: {panel['title']}" for name, panel in PANELS]
SOURCES = [ROOT / "provisioning" / folder / "tickerml.yaml" for folder in ("datasources", "datasources-v1")]


def lost(mine: Any, theirs: Any, where: str = "") -> list[str]:
    """What of `mine` is not in `theirs`."""
    if isinstance(mine, dict):
        if not isinstance(theirs, dict):
            return [where]
        return [
            item
            for key, value in mine.items()
            for item in (lost(value, theirs[key], f"{where}.{key}") if key in theirs else [f"{where}.{key}"])
        ]
    if isinstance(mine, list):
        if not isinstance(theirs, list) or len(mine) != len(theirs):
            return [where]
        return [item for index, (one, other) in enumerate(zip(mine, theirs, strict=True)) for item in lost(one, other, f"{where}[{index}]")]
    return [] if mine == theirs else [where]


@pytest.mark.parametrize("name", BUILDERS)
def test_the_committed_board_is_what_its_code_makes(name: str) -> None:
    """Run `make dashboards` after a change; a board that is edited by hand would be lost with the next."""
    assert (ROOT / "dashboards" / f"{name}.json").read_text(encoding="utf-8") == rendered(BUILDERS[name]())
    assert set(BUILDERS) == set(BOARDS)


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_fits_grafanas_own_types(name: str) -> None:
    """Read into the types made from Grafana's schema and written again, nothing is lost: no key is misspelt."""
    register_default_plugins()
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(BOARDS[name])))
    assert [item for item in lost(BOARDS[name], again) if not re.search(r"\.targets\[\d+\]", item)] == []


def test_a_misspelt_key_is_found() -> None:
    """The test above would be worth nothing if the types let everything through."""
    register_default_plugins()
    board = json.loads(json.dumps(BOARDS["market"]))
    board["panels"][6]["options"]["candelStyle"] = "candles"
    board["panels"][7]["fieldConfig"]["defaults"]["custom"]["drawStlye"] = "bars"
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(board)))
    assert {item.split(".")[-1] for item in lost(board, again) if "targets" not in item} == {"candelStyle", "drawStlye"}


def test_every_override_is_one_that_grafana_knows() -> None:
    """It ignores the others without a word."""
    own = {"timeseries": GraphFieldConfig, "table": TableFieldOptions}
    for _, panel in PANELS:
        for prop in (prop for override in panel["fieldConfig"]["overrides"] for prop in override["properties"]):
            kind = own[panel["type"]] if prop["id"].startswith("custom.") else FieldConfig
            name = prop["id"].removeprefix("custom.")
            assert name in kind.from_json({name: prop["value"]}).to_json(), (panel["title"], prop)


def test_every_id_is_used_once() -> None:
    """Two boards with one uid overwrite each other."""
    assert len({board["uid"] for board in BOARDS.values()}) == len(BOARDS) == len({board["title"] for board in BOARDS.values()})
    for board in BOARDS.values():
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
        for panel in board["panels"]:
            letters = [target["refId"] for target in panel.get("targets", [])]
            assert letters == list("ABCDEF"[: len(letters)])


@pytest.mark.parametrize("name", BOARDS)
def test_no_panel_lies_on_another(name: str) -> None:
    """Nor leaves the grid of 24 columns, nor a hole in a row."""
    places = [panel["gridPos"] for panel in BOARDS[name]["panels"]]
    for one, other in combinations(places, 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"], (one, other)
    covered = sum(place["w"] * place["h"] for place in places)
    assert covered == 24 * max(place["y"] + place["h"] for place in places)


def test_the_drawing_shows_every_title() -> None:
    """What `make dashboards` prints is the board."""
    text = drawn(BOARDS["accuracy"])
    assert all(panel["title"] in text for panel in BOARDS["accuracy"]["panels"])


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=NAMES)
def test_a_panel_explains_itself(name: str, panel: dict[str, Any]) -> None:
    """Title, a sentence, a unit and decimals for numbers, words for the time before there is data."""
    defaults = panel["fieldConfig"]["defaults"]
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert defaults["noValue"]
    assert defaults["unit"]
    if defaults["unit"] not in {"string", "dateTimeFromNow"}:
        assert "decimals" in defaults
    if (
        panel["type"] in {"stat", "gauge"}
        and defaults["unit"] != "dateTimeFromNow"
        and panel["title"] not in {"Last close", "Bought", "Broker"}
    ):
        assert len(defaults["thresholds"]["steps"]) > 1


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.parent.name)
def test_every_panel_has_its_data_source_in_either_flavour(file: Any) -> None:
    """The uid is what boards and rules hold on to; it never changes."""
    given = {source["uid"]: source for source in yaml.safe_load(file.read_text(encoding="utf-8"))["datasources"]}
    asked = {target["datasource"]["uid"] for _, panel in PANELS for target in panel["targets"]} | {
        panel["datasource"]["uid"] for _, panel in PANELS
    }
    asked |= {variable["datasource"]["uid"] for board in BOARDS.values() for variable in board["templating"]["list"]}
    assert asked == set(given) == set(DATABASES)
    for uid, source in given.items():
        assert source["jsonData"]["dbName"] == "tickerml" + DATABASES[uid]
        assert source["type"] == "influxdb"


def test_every_link_leads_to_a_board() -> None:
    """The boards find each other by their tag; the only other links are the headlines' own."""
    for board in BOARDS.values():
        [link] = board["links"]
        assert set(link["tags"]) <= set(board["tags"])
        assert link["type"] == "dashboards"
    linked = [
        prop["value"]
        for _, panel in PANELS
        for override in panel["fieldConfig"]["overrides"]
        for prop in override["properties"]
        if prop["id"] == "links"
    ]
    assert [one["url"] for links in linked for one in links] == ["${__data.fields.url:raw}"]


def test_a_variable_that_is_offered_is_used() -> None:
    """And one that is used is offered."""
    for board in BOARDS.values():
        used = {
            name for panel in board["panels"] for target in panel.get("targets", []) for name in re.findall(r"\$\{(\w+)", target["query"])
        }
        assert used == {variable["name"] for variable in board["templating"]["list"]}


def test_the_page_tells_of_every_board_and_rule() -> None:
    """By the names that Grafana shows."""
    page = (ROOT.parent / "docs" / "grafana.md").read_text(encoding="utf-8")
    rules = yaml.safe_load((ROOT / "provisioning/alerting/rules.yaml").read_text(encoding="utf-8"))["groups"][0]["rules"]
    assert [
        name for name in (*(board["title"] for board in BOARDS.values()), *(rule["title"] for rule in rules)) if f"| {name} |" not in page
    ] == []
