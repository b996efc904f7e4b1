"""Every row of the benchmark, one after the other, in one table: `python -m bench [ROW,ROW...]`.

A module of this folder with a function `rows()` is in it. Figures are of one machine at one hour: what stands beside them counts.
"""

import importlib
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.plot import plot
from bench.row import Row

FOLDER = Path(__file__).parent
RESULTS, PLOT = FOLDER / "results.json", FOLDER / "results.svg"
WIDTH = 180
"""Columns, where no terminal says how many it has."""


def names() -> list[str]:
    """The modules that have rows."""
    return sorted(file.stem for file in FOLDER.glob("*.py") if "\ndef rows(" in file.read_text(encoding="utf-8"))


def table(rows: Sequence[Row], caption: str) -> Table:
    """The rows for people."""
    shown = Table("row", "ours", "beside it", "ratio", "target", "of it", "note", caption=caption, caption_justify="left")
    for row in rows:
        reached = "" if row.reached is None else f"[{'green' if row.met else 'red'}]{100 * row.reached:,.0f} %[/]"
        yardstick = "" if row.yardstick is None else f"{number(row.yardstick)} {row.unit}, {row.beside}"
        shown.add_row(
            row.name,
            f"{number(row.ours)} {row.unit}",
            yardstick,
            "" if row.ratio is None else f"{row.ratio:.2f}",
            row.target,
            reached,
            row.note,
        )
    return shown


def number(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _keep(rows: Sequence[Row], machine: str, load: Sequence[str]) -> None:
    """The figures, for programs and for the eye."""
    plot(rows, machine, PLOT)
    every = [asdict(row) | {"target": row.target, "met": row.met, "reached": row.reached} for row in rows]
    RESULTS.write_text(
        json.dumps({"day": f"{datetime.now(UTC).date()}", "machine": machine, "load": load, "rows": every}, indent=2) + "\n",
        encoding="utf-8",
    )


def main(arguments: Sequence[str]) -> None:
    """Measure, show, and leave the figures in results.json and results.svg."""
    known = names()
    chosen = [name for argument in arguments for name in argument.split(",") if name] or known
    if unknown := [name for name in chosen if name not in known]:
        raise SystemExit(f"no such row: {', '.join(unknown)}; there are: {', '.join(known)}")
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()} {platform.release()}"
    load = [f"{os.getloadavg()[0]:.1f}"]
    rows: list[Row] = []
    console = Console(stderr=True)
    for name in chosen:
        with console.status(f"{name} ..."):
            rows += importlib.import_module(f"bench.{name}").rows()
        _keep(rows, machine, load)  # after each: all of them take an hour
    load.append(f"{os.getloadavg()[0]:.1f}")
    caption = f"{machine}; load {' before, '.join(load)} after. On a busy machine the bounds are harder to keep; the ratios hardly change."
    Console(width=None if sys.stdout.isatty() else WIDTH).print(table(rows, caption))
    _keep(rows, machine, load)


if __name__ == "__main__":
    main(sys.argv[1:])
