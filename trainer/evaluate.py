"""`trainer evaluate`: a run or a model file, judged out of sample beside the baselines, on windows that it has not learnt from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from hub.errors import HubError
from hub.market.interval import MINUTE_MS, to_ms
from hub.market.outcome import HORIZONS
from trainer.baselines import Usual, usual_moves
from trainer.dataset import Dataset, Index
from trainer.export import shipped, told_by
from trainer.forecasts import Ask, Forecasts, forecasts_of, joined, network
from trainer.run import Run
from trainer.spec import Spec
from trainer.table import FEWEST_WINDOWS, Table, baselines_for, judge
from trainer.train import EMBARGO, folds, load_model

FAR = 2**53
STARTER = "starter"
Seen = Mapping[str, Sequence[Sequence[str]]]
"""By symbol, the stretches of time that a model was trained on."""


@dataclass(frozen=True)
class Evaluation:
    """The table, and what it was made from, for the report."""

    table: Table
    said: Forecasts
    baselines: dict[str, Forecasts]
    notes: tuple[str, ...]


def evaluate_run(run: Run, data: Dataset, first: int = 0, last: int = FAR) -> Evaluation:
    """Windows that open in [first, last) ms: those that its final model has not seen; where there are none, its walk-forward."""
    spec, seen = run.spec(), run.facts()["trained_on"]
    unseen = _between(data, _unseen(data, data.on_grid(np.arange(len(data)), spec.every), seen), first, last)
    if len(unseen):
        return _judged(run.name, network(load_model(run)), data, unseen, seen)
    return evaluate_walk(run, data, first, last)


def evaluate_file(file: Path, data: Dataset, first: int = 0, last: int = FAR) -> Evaluation:
    """A model file, one window at a time as the hub asks it, on minutes that it was not trained on."""
    content = _content(file)
    told = _told(file, content)
    seen = told.get("trained_on") or {"all": [[told["trained_from"], told["trained_until"]]]}
    chosen = _between(data, _unseen(data, data.on_grid(np.arange(len(data)), Spec(kind="patch").every), seen), first, last)
    if not len(chosen):
        raise HubError(f"{file}: was trained until {told['trained_until']}, and has seen all of this; fetch or ingest other bars")
    return _judged(str(told["name"]), shipped(content), data, chosen, seen)


def starter() -> Path:
    """The model that comes with the hub."""
    return Path(str(files("plugins") / "inference" / "starter.onnx"))


def window_of(file: Path) -> int:
    """How many minutes a model file sees."""
    return int(_told(file, _content(file))["window"])


def _told(file: Path, content: bytes) -> dict[str, Any]:
    try:
        return told_by(content)
    except ValueError as error:
        raise HubError(f"{file}: {error}; `trainer export` makes one") from error


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise HubError(f"{file}: cannot be read: {error.strerror}") from error


def _judged(name: str, ask: Ask, data: Dataset, chosen: Index, seen: Seen) -> Evaluation:
    """On windows that the model has not seen; the learnt baselines learn from those that it has, where they are here."""
    said = forecasts_of(ask, data, chosen)
    dense = data.on_grid(np.arange(len(data)), Spec(kind="patch").every, Spec(kind="patch").dense)
    train = dense[_near(data, dense, seen, 0)]
    enough = len(train) >= FEWEST_WINDOWS
    notes = (
        () if enough else ("what it was trained on is not here: no learnt baselines, and the usual interval is that of this very stretch",)
    )
    usual = usual_moves(data, train if enough else chosen)
    baselines = baselines_for(data, train, chosen, usual)
    return Evaluation(judge(data, said, baselines, _widths(usual, len(chosen)), name), said, baselines, notes)


def evaluate_walk(run: Run, data: Dataset, first: int = 0, last: int = FAR) -> Evaluation:
    """The walk-forward of a run, on the data that it was trained on: each stretch by the model that knew only what came before."""
    spec = run.spec()
    parts: list[tuple[Forecasts, dict[str, Forecasts], np.ndarray[Any, np.dtype[np.float64]]]] = []
    for number, split in enumerate(folds(data, spec), 1):
        said = run.load_forecasts(f"fold-{number}.npz", data)
        if said is None:
            raise HubError(f"{run.folder}: the data is not what it was trained on; give --from a time after {run.facts()['trained_until']}")
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
    notes = [f"walk-forward: {len(parts)} stretches, each by a model trained on what came before it"]
    if spec.quick:
        notes.append("a quick rehearsal: few windows, one pass over them; this model is not worth trusting")
    table = judge(data, said, baselines, np.concatenate([part[2] for part in parts]), run.name) | {"quick": spec.quick}
    return Evaluation(table, said, baselines, tuple(notes))


def _widths(usual: Usual, rows: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """[rows, horizons, 2]: the interval of persistence, for each window."""
    return np.broadcast_to(np.stack([usual.low, usual.high], axis=1), (rows, len(usual.low), 2))


def _between(data: Dataset, chosen: Index, first: int, last: int) -> Index:
    times = data.open_time[chosen]
    return chosen[(times >= first) & (times < last)]


def _unseen(data: Dataset, chosen: Index, seen: Seen) -> Index:
    """Those at least an embargo away from all that a model has seen."""
    far: Index = chosen[~_near(data, chosen, seen, (EMBARGO + max(HORIZONS)) * MINUTE_MS)]
    return far


def _near(data: Dataset, chosen: Index, seen: Seen, margin: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which windows close no more than `margin` ms outside what has been seen, of whichever symbol: what moves one moves the other."""
    times, near = data.open_time[chosen], np.zeros(len(chosen), bool)
    for begun, ended in (stretch for stretches in seen.values() for stretch in stretches):
        near |= (times >= _ms(begun) - margin) & (times <= _ms(ended) + margin)
    return near


def _ms(text: str) -> int:
    return to_ms(datetime.fromisoformat(text))
