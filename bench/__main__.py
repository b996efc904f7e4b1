"""`make bench`: every row beside its yardstick, in one run; the table on stdout, and bench/results.json.

`make bench ROWS=bus,backfill` measures only these. A row is a module of this folder with a function `rows()`.
"""

import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.row import Row

ROWS = ("backfill", "bus", "start", "memory", "idle", "help", "disk", "influx", "features", "windows")
RESULTS = Path(__file__).parent / "results.json"


def table(found: list[Row]) -> Table:
    """What, ours, the yardstick's, their ratio, the promise, and whether it is kept."""
    made = Table("what", "ours", "yardstick", "ratio", "target", "met", title="TickerML beside what stands beside it")
    for row in found:
        beside = "" if row.yardstick is None else f"{row.yardstick:,.4g}  {row.beside}"
        met = {True: "yes", False: "[red]no[/red]", None: ""}[row.met]
        made.add_row(row.name, f"{row.ours:,.4g} {row.unit}", beside, "" if row.ratio is None else f"{row.ratio:.2f}", row.target, met)
    return made


def main(names: list[str]) -> int:
    """Measure, print, and say by the exit code whether a module broke; a missed target is told, not an error."""
    if unknown := [name for name in names if name not in ROWS]:
        print(f"no such row: {', '.join(unknown)}; there are: {', '.join(ROWS)}", file=sys.stderr)
        return 2
    found: list[Row] = []
    for name in names or ROWS:
        print(f"{name} ...", file=sys.stderr)
        found += importlib.import_module(f"bench.{name}").rows()
    Console(width=150).print(table(found))
    for row in found:
        if row.note:
            print(f"{row.name}: {row.note}")
    RESULTS.write_text(
        json.dumps([asdict(row) | {"target": row.target, "met": row.met} for row in found], indent=1) + "\n", encoding="utf-8"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main([name for word in sys.argv[1:] for name in word.split(",") if name]))
