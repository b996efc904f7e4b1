"""A run's folder, runs/NAME: what is in it and how it is read and written. Everything is replaced whole or not at all."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hub.errors import HubError
from hub.whole_file import write_whole
from trainer.dataset import Dataset
from trainer.forecasts import Forecasts
from trainer.spec import Spec

FOLDER = Path("runs")
_COLUMNS = ("expected", "low", "high", "p_up")


@dataclass(frozen=True)
class Run:
    """One experiment on disk."""

    name: str
    folder: Path

    @classmethod
    def named(cls, name: str, parent: Path = FOLDER) -> "Run":
        """HubError where the name would leave the folder."""
        if not name or name.startswith(".") or Path(name).name != name:
            raise HubError(f"{name!r} is no name for a run: letters, digits, dots and dashes")
        return cls(name, parent / name)

    @property
    def weights(self) -> Path:
        return self.folder / "model.pt"

    @property
    def model(self) -> Path:
        """The file that the hub takes."""
        return self.folder / "model.onnx"

    @property
    def exists(self) -> bool:
        return (self.folder / "run.json").exists()

    def spec(self) -> Spec:
        """The spec it was trained by."""
        return Spec.model_validate(self.facts()["spec"])

    def facts(self) -> dict[str, Any]:
        """run.json: name, spec, symbols, trained_from, trained_until and more. HubError where there is no such run."""
        found = self.read("run.json")
        if found is None:
            raise HubError(f"{self.folder}: no finished run; `trainer train --run {self.name}` makes it")
        return found

    @property
    def data(self) -> Path:
        """Where the bars are that it was trained on."""
        return Path(self.facts()["data"])

    def read(self, file: str) -> dict[str, Any] | None:
        """One of its JSON files, None where it is not there. HubError where it is damaged."""
        path = self.folder / file
        if not path.exists():
            return None
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise HubError(f"{path}: damaged: {error}; delete it and train again") from error
        return content

    def write(self, file: str, content: dict[str, Any]) -> Path:
        """Write one of its JSON files."""
        return write_text(self.folder / file, json.dumps(content, indent=1, allow_nan=True) + "\n")

    def save_forecasts(self, file: str, data: Dataset, said: Forecasts) -> None:
        """Keep what a fold said, by symbol and open time, so that it can be judged again."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / file
        part = path.with_name(f"{path.name}.part.npz")
        columns = {name: getattr(said, name) for name in _COLUMNS}
        np.savez_compressed(part, open_time=data.open_time[said.ends], symbol=data.symbol[said.ends], **columns)
        part.replace(path)

    def load_forecasts(self, file: str, data: Dataset) -> Forecasts | None:
        """What was kept, on the same data; None where there is nothing or the data has changed."""
        path = self.folder / file
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as kept:
            times, symbols = kept["open_time"], kept["symbol"]
            rows = _rows_of(data, times, symbols)
            if rows is None:
                return None
            return Forecasts(rows, *(kept[name] for name in _COLUMNS))


def write_text(file: Path, text: str) -> Path:
    """Replace a file by this, or leave it as it was."""
    return write_bytes(file, text.encode())


def write_bytes(file: Path, content: bytes) -> Path:
    """Replace a file by this, or leave it as it was."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, content)
    return file


def _rows_of(data: Dataset, times: np.ndarray[Any, np.dtype[np.int64]], symbols: np.ndarray[Any, np.dtype[np.int8]]) -> Any:
    """Rows of the dataset at these times, None where one is not there."""
    keys = data.open_time * 2 + data.symbol
    order = np.argsort(keys, kind="stable")
    wanted = times * 2 + symbols
    place = np.searchsorted(keys, wanted, sorter=order)
    if len(place) and (place.max() >= len(order) or (keys[order[place]] != wanted).any()):
        return None
    return order[place]
