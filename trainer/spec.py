"""One experiment, as a file in runs/: what the model is made of and how it is trained."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hub.complaints import explain
from hub.errors import SettingsError

RUNS = Path(__file__).parent / "runs"
Positive = Annotated[int, Field(ge=1)]


class Spec(BaseModel):
    """All that decides a run; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["patch", "seed"]
    """patch: tokens of several minutes, and a way around them for the last row. seed: one token a minute."""
    window: Positive = 60
    """Minutes that the model sees."""
    patch: Positive = 5
    """Minutes a token (kind patch)."""
    d_model: Positive = 64
    heads: Positive = 4
    layers: Positive = 2
    feed_forward: Positive = 128
    voices: Positive = 1
    """Networks that are trained side by side, from other beginnings, and averaged in the graph."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    every: Positive = 5
    """Minutes between forecasts; test windows end on this grid."""
    dense: Positive = 2
    """Training windows end on this many of every `every` minutes."""
    epochs: Positive = 3
    batch: Positive = 1024
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    warm_up: Annotated[int, Field(ge=0)] = 200
    """Steps until the learning rate is at its height; from there it falls on a cosine."""
    averaging: Annotated[float, Field(ge=0, lt=1)] = 0.998
    """The shipped weights are a running mean of the trained ones, with this memory a step."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Epochs without progress on the validation stretch after which a run stops early, and takes its best; 0: it runs to its end, since
    one stretch is a bad selector."""
    validations: Positive = 2
    """How often an epoch looks at the validation stretch."""
    folds: Positive = 3
    """How many stretches the walk-forward is judged on."""
    tested: Annotated[float, Field(gt=0, le=0.8)] = 0.36
    """Share of all windows, the newest, that the walk-forward is judged on."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto: what is quickest on this machine, found out by trying."""
    recency: Annotated[float, Field(gt=0)] | None = None
    """Half-life in days of a training window's weight; none: all count alike."""
    seed: int = 1


def load_spec(path: Path) -> Spec:
    """The spec in a TOML file. SettingsError with file and key where it cannot be used."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        return Spec.model_validate(values)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}; there are: {', '.join(shipped())}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from error
    except ValidationError as error:
        raise SettingsError([f"{path}: {'.'.join(map(str, where))}: {text}" for where, text in explain(error, Spec)]) from error


def chosen(file: Path | None, epochs: int | None = None) -> Spec:
    """The spec in a file, or the shipped default; `epochs` instead of its own."""
    spec = load_spec(file or RUNS / "default.toml")
    return spec if epochs is None else spec.model_copy(update={"epochs": epochs})


def shipped() -> list[str]:
    """Names of the specs that come with the trainer."""
    return sorted(file.stem for file in RUNS.glob("*.toml"))
