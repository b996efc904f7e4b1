"""A whole day of real bars, with a model that comes and goes."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import Mosquitto
from tests.hubs import hub, log_of, log_until, running, status_until, write_values
from tests.models import line_model
from tests.publishing import exported, trainer
from tests.trainer.toy import SMALL
from tests.webhooks import listening

SYMBOLS = {"BTC-USDT": "BTC", "ETH-USDT": "ETH"}


def file_of(shared_data: Path, base: str, stretch: str) -> Path:
    return shared_data / "market" / f"binance_spot_{base}USDT_1m_{stretch}.csv.gz"


@pytest.mark.timeout(580)
def test_a_day_of_the_market_with_models_that_come_prove_themselves_and_go(shared_data: Path, tmp_path: Path) -> None:
    """Collected, forecast, scored, alerted, promoted by the verdict, rolled back, over a real broker at high speed; counts are right."""
    (tmp_path / "broker").mkdir()
    train_small(tmp_path, shared_data)
    bad = exported(tmp_path, "bad", line_model(bias=3.0, name="bad"))
    with Mosquitto(tmp_path / "broker") as broker, listening() as (url, heard):
        files = {f"{base}/USDT": str(file_of(shared_data, base, "20250520_20250714")) for base in SYMBOLS.values()}
        values: dict[str, Any] = {
            "mqtt": {"port": broker.port, "embedded": False},
            "clock": {"start": "2025-05-22T00:00:00Z", "speed": 600},
            "plugins": {
                "collector": {"source": "simulated", "backfill": "26h", "simulated": {"file": files}},
                "inference": {"patience": "4m", "shadow": "0m"},
                "scorecard": {},
                "alerts": {"rules": [{"when": "model", "statuses": ["live", "shadow", "rolled_back"], "cooldown": "0s"}], "urls": [url]},
            },
        }
        write_values(tmp_path, **values)
        (tmp_path / "config.yaml").chmod(0o600)  # the URL may hold a password
        assert hub(tmp_path, "models", "trust", "tickerml.pub").returncode == 0
        with running(tmp_path) as process:
            begun = time.monotonic()
            status_until(tmp_path, lambda _shown: _forecasts(tmp_path))
            taken = trainer(tmp_path, "publish", bad.name, "--wait", "90s")
            assert "accepted: live" in taken.stdout, taken.stderr
            values["plugins"]["inference"]["shadow"] = "12h"
            write_values(tmp_path, **values)
            process.send_signal(signal.SIGHUP)
            log_until(tmp_path, "configuration reloaded")
            tried = trainer(tmp_path, "publish", "mine", "--wait", "90s")
            assert "accepted: shadow" in tried.stdout, tried.stderr + log_of(tmp_path)[-3000:]
            _until(lambda: any(row["model"]["name"] == "mine" and row["role"] == "live" for row in _forecasts(tmp_path)), 150.0)
            state = json.loads(hub(tmp_path, "models", "list", "--json").stdout)
            assert "no worse than the live model: loss -" in state["answer"]["reason"]
            assert state["previous"]["name"] == "bad"
            version = state["live"]["version"]
            assert "bad" in hub(tmp_path, "models", "rollback").stdout
            _until(lambda: time.monotonic() - begun > 144.0)  # a day
        ledger = _forecasts(tmp_path)
    live = [row for row in ledger if row["role"] == "live"]
    assert served(live) == ["starter", "bad", "mine", "bad"]
    told = [each["message"].partition(":")[0] for each in heard]
    assert told == ["model bad 1 live", f"model mine {version} shadow", f"model mine {version} live", f"model mine {version} rolled back"]
    keys = [(row["symbol"], row["horizon_minutes"], row["open_time"]) for row in live]
    assert len(keys) == len(set(keys)), "each once"
    slots = len(keys) / 6
    assert slots > 200, "most of a day's 288 slots, on a busy machine"
    scored = [row for row in live if row["state"] == "scored"]
    newest = max(row["made_at"] for row in live)
    due = [row for row in live if row["target_time"] < newest]
    assert len(due) <= len(scored) + 6
    assert all(abs(row["outcome"]) < 0.1 for row in scored)


def train_small(home: Path, shared_data: Path) -> None:
    """The run `mine`, from a month of both coins."""
    small = SMALL.model_copy(update={"epochs": 1})
    (home / "small.toml").write_text(
        "".join(f"{key} = {json.dumps(value)}\n" for key, value in small.model_dump(exclude_defaults=True).items())
    )
    march = [str(file_of(shared_data, base, "20250301_20250401")) for base in SYMBOLS.values()]
    for words in (
        ("keygen",),
        ("ingest", *march, "--data", "bars"),
        ("train", "--data", "bars", "--run", "mine", "--spec", "small.toml"),
        ("export", "mine"),
    ):
        answer = trainer(home, *words)
        assert answer.returncode == 0, answer.stderr[-2000:]


def served(ledger: list[dict[str, Any]]) -> list[str]:
    """Which models followed one another."""
    names = [row["model"]["name"] for row in sorted(ledger, key=lambda row: row["made_at"])]
    return [name for number, name in enumerate(names) if number == 0 or names[number - 1] != name]


def _forecasts(home: Path) -> list[dict[str, Any]]:
    answer = hub(home, "forecasts", "list", "--since", "2d", "--json")
    found: list[dict[str, Any]] = json.loads(answer.stdout) if answer.returncode == 0 else []
    return found


def _until(wanted: Any, seconds: float = 200.0) -> None:
    end = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < end
        time.sleep(0.5)
