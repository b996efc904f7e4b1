"""The way to disk when the disk is held, failing, full or gone: nothing is lost, and the user is told in words."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from hub.errors import TransientError
from hub.flow import Source
from hub.market.interval import MINUTE_MS, to_ms
from hub.messages import Bar
from hub.runtime.disk import connection
from hub.runtime.disk.ballast import Ballast
from hub.runtime.disk.recorder import Recorder
from hub.runtime.disk.store import SqliteStore
from hub.runtime.hosting.supervisor import PluginWatch, Supervisor
from hub.testing import START, FakeClock, MemoryBus, bars

T = to_ms(START)


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    clock = FakeClock()
    return Recorder(SqliteStore.open(tmp_path / "tickerml.db", clock), clock)


def locked(recorder: Recorder) -> Any:
    """An admin's shell that has begun to write and went for lunch."""
    shell = sqlite3.connect(recorder.store.path, isolation_level=None)
    shell.execute("BEGIN EXCLUSIVE")
    return closing(shell)


async def until(condition: Callable[[], bool], clock: FakeClock) -> None:
    for _ in range(3000):
        if condition():
            return
        await asyncio.sleep(0.005)
        await clock.advance(1.0)
    raise AssertionError("it never came to that")


async def test_a_bar_waits_for_an_admins_lock_and_the_flow_says_why(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """D6: held for longer than our patience, again and again; recorded once it is free."""
    monkeypatch.setattr(connection, "LOCKED_S", 0.02)
    clock = FakeClock()
    states: list[Any] = []

    async def stream() -> AsyncIterator[Bar]:
        for bar in bars(1, 2):
            yield bar
        await asyncio.Event().wait()

    watch = PluginWatch("test", clock, states.append)
    supervisor = Supervisor(clock, recorder, MemoryBus())
    recorder.store.close()  # a patience of 10 s belongs to connections made before
    with locked(recorder) as shell:
        source = Source("test", stream, produces=(Bar,))
        flow = asyncio.create_task(supervisor.keep_running(source, watch, structlog.get_logger()))
        await until(lambda: watch.state.state == "retrying", clock)
        assert recorder.bars == 0
        assert "tickerml.db: locked by another program (a sqlite3 shell, a backup?)" in (watch.state.error or "")
        shell.execute("ROLLBACK")
        await until(lambda: recorder.bars == 2 and watch.state.state == "running", clock)
    flow.cancel()
    await asyncio.gather(flow, return_exceptions=True)
    assert recorder.store.bars("BTC-USDT", T, T + MINUTE_MS) == bars(1, 2)
    await recorder.close()


async def test_the_event_loop_goes_on_while_the_writer_waits_for_a_lock(recorder: Recorder) -> None:
    """The lock is let go by the very loop that would be blocked."""
    with locked(recorder) as shell:
        waiting = asyncio.create_task(recorder.record(bars(1)))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        assert await asyncio.to_thread(recorder.store.newest_bar, "BTC-USDT") is None, "reads go on"
        shell.execute("ROLLBACK")
        await waiting
    assert recorder.store.newest_bar("BTC-USDT") is not None
    await recorder.close()


async def test_three_failures_in_a_row_are_an_alarm_and_the_end_of_them_is_told(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K3: one hiccup is none of the user's business, a dying card is."""
    monkeypatch.setattr(connection, "LOCKED_S", 0.0)
    recorder.store.close()
    with capture_logs() as logs, locked(recorder) as shell:
        for failures in range(1, 6):
            with pytest.raises(TransientError):
                await recorder.record(bars(1))
            assert [entry["event"] for entry in logs] == ["storage failing"] * (failures >= 3)
        assert logs[0]["log_level"] == "error"
        assert "locked by another program" in logs[0]["reason"]
        assert recorder.failing == logs[0]["reason"]
        shell.execute("ROLLBACK")
        await recorder.record(bars(1))
        assert [entry["event"] for entry in logs] == ["storage failing", "storage works again"]
        assert recorder.failing is None
    await recorder.close()


async def test_a_store_that_is_taken_away_is_missed_and_one_that_comes_back_is_used(recorder: Recorder) -> None:
    """K5: a USB disk falls off, or somebody tidies up; bars written into a file without a name would be lost at the next start."""
    store = recorder.store
    await recorder.record(bars(1))
    away = store.path.parent.with_name("away")
    with closing(sqlite3.connect(store.path)) as shell:
        shell.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copytree(store.path.parent, away)
    shutil.rmtree(store.path.parent)
    for attempt in (lambda: recorder.record(bars(1, 2)), lambda: asyncio.to_thread(store.newest_bar, "BTC-USDT")):
        with pytest.raises(TransientError, match=r"tickerml.db: cannot be written: .*it is gone"):
            await attempt()  # type: ignore[no-untyped-call]
    assert not store.path.parent.exists(), "nothing is made in its place"
    away.rename(store.path.parent)
    await recorder.record(bars(1, 2))
    await recorder.close()
    with closing(SqliteStore.open(store.path, FakeClock())) as again:
        assert again.bars("BTC-USDT", T, T + MINUTE_MS) == bars(1, 2)


def test_ballast_is_there_or_not_and_never_half(tmp_path: Path) -> None:
    """Its place counts as used; given up, it is free at once."""
    ballast = Ballast(tmp_path / "ballast", size=1 << 20, plenty=1 << 20)
    ballast.reserve()
    ballast.reserve()
    assert ballast.held
    assert (tmp_path / "ballast").stat().st_blocks * 512 >= 1 << 20
    assert ballast.release()
    assert not ballast.release()
    assert not ballast.held
    tight = Ballast(tmp_path / "other", plenty=1 << 60)
    tight.reserve()
    assert not (tmp_path / "other").exists()


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
