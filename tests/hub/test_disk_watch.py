"""What the hub says of its disk before it is too late."""

import sqlite3
from contextlib import closing
from pathlib import Path

import structlog
from structlog.testing import capture_logs

from hub.messages import Article
from hub.runtime.disk.ballast import MIB, Ballast
from hub.runtime.disk.disk_watch import DiskWatch
from hub.runtime.disk.store import SqliteStore
from hub.runtime.health import stored
from hub.testing import START, FakeClock, bars


def articles(count: int) -> list[Article]:
    return [Article(asset="BTC", title="x" * 1000, url="y" * 2000, source="test", published_at=None, collected_at=START)] * count


def test_a_long_reader_is_seen_by_the_length_of_the_log_and_the_log_shrinks_when_it_ends(tmp_path: Path) -> None:
    """D8: a shell left open for the night must not fill the disk unnoticed."""
    with closing(SqliteStore.open(tmp_path / "tickerml.db", FakeClock())) as store, capture_logs() as logs:
        watch = DiskWatch(store, Ballast(tmp_path / "ballast"), structlog.get_logger(), low=0)
        store.record(bars(1, 2))
        watch.look()
        with closing(sqlite3.connect(store.path, isolation_level=None)) as shell:
            shell.execute("BEGIN")
            shell.execute("SELECT count(*) FROM bar").fetchall()
            while store.bytes_on_disk()[1] <= 64 * MIB:
                assert not logs
                store.record(articles(2000))
                watch.look()
            watch.look()
            [said] = logs
            assert said["log_level"] == "warning"
            assert "write-ahead log has grown to" in said["event"]
            assert "a long reader" in said["event"]
            assert stored(store)["store"]["wal_bytes"] == store.bytes_on_disk()[1]
            shell.execute("ROLLBACK")
        for _ in range(3):
            store.record(articles(1))
        watch.look()
        assert store.bytes_on_disk()[1] <= 16 * MIB
        assert [entry["event"] for entry in logs[1:]] == ["write-ahead log: well again"]


def test_a_disk_that_gets_full_is_said_once(tmp_path: Path) -> None:
    """The first rung of the ladder: there is time left to clear up."""
    with closing(SqliteStore.open(tmp_path / "tickerml.db", FakeClock())) as store, capture_logs() as logs:
        watch = DiskWatch(store, Ballast(tmp_path / "ballast", size=MIB), structlog.get_logger(), low=1 << 60)
        watch.look()
        watch.look()
        assert len(logs) == 1
        assert str(tmp_path) in logs[0]["event"]
        assert "free some space" in logs[0]["event"]
    assert (tmp_path / "ballast").exists()
