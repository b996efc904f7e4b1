"""The table as a picture: how much of each promise is reached."""

from collections.abc import Sequence
from pathlib import Path

from bench.row import Row

GREEN, RED = "#2e7d32", "#c62828"
LEAST = 0.05
"""Shorter bars are not drawn shorter."""


def plot(rows: Sequence[Row], machine: str, file: Path) -> None:
    """A bar for every row that has a target, on a logarithmic axis; 1 is where a promise is just kept."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.fonttype"] = "none"
    from matplotlib import pyplot

    promised = [row for row in rows if row.reached is not None][::-1]
    figure, axes = pyplot.subplots(figsize=(10, 1.2 + 0.3 * len(promised)))
    names = [f"{row.name} ({row.beside})" if row.beside else row.name for row in promised]
    reached = [max(LEAST, row.reached or 0.0) for row in promised]
    axes.barh(range(len(promised)), [value - 1.0 for value in reached], left=1.0, color=[GREEN if row.met else RED for row in promised])
    axes.set_yticks(range(len(promised)), names, fontsize=8)
    axes.set_xscale("log")
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xlabel(f"times the target; right of 1: kept. {machine}", fontsize=8)
    figure.tight_layout()
    figure.savefig(file)
    pyplot.close(figure)
