"""`trainer evaluate`: a run or a model file, judged out of sample beside the baselines, on windows that it has not learnt from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hub.errors import HubError
from trainer.baselines import Usual, usual_moves
from trainer.dataset import Dataset, Index
from trainer.export import shipped
from trainer.forecasts import Ask, Forecasts, forecasts_of, joined, network
from trainer.model_file import told_by
from trainer.run import Run
from trainer.seen import seen
from trainer.spec import Spec
from trainer.table import Table, baselines_for, judge
from trainer.train import folds, load_model

FAR = 2**53


@dataclass(frozen=True)
class Evaluation:
    """The table, and what it was made from, for the report."""

    table: Table
    said: Forecasts
    baselines: dict[str, Forecasts]
    notes: tuple[str, ...]


def evaluate_run(run: Run, data: Dataset, first: int = 0, last: int = FAR) -> Evaluation:
    """Windows that open in [first, last) ms: those that the run has not seen, by its final model; if there are none, the walk-forward."""
    spec, facts = run.spec(), run.facts()
    new = _unseen(data, facts, spec.every, spec.window, first, last)
    if len(new):
        return _judged(run.name, network(load_model(run)), data, new, _known(data, facts, spec))
    return _walked(run, spec, data, first, last)


def evaluate_file(file: Path, data: Dataset, first: int = 0, last: int = FAR) -> Evaluation:
    """A model file, one window at a time as the hub asks it, on minutes that it was not trained on."""
    content = _content(file)
    told = _told(file, content)
    usual = Spec(kind="patch", window=told["window"])
    new = _unseen(data, told, usual.every, usual.window, first, last)
    if not len(new):
        raise HubError(f"{file}: has seen all of this: it was trained on bars until {told['trained_until']}; fetch or ingest newer ones")
    return _judged(str(told["name"]), shipped(content), data, new, _known(data, told, usual))


def window_of(file: Path) -> int:
    """How many minutes a model file sees."""
    return int(_told(file, _content(file))["window"])


def _told(file: Path, content: bytes) -> dict[str, Any]:
    try:
        return told_by(content)
    except ValueError as error:
        raise HubError(f"{file}: {error}") from error


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise HubError(f"{file}: cannot be read: {error.strerror}") from error


def _judged(name: str, ask: Ask, data: Dataset, chosen: Index, train: Index) -> Evaluation:
    said = forecasts_of(ask, data, chosen)
    notes = (
        []
        if len(train)
        else [
            "none of what it was trained on is here: the learnt baselines are left out, and the usual interval is that of this very stretch"
        ]
    )
    usual = usual_moves(data, train if len(train) else chosen)
    baselines = baselines_for(data, train, chosen, usual)
    return Evaluation(judge(data, said, baselines, _widths(usual, len(chosen)), name), said, baselines, tuple(notes))


def _walked(run: Run, spec: Spec, data: Dataset, first: int, last: int) -> Evaluation:
    parts: list[tuple[Forecasts, dict[str, Forecasts], np.ndarray[Any, np.dtype[np.float64]]]] = []
    for number, split in enumerate(folds(data, spec), 1):
        said = run.load_forecasts(f"fold-{number}.npz", data)
        if said is None:
            raise HubError(f"{run.folder}: the data is not what it was trained on; bring some that it has not seen")
        chosen = np.flatnonzero(np.isin(said.ends, _between(data, said.ends, first, last)))
        if len(chosen):
            usual = usual_moves(data, split.train)
            said = said.rows(chosen)
            parts.append((said, baselines_for(data, split.train, said.ends, usual), _widths(usual, len(chosen))))
    if not parts:
        raise HubError(f"{run.folder}: no window of its walk-forward lies in that time")
    said = joined([part[0] for part in parts])
    names = set.intersection(*(set(part[1]) for part in parts))
    baselines = {name: joined([part[1][name] for part in parts]) for name in parts[0][1] if name in names}
    notes = (f"walk-forward: {len(parts)} stretches, each by a model trained on what came before it", *_quick(run))
    return Evaluation(judge(data, said, baselines, np.concatenate([part[2] for part in parts]), run.name), said, baselines, notes)


def _quick(run: Run) -> tuple[str, ...]:
    return ("a quick run: it saw the newest days only, and shows that everything works, nothing more",) if run.facts().get("quick") else ()


def _widths(usual: Usual, rows: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """[rows, horizons, 2]: the interval of persistence, for each window."""
    return np.broadcast_to(np.stack([usual.low, usual.high], axis=1), (rows, len(usual.low), 2))


def _between(data: Dataset, chosen: Index, first: int, last: int) -> Index:
    times = data.open_time[chosen]
    return chosen[(times >= first) & (times < last)]


def _unseen(data: Dataset, facts: dict[str, Any], every: int, window: int, first: int, last: int) -> Index:
    chosen = _between(data, data.on_grid(np.arange(len(data)), every), first, last)
    return chosen[~seen(data.open_time[chosen], facts, window)]


def _known(data: Dataset, facts: dict[str, Any], spec: Spec) -> Index:
    """What the learnt baselines may learn from: what the model has seen, as far as it is here."""
    dense = data.on_grid(np.arange(len(data)), spec.every, spec.dense)
    return dense[seen(data.open_time[dense], facts, 0)]
