"""The progress bar of a training run, on stderr."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from trainer.train import Stage


@contextmanager
def progress_bar() -> Iterator[Callable[["Stage"], None]]:
    """One bar for each model of the run."""
    loss = TextColumn("loss {task.fields[loss]:.4f}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), loss, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as shown:
        tasks: dict[str, TaskID] = {}

        def tell(stage: "Stage") -> None:
            if stage.name not in tasks:
                tasks[stage.name] = shown.add_task(stage.name, total=stage.steps, loss=stage.loss)
            shown.update(tasks[stage.name], completed=stage.step, loss=stage.loss)

        yield tell
