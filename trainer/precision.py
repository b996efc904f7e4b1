"""Which arithmetic this machine is quickest with, found out by trying, for a few steps of the very training."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch

Precision = Literal["fp32", "bf16", "fp16"]
TRIALS = 4


def device_named(name: str) -> torch.device:
    """`auto` is CUDA where there is one, otherwise the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """The context that the forward pass runs in."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16 if precision == "bf16" else torch.float16)


def quickest(device: torch.device, step: Callable[[Precision], None]) -> Precision:
    """bf16 where `step` is clearly quicker with it, fp16 on a CUDA card without bf16, otherwise fp32.

    On a CPU without bf16 of its own that arithmetic is many times slower, so nothing is taken for granted.
    """
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    try:
        took = {precision: _seconds(step, precision) for precision in _CPU}
    except RuntimeError:  # a build of torch without these kernels
        return "fp32"
    return "bf16" if took["bf16"] < 0.9 * took["fp32"] else "fp32"


_CPU: tuple[Precision, ...] = ("fp32", "bf16")


def _seconds(step: Callable[[Precision], None], precision: Precision) -> float:
    step(precision)
    best = float("inf")
    for _ in range(TRIALS):
        begun = time.perf_counter()
        step(precision)
        best = min(best, time.perf_counter() - begun)
        if best > 5.0:
            break
    return best
