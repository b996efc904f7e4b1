"""`trainer train, evaluate, export` as their user types them, on a small market with memory."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hub.market.features import FEATURE_HASH, FEATURES
from hub.market.interval import from_ms
from tests.trainer.toy import SMALL, SYMBOLS, stretch
from trainer.export import OUTPUTS, session
from trainer.model_file import told_by

ROOT = Path(__file__).parents[2]
MINUTES = 14_000


def trainer(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "trainer", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with bars, a spec, and a run that has been trained, judged and exported."""
    folder = tmp_path_factory.mktemp("pc")
    for symbol in SYMBOLS:
        bars = stretch(symbol, MINUTES, pull=0.2)
        columns = np.column_stack([bars.open, bars.high, bars.low, bars.close, bars.volume])
        rows = [f"{at},{','.join(f'{number:.8f}' for number in row)}" for at, row in zip(bars.open_time, columns, strict=True)]
        (folder / f"{symbol}.csv").write_text("\n".join(["open_time_ms,open,high,low,close,volume", *rows]) + "\n")
    changed = SMALL.model_dump(exclude_defaults=True)
    (folder / "small.toml").write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in changed.items()))
    for words in (
        ("ingest", ".", "--data", "bars"),
        ("train", "--data", "bars", "--run", "toy", "--spec", "small.toml"),
        ("evaluate", "toy"),
        ("export", "toy"),
    ):
        answer = trainer(folder, *words)
        assert answer.returncode == 0, (words, answer.stderr[-2000:])
    return folder


@pytest.mark.timeout(300)
def test_a_run_is_judged_on_stretches_it_has_not_seen_beside_the_baselines(home: Path) -> None:
    """The table of the contract, for each symbol and horizon, and for both symbols together."""
    table: dict[str, Any] = json.loads(trainer(home, "evaluate", "toy", "--data", "bars", "--json").stdout)
    assert set(table["symbols"]) == {*SYMBOLS, "all"}
    for horizons in table["symbols"].values():
        for horizon in ("5", "10", "30"):
            entry = horizons[horizon]
            assert {"n", "mse_skill", "auc", "auc_ci", "brier", "ece", "coverage80", "ic", "hit_rate_top_decile"} <= set(entry)
            assert {"persistence", "linear"} <= set(entry["baselines"])
            assert entry["baselines"]["persistence"]["mse_skill"] == 0.0
            assert entry["baselines"]["persistence"]["auc"] == 0.5
    assert table["symbols"]["all"]["5"]["auc"] > 0.55
    assert table["symbols"]["all"]["5"]["auc_ci"][0] > 0.5


def test_the_report_says_plainly_how_good_it_is_and_needs_nothing_from_elsewhere(home: Path) -> None:
    page = (home / "runs" / "toy" / "report.html").read_text()
    assert "better than a coin" in page
    assert page.count("<img") == 5
    assert "http" not in page.replace("data:image", "")


def test_the_model_file_says_what_it_is_and_gives_every_output(home: Path) -> None:
    """Raw rows in, four numbers for each horizon out; no path of this machine inside."""
    content = (home / "runs" / "toy" / "model.onnx").read_bytes()
    told = told_by(content)
    assert told["feature_set"] == {"names": list(FEATURES), "hash": FEATURE_HASH}
    assert (told["window"], told["horizons"], told["symbols"]) == (60, [5, 10, 30], list(SYMBOLS))
    assert told["scores"]["5"]["auc"] > 0.55
    for path in (str(home), str(ROOT), "site-packages"):
        assert path.encode() not in content
    answers = session(content).run(list(OUTPUTS), {"features": np.zeros((3, 60, len(FEATURES)), np.float32)})
    assert [answer.shape for answer in answers] == [(3, 3)] * 4


def test_int8_says_nearly_what_the_network_says(home: Path) -> None:
    parity = json.loads((home / "runs" / "toy" / "export.json").read_text())
    for horizon in ("5", "10", "30"):
        assert parity["fp32"][horizon]["largest_p_change"] < 1e-5
        assert parity["int8"][horizon]["largest_p_change"] <= 0.01


def test_a_run_goes_on_with_what_it_has_and_refuses_another_experiment(home: Path) -> None:
    """A second call trains nothing; other data or another spec needs another name."""
    weights = home / "runs" / "toy" / "model.pt"
    before = weights.stat().st_mtime_ns
    again = trainer(home, "train", "--data", "bars", "--run", "toy", "--spec", "small.toml")
    assert (again.returncode, weights.stat().st_mtime_ns) == (0, before)
    other = trainer(home, "train", "--data", "bars", "--run", "toy", "--spec", "small.toml", "--epochs", "3")
    assert other.returncode == 1
    assert "was begun with other spec; choose another --run" in other.stderr


def test_a_model_file_is_judged_on_newer_bars_and_not_on_those_it_has_seen(home: Path) -> None:
    model = str(home / "runs" / "toy" / "model.onnx")
    seen = trainer(home, "evaluate", model, "--data", "bars")
    assert seen.returncode == 1
    assert "has seen all of this" in seen.stderr
    for symbol in SYMBOLS:
        bars = stretch(symbol, 4_000, pull=0.2, seed=2, first=int(stretch(symbol, 1).open_time[0]) + MINUTES * 60_000)
        columns = np.column_stack([bars.open_time, bars.open, bars.high, bars.low, bars.close, bars.volume])
        text = "\n".join(f"{int(row[0])},{','.join(f'{number:.8f}' for number in row[1:])}" for row in columns)
        (home / "newer").mkdir(exist_ok=True)
        (home / "newer" / f"{symbol}.csv").write_text(f"open_time_ms,open,high,low,close,volume\n{text}\n")
    assert trainer(home, "ingest", "newer", "--data", "newer-bars").returncode == 0
    judged = trainer(home, "evaluate", model, "--data", "newer-bars", "--json")
    assert judged.returncode == 0, judged.stderr
    table = json.loads(judged.stdout)
    assert table["symbols"]["all"]["5"]["auc"] > 0.55
    assert table["from"] >= from_ms(int(stretch(SYMBOLS[0], 1).open_time[0])).isoformat()[:10]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("train", "--data", "nowhere", "--run", "x"), 1, "holds no bars yet"),
        (("train", "--data", "bars", "--run", "../x"), 1, "is no name for a run"),
        (("train", "--data", "bars", "--run", "x", "--spec", "none.toml"), 3, "none.toml: cannot be read"),
        (("train", "--data", "bars", "--run", "x", "--spec", "bad.toml"), 3, "bad.toml: d_mdoel: unknown key; did you mean 'd_model'?"),
        (("evaluate", "nobody", "--data", "bars"), 1, "no finished run"),
        (("evaluate", "nothing.onnx", "--data", "bars"), 1, "nothing.onnx: cannot be read"),
        (("evaluate", "junk.onnx", "--data", "bars"), 1, "junk.onnx: not an ONNX file"),
    ],
)
def test_mistakes_are_told_in_words(home: Path, words: tuple[str, ...], code: int, said: str) -> None:
    (home / "junk.onnx").write_bytes(b"no model at all")
    (home / "bad.toml").write_text('kind = "patch"\nd_mdoel = 3\n')
    answer = trainer(home, *words)
    assert answer.returncode == code
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr
