"""`trainer pipeline`: train, evaluate, export, one after the other; killed, it goes on where it was."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from trainer.dataset import Dataset
from trainer.evaluate import evaluate_walk
from trainer.export import export
from trainer.report import report
from trainer.run import Run, write_text
from trainer.spec import Spec
from trainer.table import Table
from trainer.train import Stage, train


def pipeline(
    run: Run, spec: Spec, data: Dataset, device: str, tell: Callable[[Stage], None], now: datetime
) -> tuple[Table, dict[str, Any]]:
    """All of it; returns the table of the evaluation and the export's report."""
    train(run, spec, data, device=device, tell=tell)
    found = evaluate_walk(run, data)
    run.write("evaluation.json", found.table)
    write_text(run.report, report(data, found))
    return found.table, export(run, data, now)


def rehearsal(spec: Spec) -> Spec:
    """The same way in a few minutes: fewer windows, one pass over them; marked, since its model is not worth trusting."""
    return spec.model_copy(update={"quick": True, "folds": 2, "dense": 1, "epochs": 1, "voices": 1, "warm_up": 50})
