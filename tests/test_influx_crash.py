"""InfluxDB away for days, InfluxDB and the hub killed at any moment: in the end InfluxDB has what the disk has, each bar once."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hub.flow import Source
from hub.market.interval import MINUTE_MS, to_ms
from hub.messages import Bar
from hub.testing import START, bars
from tests.forwarding import Forwarding, forwarding
from tests.hubs import hub, running, states, status_until, write_config
from tests.influx import Influx, until

FORWARDER = Path(__file__).parent / "crash" / "forwarder.py"
T = to_ms(START)
FAR = T + 10**11


def on_disk(plugin: Forwarding) -> dict[tuple[str, int], tuple[float, str]]:
    return {
        (bar.symbol, to_ms(bar.open_time)): (bar.close, bar.quality)
        for symbol in plugin.store.symbols()
        for bar in plugin.store.bars(symbol, T, FAR)
    }


def in_influx(influx: Influx, bucket: str = "tickerml", interval: str = "1m") -> dict[tuple[str, int], Any]:
    rows = influx.query(f"SELECT close, quality, symbol FROM bar WHERE interval = '{interval}'", bucket)
    found = {(row["symbol"], row["time"] // 10**6): (row["close"], row["quality"]) for row in rows}
    assert len(found) == len(rows), "a bar is there twice"
    return found


def kill_both(folder: Path, influx: Influx, kills: int, influx_kills: int, mutant: str) -> int:
    """Let bars be recorded and forwarded while both are killed; returns how often the hub was."""
    chance = random.Random(5)
    command = [sys.executable, "-P", str(FORWARDER), str(folder), influx.url, str(kills), mutant]
    environment = os.environ | {"PYTHONPATH": str(FORWARDER.parents[2])}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as forwarder:
        try:
            for _ in range(influx_kills):
                time.sleep(chance.uniform(0.1, 1.2))
                influx.kill()
                time.sleep(chance.uniform(0.0, 0.3))
                influx.start()
            (folder / "enough").touch()
            out, err = forwarder.communicate()
        finally:
            forwarder.kill()
    assert forwarder.returncode == 0, err[-3000:]
    return int(out)


async def after_kills(folder: Path, kills: int, influx_kills: int, mutant: str = "none") -> tuple[Any, Any]:
    """What disk and InfluxDB hold after that many kills and some peace: bars, and the hours made of them."""
    with Influx(folder) as influx:
        killed = await asyncio.to_thread(kill_both, folder, influx, kills, influx_kills, mutant)
        assert killed >= kills
        async with forwarding(folder, url=influx.url) as plugin:
            await plugin.drained()
            print(f"{killed} kills of the hub, {influx_kills} of influxd, {len(on_disk(plugin))} bars")
            assert not (folder / "influxdb" / "set_aside.jsonl").exists()
            return (on_disk(plugin), hours_on_disk(plugin)), (in_influx(influx), in_influx(influx, "tickerml_long", "1h"))


def hours_on_disk(plugin: Forwarding) -> dict[tuple[str, int], tuple[float, str]]:
    """Close and quality of every hour that is over."""
    found = {}
    for symbol in plugin.store.symbols():
        newest = plugin.store.newest_bar(symbol)
        assert newest is not None
        for hour in range(T, to_ms(newest.open_time) - 59 * MINUTE_MS + 1, 60 * MINUTE_MS):
            minutes = plugin.store.bars(symbol, hour, hour + 59 * MINUTE_MS)
            best = [bar for bar in minutes if bar.quality == "exact"] or minutes
            found[symbol, hour] = best[-1].close, best[-1].quality
    return found


def differences(disk: Any, influx: Any) -> list[str]:
    """Bars and hours that are not the same in both."""
    return [
        f"{key}: {on_disk.get(key)} on disk, {there.get(key)} in InfluxDB"
        for on_disk, there in zip(disk, influx, strict=True)
        for key in sorted(on_disk.keys() | there.keys())
        if on_disk.get(key) != there.get(key)
    ]


@pytest.mark.timeout(300)
async def test_50_kills_of_the_hub_and_15_of_influxd_lose_and_double_nothing(tmp_path: Path) -> None:
    """The promise: at least once on the wire, exactly once in the database, corrected bars corrected there too."""
    disk, influx = await after_kills(tmp_path, 50, 15)
    assert len(disk[0]) > 400
    assert differences(disk, influx) == []


@pytest.mark.timeout(200)
async def test_the_harness_sees_a_sink_that_confirms_too_early(tmp_path: Path) -> None:
    """A harness that cannot fail proves nothing."""
    disk, influx = await after_kills(tmp_path, 30, 8, "confirm before writing")
    assert influx[0] != disk[0]


@pytest.mark.torture
@pytest.mark.timeout(1800)
async def test_1000_kills_of_the_hub_and_100_of_influxd_lose_and_double_nothing(tmp_path: Path) -> None:
    """The same, for longer."""
    disk, influx = await after_kills(tmp_path, 1000, 100)
    assert differences(disk, influx) == []


@pytest.mark.timeout(300)
async def test_three_days_without_influxdb_are_made_up_for(tmp_path: Path) -> None:
    """72 hours, two symbols: 8,640 bars wait in 2 MB, the user sees how many and since when, and all of them arrive."""
    influx = Influx(tmp_path)
    series = [bars(*range(1, 4321), symbol=symbol, quote_volume=1.5, trades=7, taker_buy_volume=0.5) for symbol in ("BTC-USDT", "ETH-USDT")]
    async with forwarding(tmp_path, 15_000.0, url=influx.url) as plugin:

        async def live() -> AsyncIterator[Sequence[Bar]]:
            for first in range(0, 4320, 5):
                yield [bar for symbol in series for bar in symbol[first : first + 5]]
                await plugin.clock.sleep(60.0 * (first + 5) - plugin.clock.monotonic())
            await asyncio.Event().wait()

        source = Source("minutes", live, produces=(Bar,))
        collecting = asyncio.create_task(plugin._supervisor.keep_running(source, plugin.watch, plugin.hub.log))
        await plugin.until(lambda: plugin.store.last_seq() == 8640, 200)
        await plugin.until(lambda: plugin.state.lag == 8640)
        assert plugin.state.state == "stale"
        assert (plugin.state.lag_s or 0) > 70 * 3600
        assert (plugin.state.error or "").startswith("influxdb is 8640 facts and ")
        assert f"min behind: {influx.url} cannot be reached" in (plugin.state.error or "")
        with influx:
            begun = time.monotonic()
            await plugin.drained(120)
            print(f"drained in {time.monotonic() - begun:.1f} s")
            assert in_influx(influx) == on_disk(plugin)
            assert len(in_influx(influx)) == 8640
            assert len(in_influx(influx, "tickerml_long", "1h")) == 144
            assert len(in_influx(influx, "tickerml_long", "1d")) == 6
        collecting.cancel()
        await asyncio.gather(collecting, return_exceptions=True)
    assert plugin.clock.now() > START + timedelta(hours=72)
    print(f"{(tmp_path / 'tickerml.db').stat().st_size} bytes on disk")
    assert (tmp_path / "tickerml.db").stat().st_size <= 2_000_000


@pytest.mark.timeout(240)
def test_a_whole_hub_tells_of_its_lag_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """The commands, the broker and the plugin together: InfluxDB is away, the hub is killed, and both come back."""
    influx = Influx(tmp_path)
    write_config(tmp_path, f"  influxdb: {{url: '{influx.url}'}}\n")
    with running(tmp_path):
        status_until(tmp_path, lambda shown: lag(shown)["lag"] >= 60 and lag(shown)["lag_s"] and states(shown)["influxdb"] == "retrying")
        assert " behind for " in hub(tmp_path, "status").stdout
        assert f"note  influxdb: {influx.url} cannot be reached" in hub(tmp_path, "doctor").stdout
    with influx:
        with running(tmp_path) as process:
            status_until(tmp_path, lambda shown: lag(shown)["lag"] == 0 and states(shown)["influxdb"] == "running")
            until(lambda: influx.query("SELECT * FROM hub"))
            [health, *_] = influx.query("SELECT * FROM hub")
            assert 10_000_000 < health["memory_bytes"] < 500_000_000
            assert health["store_bytes"] + health["wal_bytes"] > 10_000 < health["disk_free_bytes"]
            assert (health["minutes_missing"], health["dropped"], health["rejected"]) == (0, 0, 0)
            until(lambda: {row["name"] for row in influx.query('SELECT last(ok) FROM plugin GROUP BY "name"')} == {"collector", "influxdb"})
            assert f"ok    influxdb: {influx.url} answers; tickerml is there" in hub(tmp_path, "doctor").stdout
            process.send_signal(signal.SIGTERM)
            assert process.wait(6) == 0
        with running(tmp_path):
            status_until(tmp_path, lambda shown: lag(shown)["lag"] == 0 and states(shown).get("influxdb") == "running")
        for symbol in ("BTC-USDT", "ETH-USDT"):
            exported = hub(tmp_path, "bars", "export", "--symbol", symbol.replace("-", "/")).stdout.splitlines()[1:]
            rows = influx.query(f"SELECT close FROM bar WHERE symbol = '{symbol}'")
            assert [(int(line.split(",")[0]), float(line.split(",")[4])) for line in exported] == [
                (row["time"] // 10**6, row["close"]) for row in rows
            ]
            assert len(rows) >= 30


def lag(shown: dict[str, Any]) -> dict[str, Any]:
    found = [row for row in shown["forwarders"] if row["name"] == "influxdb.influxdb"]
    return found[0] if found else {"lag": -1, "lag_s": None}
