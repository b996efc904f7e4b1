"""The store: what it keeps, what it refuses, and how it gets over a bad disk."""

import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.errors import HubError, PermanentError, TransientError
from hub.market.interval import MINUTE_MS, to_ms
from hub.messages import Alert, Bar, Gap
from hub.runtime.disk import connection
from hub.runtime.disk.store import SqliteStore
from hub.testing import START, FakeClock, bars

T = to_ms(START)


def opened(folder: Path) -> SqliteStore:
    return SqliteStore.open(folder / "tickerml.db", FakeClock())


def gap(first: int, last: int, reason: str = "exchange: no data") -> Gap:
    return Gap(
        symbol="BTC-USDT", first_open_time=START + timedelta(minutes=first), last_open_time=START + timedelta(minutes=last), reason=reason
    )


def test_bars_come_back_to_the_bit_after_a_restart(tmp_path: Path) -> None:
    """What was confirmed is there, unchanged."""
    made = bars(0.1, 105573.73, 1e-8, 73.9024)
    first = opened(tmp_path)
    first.record(made)
    first.close()
    assert opened(tmp_path).bars("BTC-USDT", T, T + 10 * MINUTE_MS) == made


def test_recording_twice_is_recording_once(tmp_path: Path) -> None:
    """A repeated fetch changes nothing, so forwarders are not woken for nothing."""
    store = opened(tmp_path)
    store.record(bars(1, 2, 3))
    before = store.facts_after(0, (Bar,), 10)
    store.record(bars(1, 2, 3))
    assert store.facts_after(0, (Bar,), 10) == before


def test_a_large_batch_is_numbered_in_order_and_its_last_word_about_a_minute_counts(tmp_path: Path) -> None:
    """Many bars go to disk in one statement; that must not show."""
    store = opened(tmp_path)
    made = bars(*range(1, 331))
    corrected = bars(*range(1001, 1006), start=START + timedelta(minutes=98))
    store.record([*made, *corrected])
    assert store.bars("BTC-USDT", T, T + 400 * MINUTE_MS) == [*made[:98], *corrected, *made[103:]]
    assert [seq for seq, _ in store.facts_after(0, (Bar,), 1000)] == [*range(1, 99), *range(104, 336)]
    assert [bar for _, bar in store.facts_after(330, (Bar,), 1000)] == corrected
    assert store.last_seq() == 335


def test_a_fallback_bar_is_replaced_and_never_replaces(tmp_path: Path) -> None:
    """The better source wins, whatever the order; each change gets a new place for the forwarders."""
    store = opened(tmp_path)
    store.record(bars(5, quality="fallback", volume=None))
    assert store.fallback("BTC-USDT", T, T) == [(T, T)]
    store.record(bars(6))
    store.record(bars(7, quality="fallback", volume=None))
    assert [bar.close for bar in store.bars("BTC-USDT", T, T)] == [6]
    assert [seq for seq, _ in store.facts_after(0, (Bar,), 10)] == [2]
    assert store.fallback("BTC-USDT", T, T) == []


def test_a_correction_keeps_the_old_numbers(tmp_path: Path) -> None:
    """An exchange may revise a bar; what it said before is not lost."""
    store = opened(tmp_path)
    store.record(bars(5))
    store.record(bars(6))
    rows = sqlite3.connect(store.path).execute("SELECT close, replaced_by FROM revision").fetchall()
    assert rows == [(5.0, 2)]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["bar", "fallback", "gap"]), st.integers(0, 30), st.integers(0, 5)), max_size=25),
)
def test_no_minute_is_both_a_bar_and_a_gap(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]) -> None:
    """Whatever comes in whatever order, a gap covers just the minutes it named that have no bar."""
    store = opened(tmp_path_factory.mktemp("store"))
    with_bar: set[int] = set()
    named: set[int] = set()
    for kind, first, more in steps:
        span = range(first, first + more + 1)
        if kind == "gap":
            store.record([gap(first, first + more)])
            named |= set(span)
        else:
            store.record(
                bars(*(100.0 for _ in span), start=START + timedelta(minutes=first), quality="exact" if kind == "bar" else "fallback")
            )
            with_bar |= set(span)
    covered = [
        minute
        for each in store.gaps("BTC-USDT")
        for minute in range((to_ms(each.first_open_time) - T) // MINUTE_MS, (to_ms(each.last_open_time) - T) // MINUTE_MS + 1)
    ]
    assert sorted(covered) == sorted(named - with_bar)
    store.close()


def test_facts_and_bars_keep_one_order(tmp_path: Path) -> None:
    """A forwarder reads all kinds by one cursor; one that wants a rare kind is not held up by the others."""
    store = opened(tmp_path)
    store.record(bars(1, 2))
    store.record([Alert(symbol="BTC-USDT", source="test", text="up")])
    store.record(bars(3, start=START + timedelta(minutes=2)))
    assert [seq for seq, _ in store.facts_after(0, (Bar, Alert), 10)] == [1, 2, 3, 4]
    [(seq, alert)] = store.facts_after(0, (Alert,), 1)
    assert seq == 3
    assert isinstance(alert, Alert)
    assert alert.raised_at == START


def test_cursor_and_frontier_move_together(tmp_path: Path) -> None:
    """After a crash, what is on the wire and how far the outbox has come still agree."""
    store = opened(tmp_path)
    store.record(bars(*range(1, 9)))
    store.move_cursor("mqtt", 7, {"BTC-USDT": T})
    store.close()
    again = opened(tmp_path)
    assert (again.cursor("mqtt"), again.frontier()) == (7, {"BTC-USDT": T})


def test_a_locked_store_says_so_and_takes_the_batch_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An admin's sqlite3 shell must not cost a bar."""
    monkeypatch.setattr(connection, "LOCKED_S", 0.1)
    store = opened(tmp_path)
    shell = sqlite3.connect(store.path, isolation_level=None)
    shell.execute("BEGIN EXCLUSIVE")
    with pytest.raises(TransientError, match="locked by another program"):
        store.record(bars(1))
    shell.execute("ROLLBACK")
    store.record(bars(1))
    assert store.newest_bar("BTC-USDT") is not None


def test_an_unusable_folder_is_named(tmp_path: Path) -> None:
    """A file stands where the folder should be: path and fix, no traceback."""
    (tmp_path / "data").write_text("")
    with pytest.raises(HubError, match=r"data: cannot be used as data_dir"):
        opened(tmp_path / "data")


def test_a_reader_works_beside_the_writer_and_never_writes(tmp_path: Path) -> None:
    """`hub status` looks at a store that a hub is writing."""
    with pytest.raises(HubError, match="hub run"):
        SqliteStore.open(tmp_path / "tickerml.db", FakeClock(), read_only=True)
    writer = opened(tmp_path)
    reader = SqliteStore.open(tmp_path / "tickerml.db", FakeClock(), read_only=True)
    writer.record(bars(1, 2))
    assert len(reader.bars("BTC-USDT", T, T + MINUTE_MS)) == 2
    with pytest.raises(PermanentError, match="read only"):
        reader.record(bars(3))


def test_reads_come_from_any_thread(tmp_path: Path) -> None:
    """Plugins may read from worker threads."""
    store = opened(tmp_path)
    store.record(bars(1, 2))
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(len(store.bars("BTC-USDT", T, T + MINUTE_MS)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [2] * 4


def test_hot_reads_use_an_index(tmp_path: Path) -> None:
    """Nothing that is read every minute may slow down with the years."""
    store = opened(tmp_path)
    looks = sqlite3.connect(store.path)
    for sql in (
        "SELECT close FROM bar WHERE symbol = 'X' ORDER BY open_time DESC LIMIT 1",
        "SELECT close FROM bar WHERE seq > 5 ORDER BY seq LIMIT 500",
        "SELECT payload FROM fact WHERE seq > 5 AND kind IN ('Alert') ORDER BY seq LIMIT 5",
        "SELECT open_time FROM bar WHERE symbol = 'X' AND open_time BETWEEN 1 AND 2 ORDER BY open_time",
        "SELECT open_time FROM bar WHERE symbol = 'X' AND quality = 0 AND open_time BETWEEN 1 AND 2 ORDER BY open_time",
    ):
        plan = " ".join(row[3] for row in looks.execute(f"EXPLAIN QUERY PLAN {sql}"))
        assert "SEARCH" in plan, plan
        assert "SCAN" not in plan, plan


def between(read: Callable[..., Any]) -> Callable[..., Any]:
    """Takes its time, so that the others get a turn."""

    def slowly(*arguments: Any) -> Any:
        time.sleep(0.002)
        return read(*arguments)

    return slowly


def test_who_follows_the_facts_is_passed_by_none_while_they_are_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bars and the rest stand in two tables: read one after the other, a bar that comes between would never be forwarded."""
    store, over, seen = opened(tmp_path), threading.Event(), list[int]()
    alert = Alert(symbol="BTC-USDT", source="test", text="x", raised_at=START)

    def follow() -> None:
        while True:
            last = over.is_set()
            found = [seq for seq, _ in store.facts_after(seen[-1] if seen else 0, (Bar, Alert), 500)]
            seen.extend(found)
            if last and not found:
                return

    monkeypatch.setattr(store, "_numbered_bars", between(store._numbered_bars))
    follower = threading.Thread(target=follow)
    follower.start()
    for minute in range(600):
        at = START + timedelta(minutes=minute)
        store.record(bars(minute + 1.0, start=at))
        store.record([alert])
    over.set()
    follower.join()
    assert seen == list(range(1, 1201))
