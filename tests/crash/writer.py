"""Writes bars for ever and prints the number of each that `record` has confirmed; to be killed at any moment."""

import sys
from datetime import timedelta
from pathlib import Path

from hub.clock import SystemClock
from hub.runtime.store import SqliteStore
from hub.testing import START, bars

path, mutant = Path(sys.argv[1]), sys.argv[2]
store = SqliteStore.open(path, SystemClock())
minute = store.last_seq()
while True:
    batch = bars(float(minute + 1), start=START + timedelta(minutes=minute))
    if mutant == "confirm before commit":
        print(minute, flush=True)
    store.record(batch)
    if mutant == "none":
        print(minute, flush=True)
    minute += 1
