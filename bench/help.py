"""Seconds until `hub --help` has answered."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench.row import Row, interleaved

ROOT = Path(__file__).parents[1]


def seconds(*command: str) -> float:
    """For one run of a command that must succeed."""
    begun = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def rows(rounds: int = 15) -> list[Row]:
    """The console script, as it is installed."""
    hub = str(Path(sys.executable).with_name("hub"))
    measured = interleaved(rounds, lambda: seconds(hub, "--help"), lambda: seconds(sys.executable, "-c", "pass"))
    ours, python = (statistics.median(column) for column in zip(*measured, strict=True))
    return [Row("hub --help", ours, "s", python, "python -c pass", at_most=0.3)]
