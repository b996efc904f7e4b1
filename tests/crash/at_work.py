"""A recorder at work on a disk that fails, in a process of its own: says in JSON lines what became of every minute.

python at_work.py FOLDER MINUTES [--ballast BYTES] [--clear-up FILE AFTER_FAILURES]
"""

import argparse
import asyncio
import json
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog

from hub.clock import SystemClock
from hub.errors import TransientError
from hub.market.interval import MINUTE_MS, to_ms
from hub.messages import Alert
from hub.runtime.disk.ballast import Ballast
from hub.runtime.disk.recorder import Recorder
from hub.runtime.disk.store import SqliteStore
from hub.testing import START, bars

T = to_ms(START)


def say(**values: Any) -> None:
    print(json.dumps(values), flush=True)


def log(_logger: Any, level: str, entry: Any) -> str:
    say(log=entry["event"], level=level)
    raise structlog.DropEvent


async def work(options: argparse.Namespace) -> None:
    store = SqliteStore.open(options.folder / "tickerml.db", SystemClock())
    ballast = Ballast(options.folder / "ballast", size=options.ballast, plenty=options.ballast)
    if options.ballast:
        ballast.reserve()
        say(ballast=ballast.held)
    recorder = Recorder(store, SystemClock(), ballast)
    failures, confirmed = 0, 0
    while confirmed < options.minutes:
        at = START + timedelta(minutes=confirmed)
        try:
            await recorder.record([*bars(confirmed + 1.0, start=at), *bars(confirmed + 1.0, start=at, symbol="ETH-USDT")])
        except TransientError as error:
            failures += 1
            readable = len(store.bars("BTC-USDT", T, T + options.minutes * MINUTE_MS))
            say(failed=str(error), kind=type(error).__name__, confirmed=confirmed, readable=readable)
            if options.clear_up and failures == int(options.clear_up[1]):
                say(alert=await refused(recorder))
                Path(options.clear_up[0]).unlink()  # noqa: ASYNC240 - nobody else is waiting
            if failures > 1000:
                return
        else:
            confirmed += 1
    ballast.reserve()
    say(ballast=ballast.held, failing=recorder.failing)
    await recorder.close()
    with closing(SqliteStore.open(options.folder / "tickerml.db", SystemClock())) as again:
        kept = [[bar.close for bar in again.bars(symbol, T, T + confirmed * MINUTE_MS)] for symbol in ("BTC-USDT", "ETH-USDT")]
        say(confirmed=confirmed, sound=again.recovered is None and kept == [[minute + 1.0 for minute in range(confirmed)]] * 2)


async def refused(recorder: Recorder) -> str:
    """What an alert is told while the disk is full."""
    try:
        await recorder.record([Alert(symbol="BTC-USDT", source="test", text="x")])
    except TransientError as error:
        return str(error)
    return "recorded"


structlog.configure(processors=[log])
parser = argparse.ArgumentParser()
parser.add_argument("folder", type=Path)
parser.add_argument("minutes", type=int)
parser.add_argument("--ballast", type=int, default=0)
parser.add_argument("--clear-up", nargs=2)
asyncio.run(work(parser.parse_args(sys.argv[1:])))
