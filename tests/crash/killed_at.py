"""A hub that is killed at one step of a model's way: `killed_at.py STEP run`. With the model in place it is an ordinary hub."""

import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from hub.cli import main
from plugins.inference import delivery, download
from plugins.inference.delivery import Delivery
from plugins.inference.download import Download
from plugins.inference.slot import Slot

CHUNKS = 3
"""So many are here before it happens."""


def die(*_any: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str, when: Callable[..., bool] = lambda *_args, **_named: True) -> None:
    """It dies instead of calling this."""
    real = getattr(owner, name)

    def instead(*args: Any, **named: Any) -> Any:
        if when(*args, **named):
            die()
        return real(*args, **named)

    setattr(owner, name, instead)


def after(owner: Any, name: str, when: Callable[..., bool] = lambda *_args, **_named: True) -> None:
    """It dies as soon as this has returned."""
    real = getattr(owner, name)

    def instead(*args: Any, **named: Any) -> Any:
        found = real(*args, **named)
        if isinstance(found, Coroutine):
            return awaited(found, *args, **named)
        if when(*args, **named):
            die()
        return found

    async def awaited(found: Coroutine[Any, Any, Any], *args: Any, **named: Any) -> Any:
        answer = await found
        if when(*args, **named):
            die()
        return answer

    setattr(owner, name, instead)


def enough(place: Download, *_chunk: Any) -> bool:
    return len(place.offer.chunks) - len(place.missing) >= CHUNKS


def says(status: str) -> Callable[..., bool]:
    """A change of the slot's state that answers so."""
    return lambda _slot, answer=None, **_fields: answer is not None and answer.status == status


def of_part(file: Path, *_target: Any) -> bool:
    return file.suffix == ".part"


STEPS: dict[str, Callable[[], None]] = {
    "the offer is understood": lambda: before(Delivery, "_begin"),
    "chunks are asked for": lambda: before(Slot, "ask_for"),
    "chunks have been asked for": lambda: after(Slot, "ask_for"),
    "a chunk is written": lambda: before(Download, "take", enough),
    "a chunk has been written": lambda: after(Download, "take", enough),
    "all chunks are here": lambda: before(Download, "finish"),
    "the file is synced, and is renamed": lambda: before(Path, "replace", of_part),
    "the file is renamed, its folder not synced": lambda: before(download, "sync_folder"),
    "it is called staged": lambda: before(Slot, "change", says("staged")),
    "it has been called staged": lambda: after(Slot, "change", says("staged")),
    "its self-test begins": lambda: before(delivery, "self_test"),
    "its self-test is over": lambda: after(delivery, "self_test"),
    "it goes live": lambda: before(Slot, "change", says("live")),
    "it has gone live": lambda: after(Slot, "change", says("live")),
    "older files are deleted": lambda: before(Slot, "_tidy"),
}

if __name__ == "__main__":
    STEPS[sys.argv.pop(1)]()
    main()
