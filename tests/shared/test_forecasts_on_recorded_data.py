"""Forecasts of real bars: the same live, replayed, and by the trainer; and a whole day with a model that comes and goes."""

import csv
import gzip
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hub.clock import SystemClock
from hub.market.interval import from_ms, to_ms
from hub.messages import Bar, Forecast
from hub.testing import FakeClock, FakeHub, MemoryStore
from plugins.inference.forecasting import Forecasting
from tests.brokers import Mosquitto
from tests.hubs import ENVIRONMENT, hub, log_of, running, status_until, write_values
from tests.models import FakeSlot
from tests.trainer.toy import SMALL
from trainer.dataset import build_dataset
from trainer.export import shipped
from trainer.forecasts import forecasts_of
from trainer.ingest import ingest
from trainer.series import load
from trainer.starter import starter_file

SYMBOLS = {"BTC-USDT": "BTC", "ETH-USDT": "ETH"}
SLOTS = 500
"""Of each symbol: a thousand windows in all."""


def file_of(shared_data: Path, base: str, stretch: str) -> Path:
    return shared_data / "market" / f"binance_spot_{base}USDT_1m_{stretch}.csv.gz"


def bars_of(file: Path, symbol: str, most: int) -> list[Bar]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = [row for _, row in zip(range(most), csv.DictReader(lines), strict=False)]
    names = ("open", "high", "low", "close", "volume")
    return [
        Bar(
            symbol=symbol,
            open_time=from_ms(int(row["open_time_ms"])),
            source="binance",
            **{name: float(row[name]) for name in names},
        )
        for row in rows
    ]


@pytest.mark.timeout(580)
async def test_forecasts_are_the_same_live_replayed_and_by_the_trainer(shared_data: Path, tmp_path: Path) -> None:
    """What was said live, from a store that ended there, is what the whole history gives later, and what training saw."""
    files = {symbol: file_of(shared_data, base, "20250921_20250925") for symbol, base in SYMBOLS.items()}
    bars = {symbol: bars_of(file, symbol, 1500 + 5 * SLOTS) for symbol, file in files.items()}
    content = starter_file().read_bytes()
    for name in ("live", "later"):
        (tmp_path / name).mkdir()
    live = FakeHub(clock=FakeClock(), store=MemoryStore(), data_dir=tmp_path / "live")
    later = FakeHub(clock=FakeClock(), store=MemoryStore([bar for each in bars.values() for bar in each]), data_dir=tmp_path / "later")
    said: list[list[Forecast]] = [[], []]
    asked = [Forecasting(each, FakeSlot(content)) for each in (live, later)]
    begin = 0
    for slot in range(SLOTS):
        end = 1500 + 5 * slot
        live.store.record([bar for each in bars.values() for bar in each[begin:end]])
        begin = end
        for symbol, each in bars.items():
            for place, forecasting in enumerate(asked):
                said[place] += await forecasting.about(symbol, to_ms(each[end - 1].open_time))
    for first, second in zip(*said, strict=True):
        assert first.price == pytest.approx(second.price, rel=1e-6)
        assert first.p_up == pytest.approx(second.p_up, abs=1e-6)
    assert len(said[0]) == 2 * SLOTS * 3
    ingest(list(files.values()), tmp_path / "bars", None, "spot", to_ms(SystemClock().now()))
    data = build_dataset(load(tmp_path / "bars"), 60)
    places = {(data.symbols[number], int(at)): row for row, (number, at) in enumerate(zip(data.symbol, data.open_time, strict=True))}
    known = [each for each in said[0][::3] if (each.symbol, to_ms(each.open_time)) in places]
    assert len(known) > SLOTS
    theirs = forecasts_of(shipped(content), data, np.array([places[each.symbol, to_ms(each.open_time)] for each in known]))
    np.testing.assert_allclose([each.p_up for each in known], theirs.p_up[:, 0], atol=1e-6)
    np.testing.assert_allclose([np.log(each.price / each.last_close) for each in known], theirs.expected[:, 0], atol=1e-7)


def trainer(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trainer", *words]
    return subprocess.run(command, cwd=home, env=ENVIRONMENT, capture_output=True, text=True, timeout=280, check=False)


@pytest.mark.timeout(580)
def test_a_day_of_the_market_with_a_model_that_is_trained_published_and_taken_back(shared_data: Path, tmp_path: Path) -> None:
    """Collected, forecast, scored, promoted, rolled back, over a real broker at high speed; and the counts are right."""
    (tmp_path / "broker").mkdir()
    small = SMALL.model_copy(update={"epochs": 1})
    (tmp_path / "small.toml").write_text(
        "".join(f"{key} = {json.dumps(value)}\n" for key, value in small.model_dump(exclude_defaults=True).items())
    )
    march = [str(file_of(shared_data, base, "20250301_20250401")) for base in SYMBOLS.values()]
    for words in (
        ("keygen",),
        ("ingest", *march, "--data", "bars"),
        ("train", "--data", "bars", "--run", "mine", "--spec", "small.toml"),
        ("export", "mine"),
    ):
        answer = trainer(tmp_path, *words)
        assert answer.returncode == 0, answer.stderr[-2000:]
    with Mosquitto(tmp_path / "broker") as broker:
        files = {f"{base}/USDT": str(file_of(shared_data, base, "20250520_20250714")) for base in SYMBOLS.values()}
        write_values(
            tmp_path,
            mqtt={"port": broker.port, "embedded": False},
            clock={"start": "2025-05-22T00:00:00Z", "speed": 600},
            plugins={
                "collector": {"source": "simulated", "backfill": "26h", "simulated": {"file": files}},
                "inference": {"patience": "4m", "shadow": "0m"},
                "scorecard": {},
            },
        )
        assert hub(tmp_path, "models", "trust", "tickerml.pub").returncode == 0
        with running(tmp_path):
            begun = time.monotonic()
            status_until(tmp_path, lambda shown: shown.get("forecasts") or _forecasts(tmp_path))
            published = trainer(tmp_path, "publish", "mine", "--wait", "90s")
            assert published.returncode == 0, published.stderr + log_of(tmp_path)[-3000:]
            _until(lambda: any(row["model"]["name"] == "mine" for row in _forecasts(tmp_path)))
            assert hub(tmp_path, "models", "rollback").returncode == 0
            _until(lambda: time.monotonic() - begun > 144.0)  # a day
        ledger = _forecasts(tmp_path)
    names = [row["model"]["name"] for row in sorted(ledger, key=lambda row: row["made_at"])]
    assert names[0] == "starter"
    assert names[-1] == "starter"
    assert "mine" in names
    keys = [(row["symbol"], row["horizon_minutes"], row["open_time"]) for row in ledger]
    assert len(keys) == len(set(keys)), "each once"
    slots = len(keys) / 6
    assert slots > 200, "most of a day's 288 slots, on a busy machine"
    scored = [row for row in ledger if row["state"] == "scored"]
    newest = max(row["made_at"] for row in ledger)
    due = [row for row in ledger if row["target_time"] < newest]
    assert len(due) <= len(scored) + 6
    assert all(abs(row["outcome"]) < 0.1 for row in scored)


def _forecasts(home: Path) -> list[dict[str, Any]]:
    answer = hub(home, "forecasts", "list", "--since", "2d", "--json")
    found: list[dict[str, Any]] = json.loads(answer.stdout) if answer.returncode == 0 else []
    return found


def _until(wanted: Any, seconds: float = 200.0) -> None:
    end = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < end
        time.sleep(0.5)
