"""A hub beside Home Assistant core with its MQTT entry, each with a mosquitto of its own: start, memory, idle processor time, wake-ups."""

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from bench.growth import exchange
from bench.idle import Usage
from bench.peers import program
from bench.row import Row
from bench.start import listener
from bench.station import hub, mosquitto
from tests.hubs import ENVIRONMENT

AT_MOST = 3.0
"""Times as much as ours, at least."""
SETTLE_S = 20.0
ENTRY = {
    "entry_id": "0123456789abcdef0123456789abcdef",
    "version": 1,
    "minor_version": 1,
    "domain": "mqtt",
    "title": "broker",
    "options": {},
    "pref_disable_new_entities": False,
    "pref_disable_polling": False,
    "source": "user",
    "unique_id": None,
    "disabled_by": None,
}


@contextmanager
def home_assistant(folder: Path, port: int) -> Iterator[psutil.Process]:
    """Its core, with nothing but the MQTT integration."""
    (folder / ".storage").mkdir()
    (folder / "configuration.yaml").write_text("homeassistant:\n  name: Home\n", encoding="utf-8")
    entry = ENTRY | {"data": {"broker": "127.0.0.1", "port": port, "discovery": True}}
    stored = {"version": 1, "minor_version": 1, "key": "core.config_entries", "data": {"entries": [entry]}}
    (folder / ".storage" / "core.config_entries").write_text(json.dumps(stored), encoding="utf-8")
    command = [program("homeassistant", "hass"), "-c", str(folder), "--skip-pip"]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(60)


@dataclass(frozen=True)
class Sample:
    """One life of one program."""

    start_s: float
    memory_mb: float
    cpu: float
    """Per cent of a core."""
    wakeups: float
    """A second."""


def lived(stack: ExitStack, name: str) -> tuple[psutil.Process, float]:
    """Started; and the seconds until its broker heard that it is online."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    port = stack.enter_context(mosquitto(folder))
    ours = name == "hub"
    online = stack.enter_context(listener(port, "tickerml/hub/state" if ours else "homeassistant/status"))
    begun = time.perf_counter()
    if ours:
        url = stack.enter_context(exchange(["BTC-USDT", "ETH-USDT"]))
        begun = time.perf_counter()
        process = stack.enter_context(hub(folder, port, {"backfill": "60m", "fallback": None, "binanceus": {"base_url": url}}))
    else:
        process = stack.enter_context(home_assistant(folder, port))
    if not online.wait(60):
        raise SystemExit(f"{name} did not come online within 60 s")
    return process, time.perf_counter() - begun


def sampled(seconds: float, settle_s: float) -> dict[str, Sample]:
    """One after the other they start, and then both live at once."""
    with ExitStack() as stack:
        started = {name: lived(stack, name) for name in ("hub", "Home Assistant")}
        time.sleep(settle_s)
        before = {name: Usage.of(process) for name, (process, _) in started.items()}
        time.sleep(seconds)
        found = {}
        for name, (process, start_s) in started.items():
            used = Usage.of(process)
            cpu, wakeups = (used.cpu_s - before[name].cpu_s) / seconds, (used.wakeups - before[name].wakeups) / seconds
            found[name] = Sample(start_s, process.memory_info().rss / 1e6, 100 * cpu, wakeups)
        return found


def rows(seconds: float = 60.0, rounds: int = 3, settle_s: float = SETTLE_S) -> list[Row]:
    """Ratio: how many times as much Home Assistant takes."""
    samples = [sampled(seconds, settle_s) for _ in range(rounds)]
    what = {
        "start_s": ("start, until online", "s", ""),
        "memory_mb": (
            "memory",
            "MB",
            "by imports one after the other: Python and asyncio 21, structlog with rich 8, pydantic 5, our messages 6, httpx and paho 6",
        ),
        "cpu": ("idle", "% of a core", "ours takes in two bars a minute meanwhile, and syncs them; the other has nothing to do"),
        "wakeups": (
            "wake-ups",
            "a second",
            "a heartbeat every 5 s, and each minute's bars on their way to the disk and the broker; the other hears nothing",
        ),
    }
    found = []
    for field, (name, unit, note) in what.items():
        pairs = [(getattr(each["hub"], field), getattr(each["Home Assistant"], field)) for each in samples]
        ours, theirs = (median(column) for column in zip(*pairs, strict=True))
        ratio = median(other / max(mine, 1e-9) for mine, other in pairs)
        found.append(Row(f"hub, {name}", ours, unit, theirs, "Home Assistant 2024.3.3", ratio, at_least=AT_MOST, note=note))
    return found
