"""A new model's first runs, in a process of their own with little memory, little time and nothing around it.

`python -m plugins.inference.self_test FILE` reads the offer from stdin and says what it found as one line of JSON.
"""

import asyncio
import base64
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hub.offer import OUTPUTS, Offer, OfferRefused
from plugins.inference.onnx_look import look
from plugins.inference.refusal import ModelFailed, Refused
from plugins.inference.session import Model

WALL_S = 30.0
CPU_S = 25
MEMORY_BYTES = 1024 * 1024 * 1024
"""Of address space: onnxruntime alone maps a third of it."""
RUNS = 100
SLOWEST_S = 0.5
"""99 of 100 runs take less."""


async def self_test(file: Path, offer: Offer) -> None:
    """Returns if the model in this file (an absolute path) may be tried. OfferRefused, in words, if not."""
    with tempfile.TemporaryDirectory(prefix="tickerml-") as nowhere:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "plugins.inference.self_test", str(file)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=nowhere,
            env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        try:
            async with asyncio.timeout(WALL_S):
                told, _ = await child.communicate(offer.model_dump_json(by_alias=True).encode())
        except TimeoutError as error:
            raise OfferRefused(f"self-test: it was not through within {WALL_S:g} s") from error
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
    try:
        problem = json.loads(told)["problem"]
    except (ValueError, LookupError, TypeError) as error:
        raise OfferRefused(f"self-test: it took its process down ({_ending(child.returncode)})") from error
    if problem is not None:
        raise OfferRefused(f"self-test: {problem}")


def _ending(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}; out of memory?"


def examine(content: bytes, offer: Offer, nowhere: Path) -> None:
    """All that is asked of a new model. OfferRefused or ModelFailed, in words, where it does not pass."""
    look(content)
    model = Model(content, nowhere)
    facts = model.facts
    if (facts.name, facts.version, facts.window, facts.horizons) != (offer.name, offer.version, offer.window, offer.horizons):
        raise OfferRefused("name, version, window or horizons in the file are not those of the offer")
    facts.refuse_features()
    rows = _golden_rows(offer, len(facts.feature_set.names))
    _compare(model.run(rows), offer)
    took = []
    for number in range(RUNS):
        begun = time.perf_counter()
        model.run(np.roll(rows, number, axis=0))
        took.append(time.perf_counter() - begun)
    if (slowest := sorted(took)[int(RUNS * 0.99) - 1]) > SLOWEST_S:
        raise OfferRefused(f"one run takes {slowest:.2f} s here, and {SLOWEST_S:g} s are the most")


def _golden_rows(offer: Offer, features: int) -> NDArray[np.float32]:
    rows = np.frombuffer(base64.b64decode(offer.golden.inputs), "<f2").astype(np.float32)
    if rows.size != offer.window * features:
        raise OfferRefused(f"the golden window has {rows.size} numbers, and {offer.window} x {features} are needed")
    return rows.reshape(offer.window, features)


def _compare(said: NDArray[np.float64], offer: Offer) -> None:
    for name, answer in zip(OUTPUTS, said, strict=True):
        expected = np.array(offer.golden.outputs[name])
        if expected.shape != answer.shape or (far := float(np.abs(answer - expected).max())) > offer.golden.tol[name]:
            words = "has another shape" if expected.shape != answer.shape else f"is {far:.3g} off, beyond {offer.golden.tol[name]:.3g}"
            raise OfferRefused(f"on the golden window {name} {words}: this machine does not compute what the trainer's did")


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def main() -> None:
    """In the child."""
    file, offer = Path(sys.argv[1]), Offer.model_validate_json(sys.stdin.buffer.read())
    problem: Any = None
    try:
        _limit()
        examine(file.read_bytes(), offer, Path.cwd())
    except Exception as error:  # noqa: BLE001 - whatever it is, the model did not pass
        problem = str(error) if isinstance(error, OfferRefused | ModelFailed | Refused) else f"{type(error).__name__}: {error}"[:300]
    sys.stdout.write(json.dumps({"problem": problem}))


if __name__ == "__main__":
    main()
