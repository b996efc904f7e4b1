"""Messages a second of `Bus.publish_all` beside bare paho on the same mosquitto."""

import asyncio
import tempfile
import threading
import time
from pathlib import Path

import structlog
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from bench.row import Row, interleaved, side_by_side
from bench.station import mosquitto
from hub.clock import SystemClock
from hub.messages import Message
from hub.runtime.mqtt.bus import Bus
from hub.settings import MqttSettings
from hub.testing import bars
from hub.topics import encode, topic_of


def bare_paho(port: int, messages: list[Message]) -> float:
    """The shortest program that publishes with QoS 1 and waits for every PUBACK; same payloads, made on the way."""
    client = paho.Client(CallbackAPIVersion.VERSION2, "bare", protocol=paho.MQTTv5)
    left, done = len(messages), threading.Event()

    def acknowledged(*_: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    client.on_publish = acknowledged
    client.connect("127.0.0.1", port)
    client.loop_start()
    begun = time.perf_counter()
    for message in messages:
        client.publish("bare/" + topic_of(message), encode(message), 1, True)
    done.wait()
    took = time.perf_counter() - begun
    client.disconnect()
    client.loop_stop()
    return len(messages) / took


async def through_the_bus(port: int, messages: list[Message]) -> float:
    """The hub's own way, in the outbox's batches."""
    bus = Bus(MqttSettings(host="127.0.0.1", port=port), SystemClock(), structlog.get_logger())
    await bus.start()
    await bus.ready()
    begun = time.perf_counter()
    for first in range(0, len(messages), 500):
        assert set(await bus.publish_all(messages[first : first + 500])) == {None}
    took = time.perf_counter() - begun
    await bus.stop()
    return len(messages) / took


def rows(count: int = 5_000, rounds: int = 5) -> list[Row]:
    """The bus."""
    structlog.configure(processors=[], logger_factory=structlog.ReturnLoggerFactory())
    messages: list[Message] = list(bars(*(float(close) for close in range(1, count + 1))))
    with tempfile.TemporaryDirectory() as folder, mosquitto(Path(folder)) as port:
        measured = interleaved(rounds, lambda: asyncio.run(through_the_bus(port, messages)), lambda: bare_paho(port, messages))
    return [side_by_side("bus", "messages/s", "bare paho", measured, 0.8, "QoS 1, retained, mosquitto")]
