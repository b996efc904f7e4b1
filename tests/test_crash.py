"""SIGKILL at any moment: a bar that the store confirmed is there afterwards, once, and whole."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from hub.clock import SystemClock
from hub.market.interval import MINUTE_MS, to_ms
from hub.runtime.disk.store import SqliteStore
from hub.testing import START

WRITER = Path(__file__).parent / "crash" / "writer.py"
T = to_ms(START)
SYMBOLS = ("BTC-USDT", "ETH-USDT")


def lost_minutes(folder: Path, kills: int, mutant: str = "none") -> list[int]:
    """Minutes that were confirmed and are not there after the kills, or of which one of the two bars is."""
    chance, path = random.Random(7), folder / "tickerml.db"
    lost: list[int] = []
    with subprocess.Popen(
        [sys.executable, "-c", "from runpy import run_path; import sys; run_path(sys.argv[1])", str(WRITER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=WRITER.parents[2],
    ) as nursery:
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        for _ in range(kills):
            print(path, mutant, sep="\t", file=nursery.stdin, flush=True)
            child = int(nursery.stdout.readline())
            confirmed = [int(nursery.stdout.readline()) for _ in range(chance.randint(1, 15))]
            time.sleep(chance.random() * 0.005)
            os.kill(child, signal.SIGKILL)
            while (line := nursery.stdout.readline()) != "dead\n":
                confirmed.append(int(line))
            lost += not_kept(path, confirmed)
        nursery.stdin.close()
    return lost + not_kept(path, range(max(confirmed) + 1) if mutant == "none" else ())


def not_kept(path: Path, minutes: Sequence[int]) -> list[int]:
    """Which of these minutes the store does not have, for both symbols and with the right numbers."""
    with closing(SqliteStore.open(path, SystemClock())) as store:
        assert store.recovered is None
        first, last = (T + minute * MINUTE_MS for minute in (min(minutes, default=0), max(minutes, default=-1)))
        kept = [{(to_ms(bar.open_time) - T) // MINUTE_MS: bar.close for bar in store.bars(symbol, first, last)} for symbol in SYMBOLS]
    return [minute for minute in minutes if any(bars.get(minute) != minute + 1.0 for bars in kept)]


def test_no_confirmed_bar_is_lost_in_100_kills(tmp_path: Path) -> None:
    """The promise of the product."""
    assert lost_minutes(tmp_path, 100) == []


def test_the_harness_sees_a_store_that_confirms_too_early(tmp_path: Path) -> None:
    """A harness that cannot fail proves nothing."""
    assert lost_minutes(tmp_path, 40, "confirm before commit")


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_no_confirmed_bar_is_lost_in_1000_kills(tmp_path: Path) -> None:
    """The same, ten times as long."""
    assert lost_minutes(tmp_path, 1000) == []
