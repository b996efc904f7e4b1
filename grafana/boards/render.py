"""A board as the file that Grafana reads: numbered panels, lettered queries, nothing that says nothing."""

import json
from collections.abc import Callable
from string import ascii_uppercase
from typing import Any

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.boards.accuracy import accuracy
from grafana.boards.forecasts import forecasts
from grafana.boards.health import health
from grafana.boards.market import market
from grafana.boards.news import news

BOARDS: dict[str, Callable[[], Dashboard]] = {
    "market": market,
    "forecasts": forecasts,
    "accuracy": accuracy,
    "news": news,
    "health": health,
}


def rendered(board: Dashboard) -> str:
    """The board's JSON text, the same at every run."""
    content: dict[str, Any] = json.loads(JSONEncoder().encode(board.build()))
    content.pop("style", None)
    content["annotations"] = {"list": []}
    content.setdefault("templating", {}).setdefault("list", [])
    for number, panel in enumerate(content["panels"], 1):
        panel["id"] = number
        for name in ("repeatDirection", "transparent", "transformations"):
            panel.pop(name, None)
        if panel.get("options", {}) is None:
            panel["options"] = {}
        for letter, target in zip(ascii_uppercase, panel.get("targets", []), strict=False):
            target["refId"] = letter
    for variable in content["templating"]["list"]:
        for name in ("id", "auto", "auto_min", "auto_count"):
            variable.pop(name, None)
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
