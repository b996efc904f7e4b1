"""A whole station on this machine: a broker, and the real `hub run` in a process of its own, watched from outside."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from tests.brokers import MOSQUITTO, free_port, wait_for_port

PATIENCE_S = 180.0


@contextmanager
def mosquitto(folder: Path) -> Iterator[int]:
    """The port of a mosquitto that keeps nothing on disk."""
    port, conf = free_port(), folder / "mosquitto.conf"
    conf.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n", encoding="utf-8")
    with subprocess.Popen([MOSQUITTO, "-c", str(conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as broker:
        try:
            wait_for_port(port)
            yield port
        finally:
            broker.terminate()


@contextmanager
def hub(folder: Path, port: int, collector: dict[str, Any], **settings: Any) -> Iterator[psutil.Process]:
    """`hub run` in `folder`, its broker on `port`: an embedded one, unless one listens there already."""
    values = {"mqtt": {"host": "127.0.0.1", "port": port}, "plugins": {"collector": collector}, **settings}
    (folder / "config.yaml").write_text(json.dumps(values), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "hub", "run"], cwd=folder, env=environment, stderr=log)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def bars_in(folder: Path) -> int:
    """How many bars the hub in `folder` has on disk."""
    return _number(folder, "SELECT coalesce(max(seq), 0) FROM bar")


def published_by(folder: Path) -> int:
    """How many of them have reached its broker."""
    return _number(folder, "SELECT coalesce(max(seq), 0) FROM cursor")


def _number(folder: Path, sql: str) -> int:
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(f"file:{folder}/data/tickerml.db?mode=ro", uri=True)) as database:
        return int(database.execute(sql).fetchone()[0])
    return 0


def wait_until(done: Callable[[], bool], what: str, every_s: float = 0.05) -> float:
    """Seconds until `done`. TimeoutError after three minutes."""
    begun = time.perf_counter()
    while not done():
        if time.perf_counter() - begun > PATIENCE_S:
            raise TimeoutError(f"{what}: not within {PATIENCE_S:.0f} s")
        time.sleep(every_s)
    return time.perf_counter() - begun


def resident_mb(process: psutil.Process) -> float:
    """Memory of a process that is in RAM now, in MB."""
    return float(process.memory_info().rss / 1e6)
