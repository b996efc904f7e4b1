"""A house with a whole station: exchange, broker, InfluxDB, a server for dumps, and the hub, each a process that can be killed."""

import asyncio
import json
import os
import signal
import sqlite3
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from hub.clock import SystemClock
from hub.errors import HubError
from hub.market.interval import MINUTE_MS, floor_minute, to_ms
from hub.messages import Bar
from hub.runtime import control
from hub.runtime.disk.store import SqliteStore
from hub.topics import decode
from plugins.collector.simulated import LoopbackServer
from tests.brokers import Mosquitto, Proxy, Witness
from tests.campaign.exchange import SYMBOLS, ScriptedExchange
from tests.hubs import ENVIRONMENT, HUB, drop_in
from tests.influx import Influx
from tests.sshd import Sshd

BEGIN = datetime.fromisoformat("2026-03-01T23:40:00Z")
FORWARDERS = ("mqtt", "influxdb.influxdb")
CRASHER = '''
"""Ends its process with a segmentation fault, again and again."""
import ctypes

from hub import Article, Source, hookimpl


@hookimpl
def register_sources(hub):
    async def stream():
        await hub.clock.sleep(90)
        ctypes.string_at(0)
        yield []

    return [Source("crasher", stream, produces=(Article,))]
'''
Key = tuple[str, int]


class House:
    """Everything is on 127.0.0.1, on free ports, in one folder."""

    def __init__(self, folder: Path, *, speed: float = 60.0, plugins: Mapping[str, Any] | None = None) -> None:
        """`speed`: of its time; `plugins`: sections in place of, or beside, those of a house full of faults."""
        self.folder = folder
        self.speed = speed
        self._plugins = {"crasher": {}} if plugins is None else plugins
        self.data = folder / "data"
        self.dumps = folder / "dumps"
        self.exchange = ScriptedExchange(BEGIN, speed)
        self._around = ExitStack()
        self._loop = asyncio.new_event_loop()
        self._hub: subprocess.Popen[bytes] | None = None
        self._wrapped = False
        self.lives = 0

    def __enter__(self) -> Self:
        around = self._around
        thread = threading.Thread(target=self._loop.run_forever)
        thread.start()
        around.callback(self._loop.close)
        around.callback(thread.join)
        around.callback(self._loop.call_soon_threadsafe, self._loop.stop)
        for name in ("broker", "sshd", "dumps", "influx"):
            (self.folder / name).mkdir()
        self.data.mkdir(exist_ok=True)
        self.broker = around.enter_context(Mosquitto(self.folder / "broker"))
        self.influx = around.enter_context(Influx(self.folder / "influx"))
        self.sshd = Sshd(self.folder / "sshd")
        self.sshd.__enter__()
        around.callback(lambda: self.sshd.__exit__(None, None, None))
        server = self._open(LoopbackServer(self.exchange))
        self.broker_line, self.influx_line = self._open(Proxy(self.broker.port)), self._open(Proxy(self.influx.port))
        self.witness = around.enter_context(Witness(self.broker.port, "tickerml/#"))
        drop_in(self.folder, "crasher", CRASHER)
        values = {
            "mqtt": {"host": "127.0.0.1", "port": self.broker_line.port, "embedded": False},
            "plugins": {
                "collector": {"source": "binanceus", "fallback": None, "backfill": "2d", "binanceus": {"base_url": server.base_url}},
                "inference": {},
                "scorecard": {},
                "alerts": {"rules": [{"when": "plugin"}]},
                "news": {"simulated": True},
                "homeassistant": {},
                "influxdb": {"url": f"http://127.0.0.1:{self.influx_line.port}"},
                "etl": {
                    "target": self.sshd.url(self.dumps),
                    "target_key_file": str(self.sshd.key),
                    "known_hosts": str(self.sshd.known_hosts),
                },
            }
            | self._plugins,
        }
        (self.folder / "config.yaml").write_text(json.dumps(values), encoding="utf-8")
        around.callback(self.kill_hub)
        self.start_hub()
        return self

    def __exit__(self, *_: object) -> None:
        self._around.close()

    # -- the hub

    def start_hub(self, *, hours_off: float = 0.0, wrapped: Callable[[Sequence[str]], list[str]] = list) -> None:
        """`hours_off`: how wrong its clock is; `wrapped`: its command in something."""
        start = self.exchange.clock.now().timestamp() + hours_off * 3600
        clock = {
            "TICKERML__CLOCK__START": datetime.fromtimestamp(start).astimezone().isoformat(),
            "TICKERML__CLOCK__SPEED": str(self.speed),
        }
        self.lives += 1
        with (self.folder / "log").open("ab") as log:
            command = wrapped([*HUB, "run"])
            self._wrapped = command[0] != HUB[0]
            self._hub = subprocess.Popen(command, cwd=self.folder, env=ENVIRONMENT | clock, stdout=log, stderr=log, start_new_session=True)

    def kill_hub(self) -> None:
        """And nothing of it is told to end well."""
        if self._hub is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._hub.pid, signal.SIGKILL) if self._wrapped else self._hub.kill()
            self._hub.wait()
            self._hub = None
            self.until(lambda: not control.hub_runs(self.data), "the hub is gone")

    def stop_hub(self) -> int:
        """Well; returns its exit code."""
        assert self._hub is not None
        self._hub.terminate()
        code = self._hub.wait(20)
        self._hub = None
        return code

    @property
    def pid(self) -> int:
        """Of the hub itself."""
        assert self._hub is not None
        return self._hub.pid

    def ask(self, verb: str, **values: Any) -> Any:
        """As its commands do."""
        return control.ask(self.data, verb, **values)

    # -- the lines

    def with_line(self, line: Proxy, do: Callable[[Proxy], None]) -> None:
        """In the loop that carries it."""
        done = threading.Event()
        self._loop.call_soon_threadsafe(lambda: (do(line), done.set()))
        assert done.wait(5)

    def _open(self, context: Any) -> Any:
        self._around.callback(self._run, context.__aexit__, None, None, None)
        return self._run(context.__aenter__)

    def _run(self, call: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(call(*arguments), self._loop).result(10)

    # -- how it stands

    def until_well(self, seconds: float = 90.0) -> float:
        """Seconds until all is as it should be: the minute that runs now is on disk, and what was recorded up to it is forwarded."""
        begun, trouble = time.monotonic(), "nothing was seen"
        wanted, before = floor_minute(self.exchange.now_ms()), 0
        while time.monotonic() - begun < seconds:
            if self._hub is not None and self._hub.poll() is not None:
                raise AssertionError(f"the hub has ended by itself:\n{self.log[-3000:]}")
            try:
                health = self.ask("health")
            except (HubError, OSError) as error:
                trouble = str(error)
            else:
                trouble = self._trouble(health, wanted)
                before = before or (health["store"]["last_seq"] if not trouble else 0)
                if not trouble and not (trouble := self._behind(health, before)):
                    return time.monotonic() - begun
            time.sleep(0.05)
        raise AssertionError(f"not well within {seconds} s: {trouble}\n{self.log[-3000:]}")

    def until(self, condition: Callable[[], object], what: str, seconds: float = 60.0) -> float:
        """Seconds until that is so."""
        begun = time.monotonic()
        while True:
            with suppress(HubError, OSError):
                if condition():
                    return time.monotonic() - begun
            if time.monotonic() - begun > seconds:
                raise AssertionError(f"{what}: not within {seconds} s\n{self.log[-3000:]}")
            time.sleep(0.05)

    def _trouble(self, health: dict[str, Any], wanted: int) -> str:
        if not health["broker"]["connected"]:
            return "no broker"
        newest = {
            row["symbol"]: to_ms(datetime.fromisoformat(row["last_bar"]["open_time"])) for row in health["symbols"] if row["last_bar"]
        }
        if late := [symbol for symbol in SYMBOLS if newest.get(symbol, 0) < wanted]:
            return f"no fresh bars of {late}"
        bad = {row["name"]: row["error"] for row in health["plugins"] if row["state"] == "failed"}
        return f"failed: {bad}" if bad.keys() - {"crasher"} else ""

    @staticmethod
    def _behind(health: dict[str, Any], before: int) -> str:
        cursors = {row["name"]: row["cursor"] for row in health["forwarders"]}
        behind = [name for name in FORWARDERS if cursors.get(name, 0) < before]
        return f"{behind} behind {before}" if behind else ""

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def spoil(self) -> None:
        """Lose a bar on disk, change another, and lose one in InfluxDB: whoever looks for what is lost must find all three."""
        at = sorted(at for name, at in self.stored() if name == SYMBOLS[0])
        with closing(sqlite3.connect(self.data / "tickerml.db", isolation_level=None)) as connection:
            connection.execute("DELETE FROM bar WHERE symbol = ? AND open_time = ?", (SYMBOLS[0], at[10]))
            connection.execute("UPDATE bar SET close = low WHERE symbol = ? AND open_time = ? AND close > low", (SYMBOLS[1], at[20]))
        self.influx.query(f"DELETE FROM bar WHERE time = {at[30] * 10**6}")

    # -- what must not be lost

    def stored(self) -> dict[Key, Bar]:
        """Every bar on disk."""
        with closing(SqliteStore.open(self.data / "tickerml.db", SystemClock(), read_only=True)) as store:
            return {(bar.symbol, to_ms(bar.open_time)): bar for symbol in SYMBOLS for bar in store.bars(symbol, 0, 2**53)}

    def lost(self) -> list[str]:
        """Minutes that are not on disk as the exchange has them, not in InfluxDB as they are on disk, or were said and are not there."""
        said = list(self.witness.heard)
        stored, found = self.stored(), list[str]()
        for symbol in SYMBOLS:
            minutes = [at for name, at in stored if name == symbol]
            for at, close in self.exchange.closes(symbol, min(minutes), max(minutes)).items():
                bar = stored.get((symbol, at))
                if bar is None or bar.close != float(close) or bar.quality != "exact":
                    found.append(f"{symbol} {at}: {bar and bar.close} on disk, {close} at the exchange")
        for topic, payload, _ in said:
            if topic.startswith("tickerml/bar/") and payload and self._ours(payload):
                bar = decode(topic.removeprefix("tickerml/"), payload)
                assert isinstance(bar, Bar)
                if stored.get((bar.symbol, to_ms(bar.open_time))) != bar:
                    found.append(f"{bar.symbol} {bar.open_time} was said and is not on disk")
        return found + self._differences_in_influx(stored)

    @staticmethod
    def _ours(payload: bytes) -> bool:
        """Not what the campaign itself has said there."""
        return b'"source":"binanceus"' in payload

    def _differences_in_influx(self, stored: dict[Key, Bar]) -> list[str]:
        rows = self.influx.query("SELECT close, quality, symbol FROM bar WHERE interval = '1m'")
        there = {(row["symbol"], row["time"] // 10**6): row["close"] for row in rows}
        found = [f"{key}: twice in InfluxDB" for key in there if len(there) != len(rows)][:1]
        oldest = self.exchange.now_ms() - 5 * MINUTE_MS  # the newest are on their way
        return found + [
            f"{key}: {bar.close} on disk, {there.get(key)} in InfluxDB"
            for key, bar in stored.items()
            if key[1] < oldest and there.get(key) != bar.close
        ]

    def lost_dumps(self, days: Sequence[str]) -> list[str]:
        """Bars of these days that did not arrive where dumps are brought."""
        stored, found = self.stored(), []
        for day in days:
            for symbol in SYMBOLS:
                lines = (self.dumps / day / f"bars-{symbol}.csv").read_text(encoding="utf-8").splitlines()[1:]
                there = {int(line.split(",")[0]): float(line.split(",")[4]) for line in lines}
                first = to_ms(datetime.fromisoformat(f"{day}T00:00:00Z"))
                mine = {at: bar.close for (name, at), bar in stored.items() if name == symbol and first <= at < first + 1440 * MINUTE_MS}
                if there != mine:
                    found.append(f"{day} {symbol}: {len(there)} bars there, {len(mine)} on disk")
        return found


def in_words(seconds: Sequence[float]) -> str:
    """Median and worst."""
    return f"{statistics.median(seconds):.1f} / {max(seconds):.1f} s" if seconds else "-"
