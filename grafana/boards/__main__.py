"""Writes every board to grafana/dashboards/, and draws the layout of those that have changed."""

import json
from pathlib import Path

from grafana.boards.draw import drawn
from grafana.boards.render import BOARDS, rendered

FOLDER = Path(__file__).parents[1] / "dashboards"


def main() -> None:
    for name, build in BOARDS.items():
        file, text = FOLDER / f"{name}.json", rendered(build())
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
            print(f"{file}\n{drawn(json.loads(text))}")


if __name__ == "__main__":
    main()
