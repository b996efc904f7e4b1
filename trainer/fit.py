"""The training loop: windows in, weights out; killed at any moment it goes on from its last checkpoint."""

import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hub.errors import HubError
from hub.market.interval import MINUTE_MS
from trainer import team
from trainer.dataset import Dataset, Index
from trainer.model import Forecaster, loss
from trainer.precision import Precision, autocast, device_named, quickest
from trainer.spec import Spec

EVALUATION_BATCH = 4096
DAY_MS = 1440 * MINUTE_MS


@dataclass
class Progress:
    """Where a run stands; part of its checkpoint."""

    step: int = 0
    best_loss: float = math.inf
    since_best: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)
    """Of each validation: step, training loss since the last one, validation loss."""


class Fit:
    """One model on its way from chance to its best: trained on `train`, judged on `validation` (rows that end windows)."""

    def __init__(self, spec: Spec, data: Dataset, train: Index, validation: Index, folder: Path, *, device: str = "auto") -> None:
        """`folder` gets checkpoint.pt, which is only ever replaced whole."""
        self.spec = spec
        self.progress = Progress()
        self.device = device_named(device)
        self.precision: Precision = "fp32"
        self._data = data
        self._train = train
        self._validation = validation
        self._folder = folder
        torch.manual_seed(spec.seed)
        self.model = Forecaster(spec)
        rows = data.newest(train)
        self.model.scaling.fit(torch.from_numpy(rows.mean(axis=0)), torch.from_numpy(rows.std(axis=0)))
        self.model.to(self.device)
        self._averaged = {name: value.clone() for name, value in self.model.state_dict().items()}
        self._best = self._averaged
        self._optimizer = torch.optim.AdamW(self.model.parameters(), lr=spec.learning_rate, weight_decay=spec.weight_decay)
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=False)
        self._trained: nn.Module = _Raw(self.model)
        if team.size() > 1:
            self._trained = nn.parallel.DistributedDataParallel(self._trained)
        self._weights = _recency(data.open_time[train], spec.recency)

    @property
    def steps_an_epoch(self) -> int:
        return max(1, len(self._train) // (self.spec.batch * team.size()))

    @property
    def steps(self) -> int:
        """In all, unless it stops early."""
        return self.steps_an_epoch * self.spec.epochs

    def run(self, tell: Callable[[Progress, float], None] = lambda _progress, _loss: None) -> Forecaster:
        """Train to the end, or from the checkpoint on; `tell` hears of every step.

        Returns the model with its averaged weights: the last ones, or with `patience` the best ones.
        """
        self._resume()
        if self.spec.precision != "auto":
            self.precision = self.spec.precision
        elif not self.progress.step:
            self.precision = team.agreed(quickest(self.device, self._try))
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        every = max(1, self.steps_an_epoch // self.spec.validations)
        total, counted = 0.0, 0
        for value in self.steps_taken():
            total, counted = total + value, counted + 1
            tell(self.progress, value)
            if self.progress.step % every == 0 or self.progress.step == self.steps:
                self._validate(total / counted)
                total, counted = 0.0, 0
                if self.spec.patience and self.progress.since_best >= self.spec.patience * self.spec.validations:
                    break
        self.model.load_state_dict(self._best if self.spec.patience else self._averaged)
        return self.model.eval()

    def steps_taken(self, most: int | None = None) -> Iterator[float]:
        """Take what is left of the steps, or `most` of them; yields the loss of each."""
        for chosen in islice(self._batches(), most):
            yield self._step(chosen)

    def _batches(self) -> Iterator[Index]:
        """Places in `train` of what is left of the run, in an order that depends on the seed and the epoch alone."""
        size = self.spec.batch
        while self.progress.step < self.steps:
            epoch, done = divmod(self.progress.step, self.steps_an_epoch)
            order = np.random.default_rng((self.spec.seed, epoch)).permutation(len(self._train))[team.rank() :: team.size()]
            for number in range(done, self.steps_an_epoch):
                yield np.sort(order[number * size : (number + 1) * size])

    def _step(self, chosen: Index) -> float:
        for group in self._optimizer.param_groups:
            group["lr"] = self.spec.learning_rate * self._schedule(self.progress.step)
        value = self._forward(chosen, self.precision)
        self._optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(value).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(self._optimizer)
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._average()
        self.progress.step += 1
        return float(value.detach())

    def _forward(self, chosen: Index, precision: Precision) -> Tensor:
        ends = self._train[chosen]
        rows = torch.from_numpy(self._data.rows(ends)).to(self.device)
        labels = torch.from_numpy(self._data.labels(ends)).to(self.device).clamp(-8.0, 8.0)
        with autocast(self.device, precision):
            raw = self._trained(rows)
        weight = torch.from_numpy(self._weights[chosen]).to(self.device)
        logit, middle, low, high = raw
        return loss((logit.float(), middle.float(), low.float(), high.float()), labels, weight)

    def _try(self, precision: Precision) -> None:
        """A step that changes nothing, to see how long one takes."""
        self._forward(np.arange(min(self.spec.batch, len(self._train))), precision).backward()  # type: ignore[no-untyped-call]
        self._optimizer.zero_grad(set_to_none=True)

    def _schedule(self, step: int) -> float:
        """Warm-up, then a cosine down to a fiftieth."""
        rise = min(1.0, (step + 1) / max(1, self.spec.warm_up))
        return rise * (0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * min(1.0, step / self.steps))))

    @torch.no_grad()
    def _average(self) -> None:
        """The running mean of the weights; it starts as a plain mean, so that the first steps do not linger."""
        memory = min(self.spec.averaging, (1.0 + self.progress.step) / (10.0 + self.progress.step))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self._averaged[name].lerp_(value, 1.0 - memory)

    def _validate(self, training_loss: float) -> None:
        current = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.model.load_state_dict(self._averaged)
        value = self._validation_loss()
        better = value < self.progress.best_loss - 1e-6
        self.progress.since_best = 0 if better else self.progress.since_best + 1
        if better:
            self.progress.best_loss = value
            self._best = {name: each.clone() for name, each in self._averaged.items()}
        self.model.load_state_dict(current)
        self.progress.curve.append({"step": self.progress.step, "training": training_loss, "validation": value})
        if team.leads():
            self._save()

    @torch.no_grad()
    def _validation_loss(self) -> float:
        self.model.eval()
        total = 0.0
        for first in range(0, len(self._validation), EVALUATION_BATCH):
            ends = self._validation[first : first + EVALUATION_BATCH]
            labels = torch.from_numpy(self._data.labels(ends)).to(self.device).clamp(-8.0, 8.0)
            rows = torch.from_numpy(self._data.rows(ends)).to(self.device)
            total += float(loss(self.model.raw(rows), labels)) * len(ends)
        self.model.train()
        return total / max(1, len(self._validation))

    def _save(self) -> None:
        write_whole(
            self._folder / "checkpoint.pt",
            {
                "spec": self.spec.model_dump_json(),
                "model": self.model.state_dict(),
                "averaged": self._averaged,
                "best": self._best,
                "optimizer": self._optimizer.state_dict(),
                "precision": self.precision,
                "chance": torch.get_rng_state(),
                "progress": json.dumps(asdict(self.progress)),
            },
        )

    def _resume(self) -> None:
        """Go on from the checkpoint, if it was made by this very spec."""
        saved = read_whole(self._folder / "checkpoint.pt")
        if saved is None or saved["spec"] != self.spec.model_dump_json():
            return
        self.model.load_state_dict(saved["model"])
        self._averaged, self._best = saved["averaged"], saved["best"]
        self._optimizer.load_state_dict(saved["optimizer"])
        self.precision = saved["precision"]
        torch.set_rng_state(saved["chance"])
        self.progress = Progress(**json.loads(saved["progress"]))


class _Raw(nn.Module):
    """The model's `voices` as a module, so that several GPUs can share it."""

    def __init__(self, model: Forecaster) -> None:
        super().__init__()
        self.model = model

    def forward(self, rows: Tensor) -> tuple[Tensor, ...]:
        return self.model.voices(rows)


def _recency(times: Index, half_life_days: float | None) -> np.ndarray[Any, np.dtype[np.float32]]:
    if half_life_days is None or not len(times):
        return np.ones(len(times), np.float32)
    age = (times.max() - times) / DAY_MS
    weights: np.ndarray[Any, np.dtype[np.float32]] = np.power(0.5, age / half_life_days).astype(np.float32)
    return weights


def write_whole(file: Path, content: dict[str, Any]) -> None:
    """Replace `file` by this, or leave it as it was: a full disk or a kill costs nothing that was there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    try:
        with part.open("wb") as stream:
            torch.save(content, stream)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(file)
    except BaseException as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        if isinstance(error, OSError | RuntimeError):  # torch has words of its own for a write that failed
            reason = (isinstance(error, OSError) and error.strerror) or "the disk is full, or fails"
            raise HubError(f"{file}: cannot be written: {reason}; what was there is still good, and the same command goes on") from error
        raise


def read_whole(file: Path) -> dict[str, Any] | None:
    """What `write_whole` wrote, None where there is nothing; never runs code from the file."""
    if not file.exists():
        return None
    content: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    return content
