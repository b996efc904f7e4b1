"""One forecast from end to end, its parts, and onnxruntime with nothing around it; and what a hub weighs that forecasts."""

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime

from bench.row import Row, interleaved
from hub.market.interval import MINUTE_MS, to_ms
from hub.runtime.disk.recorder import Recorder
from hub.runtime.disk.store import SqliteStore
from hub.testing import START, FakeClock, FakeHub
from plugins.inference.forecasting import Forecasting
from plugins.inference.model_file import INPUT, OUTPUTS
from plugins.inference.session import Model
from plugins.inference.slot import STARTER
from plugins.inference.window import read_window
from tests.models import FakeSlot
from tests.plugins.inference.situations import DAY, market_bars

LAST = to_ms(START) - MINUTE_MS


def rows(rounds: int = 100) -> list[Row]:
    """From bars on disk to forecasts on disk, with the model that comes with the hub."""
    with tempfile.TemporaryDirectory() as name:
        folder, content = Path(name), STARTER.read_bytes()
        store = SqliteStore.open(folder / "tickerml.db", FakeClock())
        for seed, symbol in enumerate(("BTC-USDT", "ETH-USDT")):
            store.record(market_bars(symbol, DAY, START, seed))
        whole = asyncio.run(_end_to_end(store, folder, content, rounds))
        model = Model(content, folder)
        window = read_window(store, "BTC-USDT", model.facts, LAST)
        bare = _bare(content)
        reads = interleaved(
            rounds,
            _timed(lambda: store.bars("BTC-USDT", LAST - (DAY - 1) * MINUTE_MS, LAST)),
            _timed(lambda: read_window(store, "BTC-USDT", model.facts, LAST)),
        )
        runs = interleaved(  # apart: who runs first after a read would find the processor's caches full of bars
            rounds, *(_timed(lambda ask=ask: [ask(window.rows) for _ in range(10)]) for ask in (model.run, bare))
        )
        store.close()
    bars, windows = (median(column) for column in zip(*reads, strict=True))
    ours, theirs = (median(column) for column in zip(*runs, strict=True))
    return [
        Row("one forecast", whole, "ms", note="read, features, run, record in one transaction; three horizons"),
        Row("forecast: bars", bars, "ms", note=f"{DAY:,} bars from disk, checked; a part of the next"),
        Row("forecast: window", windows, "ms", note="with the bars: the rows that the model sees"),
        Row(
            "forecast: run",
            1e4 / ours,
            "runs/s",
            1e4 / theirs,
            "onnxruntime with nothing around it",
            median(other / mine for mine, other in runs),
            at_least=1 / 1.1,
            note="with the look at what the model says",
        ),
    ]


async def _end_to_end(store: SqliteStore, folder: Path, content: bytes, rounds: int) -> float:
    hub, recorder = FakeHub(store=store, data_dir=folder), Recorder(store, FakeClock())
    forecasting, took = Forecasting(hub, FakeSlot(content)), list[float]()
    for _ in range(rounds + 3):
        begun = time.perf_counter()
        await recorder.record(await forecasting.about("BTC-USDT", LAST))
        took.append((time.perf_counter() - begun) * 1e3)
    await hub.http.aclose()
    return median(took[3:])


def _bare(content: bytes) -> Callable[[np.ndarray], object]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda rows: session.run(list(OUTPUTS), {INPUT: rows[None]})


def _timed(work: Callable[[], object]) -> Callable[[], float]:
    def measure() -> float:
        begun = time.perf_counter()
        work()
        return (time.perf_counter() - begun) * 1e3

    return measure
