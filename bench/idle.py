"""Processor time and wake-ups of a hub that has nothing to do but the newest minute of two symbols."""

import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from bench.row import Row
from bench.station import bars_in, hub, mosquitto, wait_until
from tests.brokers import free_port

SETTLE_S = 15.0


@dataclass
class Usage:
    """What a process has used since its start."""

    cpu_s: float
    wakeups: int

    @classmethod
    def of(cls, process: psutil.Process) -> "Usage":
        """All its threads together; a wake-up is a voluntary context switch."""
        times, wakeups = process.cpu_times(), 0
        for thread in Path(f"/proc/{process.pid}/task").iterdir():
            fields = dict(line.split(":", 1) for line in (thread / "status").read_text(encoding="utf-8").splitlines())
            wakeups += int(fields["voluntary_ctxt_switches"])
        return cls(times.user + times.system, wakeups)


def rows(seconds: float = 65.0, settle_s: float = SETTLE_S) -> list[Row]:
    """Two live hubs at once, on an exchange that each simulates for itself: one with mosquitto, one with the embedded broker."""
    with ExitStack() as stack:
        hubs: dict[str, psutil.Process] = {}
        for name in ("mosquitto", "embedded broker"):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            port = stack.enter_context(mosquitto(folder)) if name == "mosquitto" else free_port()
            hubs[name] = stack.enter_context(hub(folder, port, {"source": "simulated", "backfill": "60m"}))
            wait_until(partial(_has_bars, folder), "the first bars")
        broker = hubs["embedded broker"].children()[0]
        time.sleep(settle_s)
        watched = {**hubs, "broker": broker}
        before = {name: Usage.of(process) for name, process in watched.items()}
        time.sleep(seconds)
        used = {name: _difference(Usage.of(process), before[name]) for name, process in watched.items()}
    return [_row(name, used[name], seconds, used["broker"] if name == "embedded broker" else None) for name in hubs]


def _has_bars(folder: Path) -> bool:
    return bars_in(folder) >= 100


def _difference(after: Usage, before: Usage) -> Usage:
    return Usage(after.cpu_s - before.cpu_s, after.wakeups - before.wakeups)


def _row(name: str, used: Usage, seconds: float, broker: Usage | None) -> Row:
    note = f"{used.wakeups / seconds:.1f} wake-ups/s"
    if broker is not None:
        note += f"; its broker's own process {100 * broker.cpu_s / seconds:.2f} %, {broker.wakeups / seconds:.1f} wake-ups/s"
    return Row(f"idle, {name}", 100 * used.cpu_s / seconds, "% of a core", at_most=1, note=note)
