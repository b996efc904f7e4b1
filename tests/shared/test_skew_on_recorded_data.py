"""No skew on real bars: what was forecast live is what the store says later, and what the trainer's own code says of the same minutes."""

import asyncio
import gzip
from collections.abc import Sequence
from csv import DictReader
from math import log
from pathlib import Path

import numpy as np
import pytest
import torch

from hub.market.features import LOOK_BACK
from hub.market.interval import MINUTE_MS, from_ms, to_ms
from hub.messages import Bar, Forecast
from hub.runtime.disk.store import SqliteStore
from hub.testing import FakeClock, FakeHub
from plugins.inference.forecasting import Forecasting
from plugins.inference.slot import STARTER
from tests.models import FakeSlot
from trainer.dataset import Dataset, build_dataset
from trainer.export import describe, shipped, to_onnx
from trainer.forecasts import forecasts_of, network
from trainer.model import Forecaster
from trainer.series import Stretch
from trainer.spec import Spec

STRETCH = "20250921_20250925"
SLOTS = {"starter": 500, "fresh": 60}
"""Every five minutes, of two symbols: a thousand windows, and some."""
SYMBOLS = ("BTC-USDT", "ETH-USDT")
NUMBERS = ("open", "high", "low", "close", "volume")


def rows_of(shared_data: Path, symbol: str, slots: int) -> np.ndarray:
    file = shared_data / "market" / f"binance_spot_{symbol.replace('-', '')}_1m_{STRETCH}.csv.gz"
    with gzip.open(file, "rt") as lines:
        rows = [[float(row[name]) for name in ("open_time_ms", *NUMBERS)] for row in DictReader(lines)]
    return np.array(rows[: LOOK_BACK + 59 + 5 * (slots - 1)])


def bars_of(symbol: str, rows: np.ndarray) -> list[Bar]:
    return [
        Bar(symbol=symbol, open_time=from_ms(int(row[0])), **dict(zip(NUMBERS, row[1:].tolist(), strict=True)), source="binance")
        for row in rows
    ]


def dataset(series: dict[str, np.ndarray], window: int) -> Dataset:
    """As `trainer ingest` and `train` see the same files."""
    stretches = {}
    for symbol, rows in series.items():
        nothing = np.full(len(rows), np.nan)
        stretches[symbol] = [Stretch(symbol, rows[:, 0].astype(np.int64), *rows[:, 1:].T.copy(), nothing, nothing, nothing)]
    return build_dataset(stretches, window)


async def live_and_replayed(content: bytes, series: dict[str, np.ndarray], folder: Path) -> tuple[list[Forecast], list[Forecast]]:
    """Forecasts made while the bars came in, and forecasts of the same minutes made when all of them were there."""
    store = SqliteStore.open(folder / "tickerml.db", FakeClock())
    hub = FakeHub(store=store, data_dir=folder)
    forecasting = Forecasting(hub, FakeSlot(content))
    live: list[Forecast] = []
    asked = list[tuple[str, int]]()
    for end in range(LOOK_BACK + 58, len(series["BTC-USDT"]), 5):
        first = 0 if end == LOOK_BACK + 58 else end - 4
        for symbol in SYMBOLS:
            store.record(bars_of(symbol, series[symbol][first : end + 1]))
        for symbol in SYMBOLS:
            asked.append((symbol, int(series[symbol][end, 0])))
            live += await forecasting.about(*asked[-1])
    replayed = [forecast for symbol, at in asked for forecast in await forecasting.about(symbol, at)]
    await hub.http.aclose()
    store.close()
    return live, replayed


def numbers(forecasts: Sequence[Forecast]) -> np.ndarray:
    """[forecasts, 4]: expected, low, high as log returns, and P(up)."""
    return np.array([[*(log(price / each.last_close) for price in (each.price, each.low, each.high)), each.p_up] for each in forecasts])


def by_the_trainer(ask: object, data: Dataset, forecasts: Sequence[Forecast]) -> np.ndarray:
    """What the trainer's own code says of the same windows, one at a time, in the same order."""
    place = {(data.symbols[data.symbol[at]], int(data.open_time[at])): at for at in range(len(data))}
    known = [each for each in forecasts if (each.symbol, to_ms(each.open_time)) in place]
    ends = np.array([place[each.symbol, to_ms(each.open_time)] for each in known[::3]])
    said = forecasts_of(ask, data, ends, batch=1)  # type: ignore[arg-type]
    return np.stack([said.expected, said.low, said.high, said.p_up], axis=2).reshape(-1, 4)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["starter", "fresh"])
def test_a_thousand_live_forecasts_are_those_of_the_replay_and_of_the_trainer(kind: str, shared_data: Path, tmp_path: Path) -> None:
    """starter: the shipped INT8 file. fresh: a network of the default spec, whose own forward pass in PyTorch is held against the hub's."""
    series = {symbol: rows_of(shared_data, symbol, SLOTS[kind]) for symbol in SYMBOLS}
    assert (np.diff(series["BTC-USDT"][:, 0]) == MINUTE_MS).all()
    content, ask, tolerance = STARTER.read_bytes(), None, 1e-6
    if kind == "fresh":
        torch.manual_seed(1)
        model = Forecaster(Spec(kind="patch")).eval()
        told = {
            "name": "fresh",
            "spec": {"window": 60},
            "symbols": list(SYMBOLS),
            "trained_from": "",
            "trained_until": "",
            "trained_on": {},
        }
        content, ask, tolerance = describe(to_onnx(model), told, {}, from_ms(0), "1"), network(model), 1e-4
    live, replayed = asyncio.run(live_and_replayed(content, series, tmp_path))
    assert len(live) == 3 * 2 * SLOTS[kind]
    np.testing.assert_allclose(numbers(live), numbers(replayed), rtol=0, atol=1e-6)
    theirs = by_the_trainer(ask or shipped(content), dataset(series, 60), live)
    matched = [each for each in live if to_ms(each.open_time) + 30 * MINUTE_MS <= int(series["BTC-USDT"][-1, 0])]
    assert len(matched) == len(live) - 3 * 2 * 6, "the newest have no outcome yet, which training needs"
    np.testing.assert_allclose(numbers(matched), theirs, rtol=0, atol=tolerance)
