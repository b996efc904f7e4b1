"""Somebody floods the broker: it costs messages and time, and not the hub."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from hub.messages import ModelId, Score
from hub.testing import START
from hub.topics import encode
from tests.brokers import Mosquitto, Witness
from tests.hubs import log_until, running, states, status_until, write_values

ALERTS = {"rules": [{"when": "score"}]}
MODEL = ModelId(name="m", version="1", sha256="1" * 64)
NOTHING = dict.fromkeys(("skill", "auc", "hit_rate", "brier", "coverage"))


@contextmanager
def flooded(port: int, a_second: int) -> Iterator[None]:
    """So many scores a second, which the alerts look at, as long as the block lasts."""
    over = threading.Event()

    def shout() -> None:
        score = Score(symbol="BTC-USDT", horizon_minutes=5, n=0, window="7d", model=MODEL, scored_at=START, **NOTHING)
        with Witness(port, "nothing") as witness:
            begun, said = time.monotonic(), 0
            while not over.is_set():
                witness.shout("tickerml/score/BTC-USDT/5m", encode(score.model_copy(update={"n": said})), 50)
                witness.shout("tickerml/score/BTC-USDT/5m", encode(score.model_copy(update={"n": said + 1})), 50)
                said += 100
                over.wait(max(0.0, begun + said / a_second - time.monotonic()))

    thread = threading.Thread(target=shout)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def flood(tmp_path: Path, seconds: float) -> None:
    """B7: 5,000 a second; the hub may grow by 32 MB, its plugins stay well, and bars are recorded at their time."""
    (tmp_path / "broker").mkdir()
    with Mosquitto(tmp_path / "broker") as broker:
        write_values(
            tmp_path,
            mqtt={"port": broker.port, "embedded": False},
            clock={"speed": 60},
            plugins={"collector": {"source": "simulated", "backfill": "30m"}, "scorecard": {}, "inference": {}, "alerts": ALERTS},
        )
        with running(tmp_path) as process:
            status_until(tmp_path, lambda shown: any(row["last_bar"] for row in shown["symbols"]))
            log_until(tmp_path, "no forecast is made")  # by then the model is loaded, which takes 30 MB
            hub = psutil.Process(process.pid)
            time.sleep(3.0)
            before, most = hub.memory_info().rss, 0
            with flooded(broker.port, 5_000):
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    most = max(most, hub.memory_info().rss)
                    time.sleep(0.2)
            shown = status_until(tmp_path, lambda shown: set(states(shown).values()) <= {"running", "stale"})
            assert (most - before) / 2**20 <= 32.0
            assert all(row["age_s"] < 180 and not row["minutes_missing"] for row in shown["symbols"])


def test_a_flood_of_five_seconds(tmp_path: Path) -> None:
    flood(tmp_path, 5.0)


@pytest.mark.torture
def test_a_flood_of_a_minute(tmp_path: Path) -> None:
    flood(tmp_path, 60.0)
