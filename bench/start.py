"""Seconds from the start of `hub run` until somebody who listens hears that it is online."""

import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from bench.row import Row, interleaved
from bench.station import hub, mosquitto
from tests.brokers import free_port

STATE = "tickerml/hub/state"


@contextmanager
def listener(port: int, topic: str = STATE) -> Iterator[threading.Event]:
    """Set once whoever speaks on that topic of this broker is online; looks for the broker until there is one."""
    online, over = threading.Event(), threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda *_: client.subscribe(topic, 1)
    client.on_message = lambda _client, _data, message: online.set() if message.payload == b"online" else None

    def look() -> None:
        while not over.wait(0.01):
            with suppress(OSError):
                client.connect("127.0.0.1", port)
                client.loop_start()
                return

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield online
    finally:
        over.set()
        looking.join()
        client.disconnect()
        client.loop_stop()


def seconds_to_online(*, embedded: bool) -> float:
    """From an empty folder."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = free_port() if embedded else stack.enter_context(mosquitto(folder))
        online = stack.enter_context(listener(port))
        begun = time.perf_counter()
        stack.enter_context(hub(folder, port, {"source": "simulated", "backfill": "30m"}))
        assert online.wait(60), (folder / "log").read_text(encoding="utf-8")
        return time.perf_counter() - begun


def rows(rounds: int = 7) -> list[Row]:
    """With a mosquitto that is there already, and with the embedded broker."""
    measured = interleaved(rounds, lambda: seconds_to_online(embedded=False), lambda: seconds_to_online(embedded=True))
    real, embedded = (statistics.median(column) for column in zip(*measured, strict=True))
    return [
        Row("start, mosquitto", real, "s", at_most=1.5, note="`hub run` to hub/state online, an empty folder"),
        Row("start, embedded broker", embedded, "s", at_most=1.5, note="the same, and the broker started on the way"),
    ]
