"""One forecast as the Pi makes it: how quick the file is beside FP32 and beside torch, and what a fresh process needs to make its first."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from bench.row import Row, interleaved, side_by_side
from hub.market.features import FEATURES
from trainer.export import shipped, to_onnx
from trainer.forecasts import network
from trainer.model import Forecaster
from trainer.quantise import anonymous, variants
from trainer.spec import RUNS, load_spec

ONNX = """
import json, sys, time
begun = time.perf_counter()
import numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
options.enable_cpu_mem_arena = False
session = onnxruntime.InferenceSession(open(sys.argv[1], "rb").read(), options, providers=["CPUExecutionProvider"])
session.run(None, {"features": numpy.zeros((1, 60, int(sys.argv[2])), numpy.float32)})
"""
TORCH = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
begun = time.perf_counter()
import torch
model = torch.jit.load(sys.argv[1])
with torch.no_grad():
    model(torch.zeros(1, 60, int(sys.argv[2])))
"""
TELL = """
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([time.perf_counter() - begun, peak / 1024, sorted(sys.modules)]))
"""


def rows(runs: int = 300, rounds: int = 5) -> list[Row]:
    """The default spec's network, untrained: that changes nothing here."""
    torch.set_num_threads(1)
    model, one = Forecaster(load_spec(RUNS / "default.toml")).eval(), np.zeros((1, 60, len(FEATURES)), np.float32)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        graph = to_onnx(model)
        fp32, (_, int8) = anonymous(graph), next(variants(graph, one, folder))
        (folder / "int8.onnx").write_bytes(int8)
        with warnings.catch_warnings(action="ignore"):  # a way of torch's that grows old, and needs nothing of ours to be read again
            torch.jit.trace(model, torch.from_numpy(one), check_trace=False).save(str(folder / "model.pt"))  # type: ignore[no-untyped-call]
        asks = [_rate(ask, one, runs) for ask in (shipped(int8), shipped(fp32), network(model))]
        quick = interleaved(rounds, *asks)
        starts = [(_first(ONNX, folder / "int8.onnx"), _first(TORCH, folder / "model.pt")) for _ in range(rounds)]
    memory = statistics.median(ours[1] for ours, _ in starts)
    return [
        side_by_side("INT8", "forecasts/s", "FP32 in onnxruntime", [(row[0], row[1]) for row in quick], 1.0, "one window, one thread"),
        side_by_side("INT8", "forecasts/s", "torch", [(row[0], row[2]) for row in quick], 1.8, "one window, one thread"),
        side_by_side(
            "cold start", "starts/s", "torch", [(1 / ours[0], 1 / theirs[0]) for ours, theirs in starts], 5, "import, load, first"
        ),
        Row("cold start, memory", memory, "MB", at_most=90, note="no pandas, no torch"),
    ]


def _rate(ask: Callable[[np.ndarray], object], one: np.ndarray, runs: int) -> Callable[[], float]:
    def measure() -> float:
        begun = time.perf_counter()
        for _ in range(runs):
            ask(one)
        return runs / (time.perf_counter() - begun)

    return measure


def _first(program: str, file: Path) -> tuple[float, float]:
    """Seconds and megabytes of a process that makes one forecast."""
    words = [sys.executable, "-c", program + TELL, str(file), str(len(FEATURES))]
    took, memory, modules = json.loads(subprocess.run(words, capture_output=True, check=True, text=True).stdout)
    assert program is TORCH or not {"pandas", "torch"} & set(modules)
    return took, memory
