"""Messages a second of `Bus.publish_all` beside bare paho on the same mosquitto; prints both and their ratio.

python bench/bus.py [messages] [rounds]
"""

import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import structlog
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from hub.clock import SystemClock
from hub.messages import Message
from hub.runtime.bus import Bus
from hub.settings import MqttSettings
from hub.testing import bars
from hub.topics import encode, topic_of
from tests.brokers import free_port, wait_for_port


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
    bus = Bus(MqttSettings(host="127.0.0.1", port=port), SystemClock(), structlog.get_logger())
    await bus.start()
    await bus.ready()
    begun = time.perf_counter()
    for first in range(0, len(messages), 500):
        assert set(await bus.publish_all(messages[first : first + 500])) == {None}
    took = time.perf_counter() - begun
    await bus.stop()
    return len(messages) / took


def main(count: int = 5_000, rounds: int = 5) -> None:
    structlog.configure(processors=[], logger_factory=structlog.ReturnLoggerFactory())
    messages: list[Message] = list(bars(*(float(close) for close in range(1, count + 1))))
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
        broker = subprocess.Popen([shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-c", f"{folder}/conf"], stderr=subprocess.DEVNULL)
        try:
            wait_for_port(port)
            pairs = [(bare_paho(port, messages), asyncio.run(through_the_bus(port, messages))) for _ in range(rounds)]
        finally:
            broker.terminate()
            broker.wait()
    bare, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(mine / other for other, mine in pairs)
    print(json.dumps({"messages": count, "bare_paho_per_s": round(bare), "bus_per_s": round(ours), "ratio": round(ratio, 2)}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
