"""Training that is killed, that finds the disk full, or that several processes do together."""

import json
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.hubs import ENVIRONMENT
from tests.trainer.toy import SMALL, SYMBOLS, stretch
from trainer.fit import read_whole

MINUTES = 13_000
TRAIN = ("-m", "trainer", "train", "--data", "bars", "--spec", "small.toml", "--device", "cpu", "--run")


def run(home: Path, *words: str, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    def limited() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [sys.executable, *words], cwd=home, env=ENVIRONMENT, capture_output=True, text=True, timeout=170, check=False, preexec_fn=limited
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pc")
    for symbol in SYMBOLS:
        bars = stretch(symbol, MINUTES, pull=0.2)
        columns = np.column_stack([bars.open, bars.high, bars.low, bars.close, bars.volume])
        rows = [f"{at},{','.join(f'{number:.8f}' for number in row)}" for at, row in zip(bars.open_time, columns, strict=True)]
        (folder / f"{symbol}.csv").write_text("\n".join(["open_time_ms,open,high,low,close,volume", *rows]) + "\n")
    spec = SMALL.model_copy(update={"validations": 4}).model_dump(exclude_defaults=True)
    (folder / "small.toml").write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in spec.items()))
    assert run(folder, "-m", "trainer", "ingest", ".", "--data", "bars").returncode == 0
    whole = run(folder, *TRAIN, "whole")
    assert whole.returncode == 0, whole.stderr[-2000:]
    return folder


def weights(home: Path, name: str) -> dict[str, np.ndarray]:
    saved = read_whole(home / "runs" / name / "model.pt")
    assert saved is not None
    return {key: value.numpy() for key, value in saved["state"].items()}


@pytest.mark.timeout(400)
def test_a_run_that_is_killed_at_any_moment_ends_as_one_that_is_not(home: Path) -> None:
    chance = random.Random(1)
    for _ in range(4):
        with subprocess.Popen([sys.executable, *TRAIN, "killed"], cwd=home, env=ENVIRONMENT, stderr=subprocess.DEVNULL) as process:
            time.sleep(chance.uniform(3.0, 8.0))
            process.kill()
    last = run(home, *TRAIN, "killed")
    assert last.returncode == 0, last.stderr[-2000:]
    undisturbed = weights(home, "whole")
    for name, value in weights(home, "killed").items():
        np.testing.assert_array_equal(value, undisturbed[name], err_msg=name)


@pytest.mark.timeout(400)
def test_a_full_disk_is_said_in_a_line_and_the_same_command_goes_on(home: Path) -> None:
    full = run(home, *TRAIN, "full", limit=30_000)
    assert full.returncode == 1, full.stderr[-2000:]
    assert "Traceback" not in full.stderr
    assert "cannot be written" in full.stderr
    assert not list((home / "runs" / "full").rglob("*.part"))
    assert run(home, *TRAIN, "full").returncode == 0
    assert weights(home, "full").keys() == weights(home, "whole").keys()


@pytest.mark.timeout(400)
def test_two_processes_train_one_model(home: Path) -> None:
    """As on a machine with two cards; each sees half of every epoch, and one writes."""
    team = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "--no-python", "--", sys.executable)
    both = run(home, *team, *TRAIN, "both")
    assert both.returncode == 0, both.stderr[-3000:]
    facts = json.loads((home / "runs" / "both" / "run.json").read_text())
    assert facts["name"] == "both"
    assert weights(home, "both").keys() == weights(home, "whole").keys()
    assert run(home, "-m", "trainer", "evaluate", "both", "--json").returncode == 0
