"""Takes the last `make bench` into the documentation: `python -m bench.record` writes docs/benchmarks.md and its picture.

What it is made from stays in bench/record.json.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.__main__ import PLOT, RESULTS, number

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "bench" / "record.json"
PAGE, PICTURE = ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "images" / "benchmarks.svg"
WORDS = """# How fast and how small

`make bench` measures all of this on your own machine, and prints this table. Each figure stands beside what you would take instead, or
beside the least that can be done. Most are measured in turns in the same run, and the medians count, so a busy machine hits both.
`python -m bench ROW` measures one part; `make peers` installs what stands beside (Freqtrade and Home Assistant, each in a venv of its own).

The run below: {day}, {machine}; {kept} of {promised} targets are kept. Where one is missed, the note says what stands in the way. {apart}

![How much of each target is reached](images/benchmarks.svg)

| | ours | beside it | ratio | target | note |
|---|---|---|---|---|---|
{rows}
"""


def page(record: Mapping[str, Any]) -> str:
    """The whole page."""
    promised = [row for row in record["rows"] if row["met"] is not None]
    kept = sum(row["met"] for row in promised)
    rows = "\n".join(map(_line, record["rows"]))
    return WORDS.format(
        day=record["day"], machine=record["machine"], kept=kept, promised=len(promised), apart=record.get("apart", ""), rows=rows
    )


def _line(row: Mapping[str, Any]) -> str:
    beside = "" if row["yardstick"] is None else f"{number(row['yardstick'])} {row['unit']}, {row['beside']}"
    target = row["target"] if row["met"] is not False else f"**{row['target']}: missed**"
    cells = (
        row["name"],
        f"{number(row['ours'])} {row['unit']}",
        beside,
        "" if row["ratio"] is None else f"{row['ratio']:.2f}",
        target,
        row["note"],
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """From results.json and results.svg."""
    record = json.loads(RESULTS.read_text(encoding="utf-8"))
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(record), encoding="utf-8")
    shutil.copyfile(PLOT, PICTURE)


if __name__ == "__main__":
    main()
