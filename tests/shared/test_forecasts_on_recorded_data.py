"""A whole day of real bars, with a model that comes and goes."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import Mosquitto
from tests.hubs import ENVIRONMENT, hub, log_of, running, status_until, write_values
from tests.trainer.toy import SMALL

SYMBOLS = {"BTC-USDT": "BTC", "ETH-USDT": "ETH"}


def file_of(shared_data: Path, base: str, stretch: str) -> Path:
    return shared_data / "market" / f"binance_spot_{base}USDT_1m_{stretch}.csv.gz"


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
