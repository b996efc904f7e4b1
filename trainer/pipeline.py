"""`trainer pipeline`: train, evaluate, export, one after the other, each going on where it was."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from trainer.dataset import build_dataset
from trainer.evaluate import evaluate_run
from trainer.export import export
from trainer.report import report
from trainer.run import Run, write_text
from trainer.series import load, newest
from trainer.spec import Spec
from trainer.table import Table
from trainer.train import Tell, train

QUICK_MINUTES = 90 * 1440
"""A quick run sees the newest minutes alone, and is judged on two stretches of them."""


@dataclass(frozen=True)
class Made:
    """What there is in the end."""

    table: Table
    page: Path
    parity: dict[str, Any]


def pipeline(
    run: Run, spec: Spec, source: Path, now: datetime, *, quick: bool = False, device: str = "auto", tell: Tell = lambda _stage: None
) -> Made:
    """Fill runs/NAME with everything, model.onnx included. HubError or CheckFailed where a step cannot be done."""
    series = load(source)
    if quick:
        series, spec = newest(series, QUICK_MINUTES), spec.model_copy(update={"epochs": 1, "folds": 2})
    data = build_dataset(series, spec.window)
    train(run, spec, data, source, quick=quick, device=device, tell=tell)
    found = evaluate_run(run, data)
    run.write("evaluation.json", found.table)
    page = write_text(run.folder / "report.html", report(data, found))
    return Made(found.table, page, export(run, data, now))
