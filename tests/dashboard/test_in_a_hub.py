"""The page in a hub, without a browser: many open pages at once, and a port that is taken."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.brokers import Mosquitto, Witness, free_port, wait_for_port
from tests.hubs import hub, log_of, log_until, running, states, status_until, write_values
from tests.pages import opened


@contextmanager
def station(folder: Path, mqtt: int, plugins: dict[str, Any]) -> Iterator[None]:
    write_values(folder, mqtt={"port": mqtt, "embedded": False}, clock={"speed": 60}, plugins=plugins)
    with running(folder):
        yield


@pytest.mark.timeout(180)
async def test_fifty_open_pages_cost_no_bar_and_no_forecast(tmp_path: Path) -> None:
    """They fetch themselves at every bar, sixty times as often as they would."""
    port = free_port()
    (tmp_path / "broker").mkdir()
    collector = {"source": "simulated", "backfill": "26h"}
    plugins = {"collector": collector, "inference": {"patience": "4m"}, "dashboard": {"port": port}}
    with Mosquitto(tmp_path / "broker") as broker, station(tmp_path, broker.port, plugins):
        await asyncio.to_thread(wait_for_port, port, 30)
        await asyncio.to_thread(log_until, tmp_path, 'percent": 100')
        with Witness(broker.port, "tickerml/+/BTC-USDT/#") as witness:
            async with opened(port, 50) as pages:
                end = time.monotonic() + 60
                while pages.told < 500:  # ten words to each
                    assert time.monotonic() < end
                    await asyncio.sleep(0.05)
        assert (pages.refused, pages.fetched >= 450) == (0, True)
        times = [datetime.fromisoformat(json.loads(payload)["open_time"]) for topic, payload, _ in witness.heard if "/bar/" in topic]
        assert times == [times[0] + timedelta(minutes=number) for number in range(len(times))]
        assert [payload for topic, payload, _ in witness.heard if topic.endswith("/5m")]
        assert states(await asyncio.to_thread(status_until, tmp_path, lambda shown: shown["running"]))["dashboard"] == "running"


def test_a_taken_port_is_said_and_taken_when_it_is_free(tmp_path: Path) -> None:
    """In the plugin's state, in words, with the key; and the page comes by itself when the other program has gone."""
    port = free_port()
    write_values(tmp_path, plugins={"collector": {"source": "simulated", "backfill": "30m"}, "dashboard": {"port": port}})
    with socket.create_server(("127.0.0.1", port)) as other, running(tmp_path):
        shown = status_until(tmp_path, lambda shown: states(shown).get("dashboard") == "retrying")
        [state] = [plugin for plugin in shown["plugins"] if plugin["name"] == "dashboard"]
        assert state["error"] == f"127.0.0.1:{port} is taken by another program; set plugins.dashboard.port (or host) to another"
        other.close()
        log_until(tmp_path, "the page is served")
        wait_for_port(port)
    assert "Traceback" not in log_of(tmp_path)


def test_another_password_is_made_by_the_command(tmp_path: Path) -> None:
    """The first one is no longer needed, and the page takes the new one at once; one of the configuration is changed there."""
    port = free_port()
    plugins: dict[str, Any] = {"collector": {"source": "simulated", "backfill": "30m"}, "dashboard": {"port": port}}
    write_values(tmp_path, plugins=plugins)
    kept = tmp_path / "data" / "dashboard"
    with running(tmp_path):
        wait_for_port(port, 30)
        first = (kept / "first-password").read_text(encoding="ascii").strip()
        made = hub(tmp_path, "dashboard", "password")
        assert made.returncode == 0, made.stderr
        assert not (kept / "first-password").exists()
        for password, status in ((first, 403), (made.stdout.strip(), 303)):
            answer = httpx.post(f"http://127.0.0.1:{port}/sign-in", data={"password": password}, trust_env=False, timeout=20)
            assert answer.status_code == status
    assert made.stdout.strip() not in log_of(tmp_path) + made.stderr
    write_values(tmp_path, plugins=plugins | {"dashboard": {"password": "twelve letters"}})
    (tmp_path / "config.yaml").chmod(0o600)
    refused = hub(tmp_path, "dashboard", "password")
    assert (refused.returncode, "plugins.dashboard.password; change it there" in refused.stderr) == (1, True)
