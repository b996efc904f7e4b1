"""SIGKILL at any moment: a bar that the store confirmed is there afterwards, once, and whole."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from hub.clock import SystemClock
from hub.market.interval import MINUTE_MS, to_ms
from hub.runtime.store import SqliteStore
from hub.testing import START

WRITER = Path(__file__).parent / "crash" / "writer.py"
T = to_ms(START)


def lost_bars(folder: Path, kills: int, mutant: str = "none") -> list[int]:
    """Numbers of the bars that were confirmed and are not there after the kills."""
    chance, path = random.Random(7), folder / "tickerml.db"
    lost: list[int] = []
    for _ in range(kills):
        with subprocess.Popen(
            [sys.executable, str(WRITER), str(path), mutant], stdout=subprocess.PIPE, text=True, cwd=WRITER.parents[2]
        ) as child:
            assert child.stdout is not None
            confirmed = [int(child.stdout.readline()) for _ in range(chance.randint(1, 15))]
            child.kill()
            confirmed += [int(line) for line in child.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        store = SqliteStore.open(path, SystemClock())
        assert store.recovered is None
        kept = {(to_ms(bar.open_time) - T) // MINUTE_MS: bar.close for bar in store.bars("BTC-USDT", T, T + 10**10)}
        lost += [minute for minute in confirmed if kept.get(minute) != minute + 1.0]
        store.close()
    return lost


@pytest.mark.timeout(300)
def test_no_confirmed_bar_is_lost_in_100_kills(tmp_path: Path) -> None:
    """The promise of the product."""
    assert lost_bars(tmp_path, 100) == []


def test_the_harness_sees_a_store_that_confirms_too_early(tmp_path: Path) -> None:
    """A harness that cannot fail proves nothing."""
    assert lost_bars(tmp_path, 25, "confirm before commit")


@pytest.mark.torture
def test_no_confirmed_bar_is_lost_in_1000_kills(tmp_path: Path) -> None:
    """The same, ten times as long."""
    assert lost_bars(tmp_path, 1000) == []
