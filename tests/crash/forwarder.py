"""Records bars and forwards them to InfluxDB, in a process that is killed again and again; a new one goes on where it was.

forwarder.py FOLDER URL KILLS MUTANT: kills itself at least that often, and until FOLDER/enough exists; prints how often it was.
"""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import plugins.influxdb.v1  # noqa: F401 - loaded once, so that every fork is ready at once
from hub.flow import Source
from hub.market.interval import from_ms, to_ms
from hub.messages import Bar
from hub.testing import START, bars
from tests.forwarding import Forwarding

SYMBOLS = ("BTC-USDT", "ETH-USDT")
SPEED = 20.0


async def _live(folder: Path, url: str, mutant: str, tell: int) -> None:
    """`tell`: where to write a byte for every batch on disk."""
    plugin = Forwarding(folder, {"url": url}, SPEED)
    chance = random.Random(os.getpid())

    async def minutes() -> AsyncIterator[Sequence[Bar]]:
        """Goes on after the newest bar; a quarter of the bars only stand in, and some of those are corrected."""
        while True:
            batch = []
            for symbol in SYMBOLS:
                newest = plugin.store.newest_bar(symbol)
                start = START if newest is None else newest.open_time + timedelta(minutes=1)
                for at in range(chance.randint(1, 8)):
                    quality = chance.choice(["exact", "exact", "exact", "fallback"])
                    batch += bars(chance.random() + 1, symbol=symbol, start=start + timedelta(minutes=at), quality=quality)
                for first, _ in chance.sample(stand_ins := plugin.store.fallback(symbol, to_ms(START), to_ms(start)), len(stand_ins) // 50):
                    batch += bars(chance.random() + 2, symbol=symbol, start=from_ms(first))
            yield batch
            os.write(tell, b".")
            await plugin.clock.sleep(chance.random() * 0.1)

    if mutant == "confirm before writing":
        write, running = plugin.sinks[0].write, set[Any]()

        async def confirm(batch: Sequence[Any]) -> None:
            running.add(asyncio.ensure_future(write(batch)))

        object.__setattr__(plugin.sinks[0], "write", confirm)
    plugin.start()
    source = Source("minutes", minutes, produces=(Bar,))
    await plugin._supervisor.keep_running(source, plugin.watch, plugin.hub.log)


def _main(folder: Path, url: str, kills: int, mutant: str) -> None:
    chance, done = random.Random(11), 0
    while done < kills or not (folder / "enough").exists():
        told, tell = os.pipe()
        child = os.fork()
        if not child:
            try:
                asyncio.run(_live(folder, url, mutant, tell))
            finally:
                os._exit(1)
        os.close(tell)
        for _ in range(chance.randint(1, 20)):
            os.read(told, 1)
        time.sleep(chance.uniform(0.0, 0.05))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "it ended by itself"
        os.close(told)
        done += 1
    print(done)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4])
