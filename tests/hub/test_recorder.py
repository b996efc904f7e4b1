"""The way to disk, as those see it who wait for news."""

import asyncio
from pathlib import Path

import pytest

from hub.runtime.recorder import Recorder
from hub.runtime.store import SqliteStore
from hub.testing import FakeClock, bars


async def test_who_is_stopped_in_the_moment_of_news_stops(tmp_path: Path) -> None:
    """A flow whose end gets lost would run on after its plugin was stopped, or beside its successor."""
    clock = FakeClock()
    recorder = Recorder(SqliteStore.open(tmp_path / "tickerml.db", clock), clock)

    async def follow() -> None:
        while True:
            await recorder.wait_for_news(recorder.edition)

    task = asyncio.create_task(follow())
    recorder.listeners.append(task.cancel)
    await recorder.record(bars(1))
    done, _ = await asyncio.wait([task], timeout=5)
    assert done
    with pytest.raises(asyncio.CancelledError):
        task.result()
    await recorder.close()
