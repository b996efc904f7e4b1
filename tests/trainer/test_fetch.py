"""History from an exchange: a simulated one, in a process of its own, which speaks the real one's API."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.trainer.test_ingest import trainer
from trainer.month import month_files
from trainer.series import load

ROOT = Path(__file__).parents[2]


@pytest.fixture
def exchange() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "plugins.collector.simulated"], stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as process:
        yield process
        process.kill()


def configure(folder: Path, base_url: str) -> None:
    section = {"source": "binanceus", "binanceus": {"base_url": base_url}, "fallback": "coingecko"}
    (folder / "config.yaml").write_text(json.dumps({"symbols": ["SOL/USDT"], "data_dir": "hub", "plugins": {"collector": section}}))


def test_history_comes_from_the_exchange_and_only_what_is_missing_is_asked_for(exchange: subprocess.Popen[str], tmp_path: Path) -> None:
    """Two days, then three: bars without a gap, with all that the exchange tells; the hub's own data is not touched."""
    assert exchange.stdout is not None
    configure(tmp_path, exchange.stdout.readline().strip())
    answer = trainer(tmp_path, "fetch", "--symbol", "BTC/USDT", "--days", "2", "--data", "data", "--json")
    assert answer.returncode == 0, answer.stderr
    [told] = json.loads(answer.stdout)["files"]
    assert (told["symbol"], told["kept"], told["gaps"]["stretches"]) == ("BTC-USDT", told["rows"], 0)
    assert 2860 <= told["kept"] <= 2880
    answer = trainer(
        tmp_path, "-c", "config.yaml", "fetch", "--symbol", "BTC/USDT", "--symbol", "ETH/USDT", "--days", "3", "--data", "data"
    )
    assert answer.returncode == 0, answer.stderr
    assert "BTC-USDT, 4,3" in answer.stdout
    assert "minutes" in answer.stderr, "the progress bar"
    bars = load(tmp_path / "data")
    assert {symbol: len(stretches) for symbol, stretches in bars.items()} == {"BTC-USDT": 1, "ETH-USDT": 1}
    [bitcoin] = bars["BTC-USDT"]
    assert np.all(bitcoin.taker_buy_volume <= bitcoin.volume)
    assert np.isfinite(bitcoin.trades).all()
    assert not (tmp_path / "hub").exists()


def test_trouble_is_told_with_its_exit_code(exchange: subprocess.Popen[str], tmp_path: Path) -> None:
    """An unknown symbol fails; an exchange that is not there is a dependency that is down."""
    assert exchange.stdout is not None
    configure(tmp_path, exchange.stdout.readline().strip())
    answer = trainer(tmp_path, "fetch", "--symbol", "FOO/BAR", "--days", "1", "--data", "data")
    assert (answer.returncode, "FOO-BAR: no bar came from binanceus; is it traded there?" in answer.stderr) == (1, True)
    exchange.kill()
    exchange.wait()
    answer = trainer(tmp_path, "fetch", "--symbol", "BTC/USDT", "--days", "1", "--data", "data")
    assert (answer.returncode, "connection refused" in answer.stderr, "Traceback" in answer.stderr) == (4, True, False)
    assert month_files(tmp_path / "data" / "bars" / "BTC-USDT") == []
    assert trainer(tmp_path, "fetch", "--symbol", "BTC/USDT", "--days", "0", "--data", "data").returncode == 2
    assert trainer(tmp_path, "-c", "nowhere.yaml", "fetch", "--symbol", "BTC/USDT", "--days", "1", "--data", "data").returncode == 3
