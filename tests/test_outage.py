"""The broker is away for an hour while two hundred symbols are recorded: the hub does not grow, and afterwards every bar is published."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from hub.runtime import control
from tests.brokers import Mosquitto
from tests.hubs import ENVIRONMENT, log_until, running, write_values

SYMBOLS = [f"{chr(65 + number // 26)}{chr(65 + number % 26)}X/USDT" for number in range(200)]
"""A hundred times as many as usual."""
SPEED = 60
START = "2026-03-01T08:00:00+00:00"


class Counter:
    """How often each bar was heard."""

    def __init__(self, port: int) -> None:
        self.heard: dict[tuple[str, str], int] = {}
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, "counter", protocol=paho.MQTTv311, clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("tickerml/bar/#", 1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._hear
        self._client.connect_async("127.0.0.1", port)
        self._client.loop_start()
        assert self._subscribed.wait(10)

    def _hear(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        if not message.retain:
            bar = json.loads(message.payload)
            key = bar["symbol"], bar["open_time"]
            self.heard[key] = self.heard.get(key, 0) + 1

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def exchange() -> Iterator[str]:
    """In a process of its own: its market takes memory, too."""
    names = [word for symbol in SYMBOLS for word in ("--symbol", symbol.replace("/", "-"))]
    command = [sys.executable, "-m", "plugins.collector.simulated", *names, "--start", START, "--speed", str(SPEED)]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def lag(folder: Path) -> int:
    return next(int(row["lag"]) for row in control.ask(folder / "data", "health")["forwarders"] if row["name"] == "mqtt")


def outage(folder: Path, broker: Mosquitto) -> tuple[float, float, int, int, int]:
    """Seconds until all is published, MB grown, bars that waited, bars heard, minutes missing."""
    with running(folder) as process:
        log_until(folder, "connected to the broker")
        time.sleep(20.0)
        while lag(folder) > len(SYMBOLS):
            time.sleep(0.5)
        counter, hub = Counter(broker.port), psutil.Process(process.pid)
        before = hub.memory_info().rss
        broker.kill()
        time.sleep(3600 / SPEED)
        waiting, most = lag(folder), hub.memory_info().rss
        broker.start()
        begun = time.monotonic()
        while lag(folder) > len(SYMBOLS):
            assert time.monotonic() - begun < 120.0
            most = max(most, hub.memory_info().rss)
            time.sleep(0.2)
        drained = time.monotonic() - begun
        counter.stop()
        health = control.ask(folder / "data", "health")
    missing = sum(row["minutes_missing"] for row in health["symbols"])
    return drained, (most - before) / 2**20, waiting, len(counter.heard), missing


@pytest.mark.torture
@pytest.mark.timeout(600)
def test_an_hour_without_a_broker_at_a_hundred_times_the_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """B3: at most 32 MB more, no bar lost, all published within a minute."""
    (tmp_path / "broker").mkdir()
    broker = Mosquitto(tmp_path / "broker", conf="max_queued_messages 0\nmax_inflight_messages 1000")
    mqtt = {"port": broker.port, "embedded": False}
    with broker, exchange() as address:
        collector = {"source": "binanceus", "fallback": None, "backfill": "30m", "binanceus": {"base_url": address}}
        write_values(tmp_path, symbols=SYMBOLS, mqtt=mqtt, clock={"start": START, "speed": SPEED}, plugins={"collector": collector})
        drained, grown, waiting, heard, missing = outage(tmp_path, broker)
    with capsys.disabled():
        print(f"\n{waiting} bars waited; {grown:+.1f} MB; published after {drained:.1f} s; {heard} heard")
    assert waiting > 55 * len(SYMBOLS)
    assert missing == 0
    assert heard >= waiting
    assert grown <= 32.0
    assert drained <= 60.0
