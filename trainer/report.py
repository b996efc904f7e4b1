"""The HTML report of an evaluation: tables, and plots that show where a model helps and where not. One file, nothing from elsewhere."""

import base64
import html
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hub.market.outcome import HORIZONS
from trainer import metrics
from trainer.dataset import Dataset, build_dataset
from trainer.evaluate import FAR, Evaluation, evaluate_file, evaluate_run, window_of
from trainer.forecasts import Forecasts
from trainer.run import Run, write_text
from trainer.series import load
from trainer.starter import STARTER, starter_file
from trainer.table import POOLED

mpl.use("svg")
_STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em}table{border-collapse:collapse}"
    "td,th{padding:.2em .7em;text-align:right;border-bottom:1px solid #ddd}th:first-child,td:first-child{text-align:left}img{width:100%}"
)
_COLUMNS = ("n", "auc", "mse_skill", "brier_skill", "ece", "coverage80", "ic", "hit_rate_top_decile", "return_after_cost_top_decile")
USUAL_DATA = Path("data")
DAY_MS = 86_400_000
HOUR_MS = 3_600_000


def reported(name: str, source: Path | None, first: int = 0, last: int = FAR) -> tuple[Evaluation, Path]:
    """Evaluate a run, a model file or the starter model on windows that open in [first, last) ms, and write the page beside it.

    `source`: the folder of bars, if not the run's own.
    """
    if name == STARTER or name.endswith(".onnx"):
        file = starter_file() if name == STARTER else Path(name)
        data = build_dataset(load(source or USUAL_DATA), window_of(file))
        found, page = evaluate_file(file, data, first, last), Path(f"{STARTER}.html") if name == STARTER else file.with_suffix(".html")
    else:
        run = Run.named(name)
        data = build_dataset(load(source or run.data), run.spec().window)
        found, page = evaluate_run(run, data, first, last), run.folder / "report.html"
        run.write("evaluation.json", found.table)
    return found, write_text(page, report(data, found))


def report(data: Dataset, evaluation: Evaluation) -> str:
    """The whole page."""
    table = evaluation.table
    parts = [f"<h1>{html.escape(table['run'])}</h1><p>{table['from']} to {table['to']}, out of sample.</p>", verdict(table)]
    parts += [f"<p>{html.escape(note)}</p>" for note in evaluation.notes]
    parts += [_regimes(table)]
    for symbol, horizons in table["symbols"].items():
        parts.append(f"<h2>{html.escape('both symbols' if symbol == POOLED else symbol)}</h2>")
        parts += [_rows(f"{horizon} minutes", entry) for horizon, entry in horizons.items()]
    parts += [f"<h2>{title}</h2>{_plot(draw, data, evaluation.said)}" for title, draw in PLOTS.items()]
    return f"<!doctype html><meta charset=utf-8><title>{html.escape(table['run'])}</title><style>{_STYLE}</style>{''.join(parts)}"


def verdict(table: Mapping[str, Any]) -> str:
    """What a person should take away, said plainly."""
    pooled = table["symbols"][POOLED]
    skilled = [horizon for horizon, entry in pooled.items() if entry["auc_ci"][0] > 0.5]
    earns = [horizon for horizon, entry in pooled.items() if entry["return_after_cost_top_decile"] > 0.0]
    direction = (
        f"The direction is a little better than a coin at {', '.join(skilled)} minutes: these are nearly coin flips."
        if skilled
        else "The direction is no better than a coin: this model has no skill there."
    )
    width = "; ".join(f"{horizon} min {entry['pinball_skill']:+.1%}" for horizon, entry in pooled.items())
    money = (
        "Nothing is left after costs of 10 basis points."
        if not earns
        else f"Its surest tenth was left with something after costs at {', '.join(earns)} minutes in this stretch; do not count on it."
    )
    return f"<p><b>{direction}</b> How far the price will move is forecast better than by the usual width: {width}. {money}</p>"


def summary(table: Mapping[str, Any], page: Any) -> str:
    """The table for a terminal, pooled and per symbol."""
    lines = [f"{table['run']}: {table['from']} to {table['to']}, out of sample", ""]
    lines.append(
        f"{'symbol':<10}{'min':>4}{'n':>8}{'auc':>8}{'linear':>8}{'trees':>8}{'mse skill':>11}{'pinball':>9}{'coverage':>10}{'ece':>8}"
    )
    for symbol, horizons in table["symbols"].items():
        for horizon, entry in horizons.items():
            others = [f"{entry['baselines'].get(name, {}).get('auc', float('nan')):>8.4f}" for name in ("linear", "lightgbm")]
            numbers = f"{entry['auc']:>8.4f}{others[0]}{others[1]}{entry['mse_skill']:>+11.4f}{entry['pinball_skill']:>+9.1%}"
            lines.append(f"{symbol:<10}{horizon:>4}{entry['n']:>8}{numbers}{entry['coverage80']:>10.3f}{entry['ece']:>8.4f}")
    return "\n".join(
        [
            *lines,
            "",
            html.unescape(verdict(table)).replace("<p>", "").replace("</p>", "").replace("<b>", "").replace("</b>", ""),
            f"report: {page}",
        ]
    )


def _rows(title: str, entry: Mapping[str, Any]) -> str:
    head = "".join(f"<th>{column}" for column in _COLUMNS)
    lines = {"model": entry, **entry["baselines"]}
    body = "".join(f"<tr><td>{name}" + "".join(f"<td>{_number(line.get(column))}" for column in _COLUMNS) for name, line in lines.items())
    low, high = entry["auc_ci"]
    interval = f"AUC 95 % interval {low:.3f} to {high:.3f}; pinball skill {entry['pinball_skill']:+.1%}"
    return f"<h3>{title}</h3><table><tr><th>{head}{body}</table><p>{interval}</p>"


def _regimes(table: Mapping[str, Any]) -> str:
    """Whether the interval holds what it promises in calm and in wild hours."""
    lines = [
        f"<tr><td>{horizon} minutes, {regime}<td>{found['n']}<td>{found['coverage80']:.3f}<td>{found['auc']:.4f}"
        for horizon, entry in table["symbols"][POOLED].items()
        for regime, found in entry["regimes"].items()
    ]
    return f"<h2>Calm and wild hours</h2><table><tr><th><th>n<th>coverage80<th>auc{''.join(lines)}</table>"


def _number(value: Any) -> str:
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.4f}"


def _plot(draw: Callable[[Axes, Dataset, Forecasts, int], None], data: Dataset, said: Forecasts) -> str:
    figure = Figure(figsize=(12, 3.4), layout="constrained")
    for place, axes in enumerate(figure.subplots(1, len(HORIZONS))):
        draw(axes, data, said, place)
        axes.set_title(f"{HORIZONS[place]} minutes")
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=90)
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}">'


def _reliability(axes: Axes, data: Dataset, said: Forecasts, place: int) -> None:
    outcome, p_up = data.outcome[said.ends, place], said.p_up[:, place]
    bins = np.array_split(np.argsort(p_up), metrics.BINS)
    axes.plot([p_up[rows].mean() for rows in bins], [(outcome[rows] > 0).mean() for rows in bins], "o-")
    axes.axline((0.5, 0.5), slope=1, color="grey", lw=0.8)
    axes.set(xlabel="said: P(up)", ylabel="came: share of ups")


def _against_outcome(axes: Axes, data: Dataset, said: Forecasts, place: int) -> None:
    outcome, expected = data.outcome[said.ends, place] * 1e4, said.expected[:, place] * 1e4
    bins = np.array_split(np.argsort(expected), 20)
    axes.plot([expected[rows].mean() for rows in bins], [outcome[rows].mean() for rows in bins], "o")
    axes.axline((0, 0), slope=1, color="grey", lw=0.8)
    axes.set(xlabel="expected, basis points", ylabel="came, basis points")


def _over_time(axes: Axes, data: Dataset, said: Forecasts, place: int) -> None:
    _by(axes, data, said, place, data.open_time[said.ends] // (7 * DAY_MS), "week")


def _by_hour(axes: Axes, data: Dataset, said: Forecasts, place: int) -> None:
    _by(axes, data, said, place, data.open_time[said.ends] // HOUR_MS % 24, "hour of day, UTC")


def _by_wildness(axes: Axes, data: Dataset, said: Forecasts, place: int) -> None:
    wild = data.volatility[said.ends]
    _by(axes, data, said, place, np.digitize(wild, np.quantile(wild, np.arange(0.1, 1.0, 0.1))), "volatility, tenths from calm to wild")


def _by(axes: Axes, data: Dataset, said: Forecasts, place: int, group: Any, label: str) -> None:
    outcome, p_up = data.outcome[said.ends, place], said.p_up[:, place]
    values, scores = [], []
    for value in np.unique(group):
        rows = (group == value) & (outcome != 0.0)
        if rows.sum() >= 200:
            values.append(value - group.min())
            scores.append(metrics.auc(outcome[rows] > 0, p_up[rows]))
    axes.plot(values, scores, "o-", ms=3, lw=0.8)
    axes.axhline(0.5, color="grey", lw=0.8)
    axes.set(xlabel=label, ylabel="AUC")


PLOTS: Mapping[str, Callable[[Axes, Dataset, Forecasts, int], None]] = {
    "Reliability": _reliability,
    "Forecast against outcome": _against_outcome,
    "Skill over time": _over_time,
    "By hour of day": _by_hour,
    "By volatility": _by_wildness,
}
