"""The embedded broker as a real process, with real clients."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest
from pydantic import SecretStr

from hub.clock import FastClock
from hub.messages import Alert, Bar
from hub.runtime.mqtt.embedded import EmbeddedBroker
from hub.settings import MqttSettings
from hub.testing import START, bars
from tests.brokers import Mosquitto, captured_log, free_port, wait_for_port
from tests.test_broker import joined, until

SECRET = SecretStr("s3cret-canary")


@asynccontextmanager
async def embedded(**settings: Any) -> AsyncIterator[Any]:
    """A started embedded broker on a free port."""
    log, capture = captured_log()
    broker: Any = EmbeddedBroker(MqttSettings(**({"port": free_port()} | settings)), log, network=FastClock(START, 10))
    broker.port = broker._settings.port
    broker.logged = capture.entries
    await broker.start()
    try:
        yield broker
    finally:
        await broker.stop()


def child_of(port: int) -> psutil.Process:
    [child] = [each for each in psutil.Process().children() if each.cmdline()[-1:] == [str(port)]]
    return child


async def test_a_hub_on_its_own_broker_hears_what_it_publishes() -> None:
    """`make demo` needs no server."""
    async with embedded() as broker, joined(broker.port) as bus:
        assert bus.protocol == "3.1.1"
        heard = bus.subscribe([Bar])
        series = bars(*range(1, 51))
        assert await bus.publish_all(series) == [None] * 50
        assert [await anext(heard) for _ in series] == series


async def test_the_password_of_the_configuration_is_required_and_never_on_a_command_line() -> None:
    """`ps` shows every argument to every user of the machine."""
    login = {"username": "hub", "password": SECRET}
    async with embedded(**login) as broker:
        async with joined(broker.port, **login) as bus:
            await bus.publish(bars(1.0)[0])
        for wrong in ({}, {"username": "hub"}, {"username": "hub", "password": SecretStr("x")}, {"username": "x", "password": SECRET}):
            async with joined(broker.port, wait=False, **wrong) as bus:
                await until(lambda: bus.last_error)
                assert "mqtt.password" in str(bus.last_error)
        child = child_of(broker.port)
        assert SECRET.get_secret_value() not in " ".join([*child.cmdline(), *child.environ().values()])


async def test_a_killed_broker_is_started_again_and_has_its_topics_back() -> None:
    """It keeps nothing on disk; what it should hold, the hub tells it."""
    async with embedded() as broker, joined(broker.port) as bus:
        await bus.publish(bars(1.0)[0])
        child_of(broker.port).kill()
        await until(lambda: broker.starts == 2 and broker.running)
        await until(lambda: bus.connected)
        async with joined(broker.port, client_id="late") as late:
            assert await anext(late.subscribe([Bar])) == bars(1.0)[0]
        assert any("signal 9" in entry["event"] for entry in broker.logged)


async def test_where_a_broker_listens_already_none_is_started(tmp_path: Any) -> None:
    """A home that has mosquitto keeps it."""
    with Mosquitto(tmp_path) as mosquitto:
        async with embedded(port=mosquitto.port) as broker:
            assert not broker.running
            assert "already listens" in broker.logged[0]["event"]


@pytest.mark.parametrize("settings", [{"host": "192.0.2.1"}, {"tls": True}])
async def test_where_it_cannot_listen_it_says_why_and_what_to_do(settings: dict[str, Any]) -> None:
    """mqtt.embedded is on by default; with a remote broker that is down it must not end the hub."""
    async with embedded(**settings) as broker:
        assert not broker.running
        assert "set mqtt." in broker.logged[0]["event"]


async def test_an_open_broker_on_the_network_is_warned_of() -> None:
    """Without a password anybody in the house, or worse, may publish prices."""
    async with embedded(host="0.0.0.0") as broker:
        assert any("set mqtt.username" in entry["event"] for entry in broker.logged)


async def test_it_ends_with_the_hub_however_the_hub_ends() -> None:
    """A broker left behind would keep the port, and yesterday's prices."""
    port = free_port()
    program = (
        "import asyncio, structlog\nfrom hub.runtime.mqtt.embedded import EmbeddedBroker\nfrom hub.settings import MqttSettings\n"
        f"async def main():\n    await EmbeddedBroker(MqttSettings(port={port}), structlog.get_logger()).start()\n"
        "    await asyncio.Event().wait()\nasyncio.run(main())"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL) as hub:  # noqa: ASYNC220 - it returns at once
        await asyncio.to_thread(wait_for_port, port, 20)
        [child] = psutil.Process(hub.pid).children()
        os.kill(hub.pid, signal.SIGKILL)
    await until(lambda: not child.is_running())


async def test_a_flood_on_the_embedded_broker_does_not_slow_the_hub() -> None:
    """It runs in a process of its own."""
    async with embedded() as broker, joined(broker.port, client_id="loud") as loud, joined(broker.port, speed=1) as bus:
        alerts = [Alert(symbol="BTC-USDT", source="test", text=str(n)) for n in range(2_000)]
        flood = asyncio.create_task(loud.publish_all(alerts))
        heard = bus.subscribe([Bar])
        await bus.publish(bars(1.0)[0])
        assert isinstance(await anext(heard), Bar)
        assert await flood == [None] * 2_000
        assert bus.connected
