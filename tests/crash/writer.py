"""Forks a process that writes bars for ever, and another one when that has been killed: what is slow to import is there already.

Each line on stdin (a path, and which mutant) asks for one. It says its number, then the minutes that `record` has confirmed;
`dead` follows when it is.
"""

import os
import sys
from datetime import timedelta
from pathlib import Path

from hub.clock import SystemClock
from hub.runtime.disk.store import SqliteStore
from hub.testing import START, bars


def say(word: object) -> None:
    """In one piece, or not at all."""
    os.write(1, f"{word}\n".encode())


def write(path: Path, mutant: str) -> None:
    say(os.getpid())
    store = SqliteStore.open(path, SystemClock())
    newest = store.newest_bar("BTC-USDT")
    minute = 0 if newest is None else int(newest.close)
    while True:
        at = START + timedelta(minutes=minute)
        batch = [*bars(minute + 1.0, start=at), *bars(minute + 1.0, start=at, symbol="ETH-USDT")]
        if mutant == "confirm before commit":
            say(minute)
        store.record(batch)
        if mutant == "none":
            say(minute)
        minute += 1


for line in sys.stdin:
    path, mutant = line.rstrip("\n").split("\t")
    if (child := os.fork()) == 0:
        write(Path(path), mutant)
    os.waitpid(child, 0)
    say("dead")
