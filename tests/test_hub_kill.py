"""SIGKILL of the whole hub while it collects: what anybody has heard of it is on disk."""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

from hub.clock import SystemClock
from hub.market.interval import to_ms
from hub.messages import Bar
from hub.runtime.disk.store import SqliteStore
from hub.testing import START
from hub.topics import decode
from tests.brokers import Mosquitto, Witness

HUB = ("-m", "hub", "run")
HASTY = (str(Path(__file__).parent / "crash" / "hasty_hub.py"), "run")
SPEED = 1200
"""Twenty minutes of the market a second."""


@dataclass
class Outcome:
    """What the lives of the hub have shown."""

    heard: int = 0
    lost: list[Bar] = field(default_factory=list)
    """Published, and not in the store, or not with these numbers."""
    twice: list[tuple[str, datetime]] = field(default_factory=list)
    """Published twice in one life."""


def killed(folder: Path, kills: int, program: Sequence[str] = HUB) -> Outcome:
    """So many lives of a hub in one folder, on one broker, each ended by SIGKILL some bars after its start."""
    chance, outcome = random.Random(kills), Outcome()
    (folder / "broker").mkdir()
    with Mosquitto(folder / "broker") as broker, Witness(broker.port, "tickerml/#") as witness:
        (folder / "config.yaml").write_text(
            f"mqtt: {{port: {broker.port}, embedded: false}}\nplugins:\n  collector: {{source: simulated, backfill: 30m}}\n",
            encoding="utf-8",
        )
        for _ in range(kills):
            before = len(witness.heard)
            with (folder / "log").open("wb") as log, started(folder, program, log) as hub:
                try:
                    wanted = chance.randint(1, 30)
                    until(lambda: sum(is_bar(topic) for topic, _, _ in list(witness.heard)[before:]) >= wanted, folder)  # noqa: B023
                    time.sleep(chance.random() * 0.1)
                finally:
                    hub.kill()
            until(lambda: ("tickerml/hub/state", b"offline") in [heard[:2] for heard in list(witness.heard)[before:]], folder)  # noqa: B023
            bars = [decode(topic.removeprefix("tickerml/"), payload) for topic, payload, _ in witness.heard[before:] if is_bar(topic)]
            judge(folder, [bar for bar in bars if isinstance(bar, Bar)], outcome)
    return outcome


def started(folder: Path, program: Sequence[str], log: object) -> "subprocess.Popen[bytes]":
    root = str(Path(__file__).parents[1])
    clock = {"TICKERML__CLOCK__START": newest(folder).isoformat(), "TICKERML__CLOCK__SPEED": str(SPEED)}
    environment = os.environ | {"PYTHONPATH": root} | clock
    return subprocess.Popen([sys.executable, *program], cwd=folder, env=environment, stderr=log)  # type: ignore[call-overload, no-any-return]


def newest(folder: Path) -> datetime:
    """The time at which the last life ended, as far as the store knows."""
    if not (folder / "data" / "tickerml.db").exists():
        return START
    with closing(SqliteStore.open(folder / "data" / "tickerml.db", SystemClock(), read_only=True)) as store:
        return max([START, *(bar.close_time for symbol in store.symbols() if (bar := store.newest_bar(symbol)))])


def judge(folder: Path, heard: Sequence[Bar], outcome: Outcome) -> None:
    with closing(SqliteStore.open(folder / "data" / "tickerml.db", SystemClock(), read_only=True)) as store:
        outcome.lost += [bar for bar in heard if store.bars(bar.symbol, to_ms(bar.open_time), to_ms(bar.open_time)) != [bar]]
    outcome.heard += len(heard)
    outcome.twice += [bar for bar, times in Counter((bar.symbol, bar.open_time) for bar in heard).items() if times > 1]


def is_bar(topic: str) -> bool:
    return topic.startswith("tickerml/bar/")


def until(condition: Callable[[], bool], folder: Path, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"it never came to that:\n{(folder / 'log').read_text()[-3000:]}")
        time.sleep(0.01)


@pytest.mark.timeout(300)
def test_what_was_published_is_on_disk_after_10_kills(tmp_path: Path) -> None:
    """On disk before on the wire; once, and whole."""
    outcome = killed(tmp_path, 10)
    assert outcome.heard > 60
    assert (outcome.lost, outcome.twice) == ([], [])


@pytest.mark.timeout(300)
def test_the_harness_sees_a_hub_that_publishes_before_the_commit(tmp_path: Path) -> None:
    """A harness that cannot fail proves nothing."""
    assert killed(tmp_path, 2, HASTY).lost


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_what_was_published_is_on_disk_after_100_kills(tmp_path: Path) -> None:
    """The same, ten times as long."""
    outcome = killed(tmp_path, 100)
    assert (outcome.lost, outcome.twice) == ([], [])
