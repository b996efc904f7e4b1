"""Several processes that train one model together, as `torchrun` starts them; one process alone is a team of one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import distributed

T = TypeVar("T")


def rank() -> int:
    """This process's number."""
    return int(os.environ.get("RANK", "0"))


def size() -> int:
    """How many there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def leads() -> bool:
    """Whether this is the one that writes files and speaks to people."""
    return rank() == 0


@contextmanager
def together(device: torch.device) -> Iterator[None]:
    """Until the block ends, in all of them, they can hear each other; on CUDA each takes a card of its own."""
    if size() == 1:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
        distributed.barrier()
    finally:
        distributed.destroy_process_group()


def agreed(value: T) -> T:
    """The leader's value, in all of them."""
    if size() == 1:
        return value
    box = [value]
    distributed.broadcast_object_list(box, src=0)
    return box[0]
