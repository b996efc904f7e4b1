"""A board's layout as text, to look at without a Grafana: one cell of the grid is two columns wide."""

from typing import Any


def drawn(content: dict[str, Any]) -> str:
    """Boxes with their titles, where the panels stand."""
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in content["panels"])
    canvas = [[" "] * 97 for _ in range(height + 1)]
    for panel in content["panels"]:
        _box(canvas, panel["gridPos"], f"{panel['title']} ({panel['type']})")
    return "\n".join("".join(row).rstrip() for row in canvas)


def _box(canvas: list[list[str]], at: dict[str, int], label: str) -> None:
    left, right, top, bottom = at["x"] * 4, (at["x"] + at["w"]) * 4, at["y"], at["y"] + at["h"]
    for x in range(left, right + 1):
        canvas[top][x] = canvas[bottom][x] = "-"
    for y in range(top, bottom + 1):
        canvas[y][left] = canvas[y][right] = "+" if y in {top, bottom} else "|"
    for place, letter in enumerate(label[: right - left - 2]):
        canvas[top + (bottom - top) // 2][left + 2 + place] = letter
