"""`trainer export`: PyTorch to ONNX to INT8, and a report on what that cost, measured on real windows one at a time, as the Pi runs it."""

import base64
import io
import json
import time
import warnings
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from hub.errors import CheckFailed
from hub.market.features import FEATURE_HASH, FEATURES
from hub.market.outcome import HORIZONS
from trainer import metrics
from trainer.dataset import Dataset, Index
from trainer.forecasts import Ask, Forecasts, forecasts_of, network
from trainer.metrics import Numbers
from trainer.model import Forecaster
from trainer.model_file import METADATA
from trainer.quantise import RANGE_WINDOWS, anonymous, variants
from trainer.run import Run, write_bytes
from trainer.table import against
from trainer.train import final_split, load_model

OPSET = 17
OUTPUTS = ("log_return", "log_return_low", "log_return_high", "p_up")
MOST_BYTES = 8 * 1024 * 1024
PARITY_WINDOWS = 8_000
TIMED_RUNS = 300
LARGEST_AUC_CHANGE = 5e-4
LARGEST_P_CHANGE = 0.01
LEAST_OVERLAP = 0.94
LARGEST_SHARE = 0.35
"""Of the bytes of FP32: what is larger is chosen only where nothing else is right (the smallest networks are mostly names)."""
GOLDEN_TOLERANCE = 0.02
"""How far another processor's answer may lie from this one's, beside the width of the interval; for P(up) as it is."""


def export(run: Run, data: Dataset, now: datetime) -> dict[str, Any]:
    """Write runs/NAME/model.onnx and export.json; CheckFailed where INT8 is not as good as it must be, and nothing is written then.

    Of the ways to INT8 that keep all limits the quickest is kept; the report has them all.
    """
    model, facts = load_model(run), run.facts()
    graph, split = to_onnx(model), final_split(data, model.spec)
    ways = dict(variants(graph, data.rows(_thinned(split.train, RANGE_WINDOWS)), run.folder / "export"))
    report = parity(model, anonymous(graph), ways, data, _thinned(split.validation, PARITY_WINDOWS))
    run.write("export.json", report)
    if wrong := failures(report["int8"]):
        raise CheckFailed("INT8 changes the model too much: " + "; ".join(wrong))
    evaluation = run.read("evaluation.json") or {}
    content = describe(ways[report["way"]], facts, _scores(evaluation), now, now.strftime("%Y%m%d.%H%M%S"))
    write_bytes(run.model, content)
    report |= {"golden": golden(content, data.rows(split.validation[-1:])[0])}
    run.write("export.json", report)
    return report


def _thinned(ends: Index, most: int) -> Index:
    return ends[:: max(1, -(-len(ends) // most))]


def told_of(run: Run, report: Mapping[str, Any]) -> str:
    """The report in a line."""
    speed = report["speed"]
    return (
        f"{run.model}  {report['bytes']['int8']:,} bytes, {report['bytes']['ratio']:.2f} of FP32;"
        f" {speed['int8_beside_fp32']:.1f}x as quick as FP32, {speed['int8_beside_torch']:.1f}x as torch"
    )


def _scores(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """The few numbers of an evaluation that travel with the model."""
    pooled = evaluation.get("symbols", {}).get("all", {})
    keys = ("n", "auc", "mse_skill", "pinball_skill", "coverage80", "ece")
    return {horizon: {key: entry[key] for key in keys} for horizon, entry in pooled.items()}


def to_onnx(model: Forecaster) -> bytes:
    """The graph in FP32: `features` [batch, window, features] in, OUTPUTS [batch, horizons] out; its names are the modules'."""
    example = torch.zeros(2, model.spec.window, len(FEATURES))
    stream = io.BytesIO()
    with warnings.catch_warnings(action="ignore"):  # the older exporter: the newer one writes stack traces into the file
        torch.onnx.export(
            model.eval(),
            (example,),
            stream,  # type: ignore[arg-type]
            input_names=["features"],
            output_names=list(OUTPUTS),
            dynamic_axes={name: {0: "batch"} for name in ("features", *OUTPUTS)},
            opset_version=OPSET,
            do_constant_folding=True,
            dynamo=False,
        )
    return stream.getvalue()


def describe(graph: bytes, facts: Mapping[str, Any], scores: Mapping[str, Any], created_at: datetime, version: str) -> bytes:
    """The graph with what the hub must know of it in its metadata; CheckFailed where the file would be too large."""
    model = onnx.load_from_string(graph)
    told = {
        "name": facts["name"],
        "version": version,
        "feature_set": {"names": list(FEATURES), "hash": FEATURE_HASH},
        "window": facts["spec"]["window"],
        "horizons": list(HORIZONS),
        "symbols": facts["symbols"],
        "scaling": "inside the graph",
        "trained_from": facts["trained_from"],
        "trained_until": facts["trained_until"],
        "trained_on": facts["trained_on"],
        "scores": scores,
        "created_at": created_at.isoformat().replace("+00:00", "Z"),
    }
    onnx.helper.set_model_props(model, {METADATA: json.dumps(told, separators=(",", ":"))})
    content: bytes = model.SerializeToString()
    if len(content) > MOST_BYTES:
        raise CheckFailed(f"the model has {len(content)} bytes, and the hub takes {MOST_BYTES}; make d_model or layers smaller")
    return content


def session(content: bytes, threads: int = 1) -> Any:
    """The model in onnxruntime, from bytes alone."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def shipped(content: bytes) -> Ask:
    """A model file, asked one window at a time: INT8 takes its scale from the whole batch, and the Pi asks about one."""
    running = session(content)

    def ask(rows: NDArray[np.float32]) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        answers = [running.run(list(OUTPUTS), {"features": rows[place : place + 1]}) for place in range(len(rows))]
        expected, low, high, p_up = (np.concatenate(column).astype(np.float64) for column in zip(*answers, strict=True))
        return expected, low, high, p_up

    return ask


def parity(model: Forecaster, fp32: bytes, ways: Mapping[str, bytes], data: Dataset, ends: Index) -> dict[str, Any]:
    """FP32 and each way to INT8 beside PyTorch on the same windows: what changed, how large they are, how quick. `way` is the best."""
    torch.set_num_threads(1)
    eager = forecasts_of(network(model), data, ends)
    asks = {"fp32": shipped(fp32), **{name: shipped(content) for name, content in ways.items()}}
    changes = {name: _changes(data, eager, forecasts_of(ask, data, ends)) for name, ask in asks.items()}
    speed = _microseconds({"torch": network(model), **asks}, data.rows(ends[:1]))
    way = min(ways, key=lambda name: (len(failures(changes[name])), len(ways[name]) > LARGEST_SHARE * len(fp32), speed[name]))
    size = len(ways[way])
    return {
        "windows": len(ends),
        "way": way,
        "bytes": {"fp32": len(fp32), "int8": size, "ratio": size / len(fp32)},
        "microseconds": speed,
        "speed": {"int8_beside_fp32": speed["fp32"] / speed[way], "int8_beside_torch": speed["torch"] / speed[way]},
        "fp32": changes["fp32"],
        "int8": changes[way],
        "ways": {name: {"bytes": len(content), "microseconds": speed[name], **changes[name]} for name, content in ways.items()},
    }


def failures(changes: Mapping[str, Any]) -> list[str]:
    """What is beyond the limits that a shipped INT8 file must keep; a change of AUC counts where it is more than chance."""
    found = []
    for horizon, change in changes.items():
        if min(map(abs, change["auc_change_ci"])) > LARGEST_AUC_CHANGE and change["auc_change_ci"][0] * change["auc_change_ci"][1] > 0:
            found.append(f"{horizon} minutes: auc_change is {change['auc_change']:.5f}, beyond {LARGEST_AUC_CHANGE}")
        if change["largest_p_change"] > LARGEST_P_CHANGE:
            found.append(f"{horizon} minutes: largest_p_change is {change['largest_p_change']:.5f}, beyond {LARGEST_P_CHANGE}")
        if change["top_decile_overlap"] < LEAST_OVERLAP:
            found.append(f"{horizon} minutes: top decile overlap is {change['top_decile_overlap']:.3f}, below {LEAST_OVERLAP}")
    return found


def golden(content: bytes, rows: NDArray[np.float32]) -> dict[str, Any]:
    """One window and the file's answer to it, for the hub's self-test before it trusts the file.

    `inputs`: base64 of float16, little-endian, [1, window, features], so that a manifest stays small; `outputs` by name, [horizons];
    `tol`: how far each may lie from that.
    """
    exact = rows.astype("<f2")
    answers = session(content).run(list(OUTPUTS), {"features": exact.astype(np.float32)[None]})
    outputs = {name: [float(number) for number in answer[0]] for name, answer in zip(OUTPUTS, answers, strict=True)}
    width = max(high - low for low, high in zip(outputs["log_return_low"], outputs["log_return_high"], strict=True))
    tolerance = {name: GOLDEN_TOLERANCE * (1.0 if name == "p_up" else width) for name in OUTPUTS}
    return {"inputs": base64.b64encode(exact.tobytes()).decode(), "outputs": outputs, "tol": tolerance}


def _changes(data: Dataset, eager: Forecasts, other: Forecasts) -> dict[str, Any]:
    return {str(horizon): _change(data, eager, other, place) for place, horizon in enumerate(HORIZONS)}


def _change(data: Dataset, eager: Forecasts, other: Forecasts, horizon: int) -> dict[str, Any]:
    before, after = eager.p_up[:, horizon], other.p_up[:, horizon]
    sure, still = set(metrics.surest(before).tolist()), set(metrics.surest(after).tolist())
    difference = against(data, other, eager, horizon, draws=100)
    return {
        "auc_change": difference["difference"],
        "auc_change_ci": difference["ci"],
        "largest_p_change": float(np.abs(after - before).max()),
        "top_decile_overlap": len(sure & still) / len(sure),
        "largest_width_change": float(np.abs((other.high - other.low)[:, horizon] / (eager.high - eager.low)[:, horizon] - 1.0).max()),
    }


def _microseconds(asks: Mapping[str, Ask], one: NDArray[np.float32]) -> dict[str, float]:
    """Median time of one window, the candidates taking turns."""
    took: dict[str, list[float]] = {name: [] for name in asks}
    for _ in range(TIMED_RUNS):
        for name, ask in asks.items():
            begun = time.perf_counter()
            ask(one)
            took[name].append(time.perf_counter() - begun)
    return {name: float(np.median(times[20:]) * 1e6) for name, times in took.items()}
