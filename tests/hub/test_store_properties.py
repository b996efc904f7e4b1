"""Whatever is recorded, in whatever order: the store on disk says what the store in memory says, and numbers it all once."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hub.market.interval import MINUTE_MS, from_ms, to_ms
from hub.messages import Bar, Gap, Message
from hub.runtime.disk.store import SqliteStore
from hub.testing import START, FakeClock, MemoryStore

FIRST = to_ms(START)
MINUTES = 12
LAST = FIRST + (MINUTES - 1) * MINUTE_MS
SYMBOLS = ("BTC-USDT", "ETH-USDT")
KINDS = (Bar, Gap)

minutes = st.integers(0, MINUTES - 1)
bars = st.builds(
    lambda symbol, minute, close, quality: Bar(
        symbol=symbol,
        open_time=from_ms(FIRST + minute * MINUTE_MS),
        open=close,
        high=close,
        low=close,
        close=close,
        volume=None if quality == "fallback" else 1.0,
        source="coingecko" if quality == "fallback" else "binance",
        quality=quality,
    ),
    st.sampled_from(SYMBOLS),
    minutes,
    st.sampled_from([1.0, 2.0]),
    st.sampled_from(["exact", "fallback"]),
)
gaps = st.builds(
    lambda symbol, ends, reason: Gap(
        symbol=symbol,
        first_open_time=from_ms(FIRST + min(ends) * MINUTE_MS),
        last_open_time=from_ms(FIRST + max(ends) * MINUTE_MS),
        reason=reason,
    ),
    st.sampled_from(SYMBOLS),
    st.tuples(minutes, minutes),
    st.sampled_from(["no trades", "halted"]),
)


class StoreOnDisk(RuleBasedStateMachine):
    """Records, reads as a forwarder does, and starts again, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._file = Path(self._folder.name) / "facts.db"
        self.store = SqliteStore.open(self._file, FakeClock())
        self.memory = MemoryStore()
        self.seq = self.cursor = 0
        self.seen: dict[tuple[str, int], Bar] = {}

    @rule(batch=st.lists(bars | gaps, max_size=8))
    def record(self, batch: list[Message]) -> None:
        before, self.seq = self.seq, self.store.record(batch)
        self.memory.record(batch)
        assert self.seq >= before

    @rule(batch=st.lists(bars, min_size=1, max_size=8, unique_by=lambda bar: (bar.symbol, bar.open_time)))
    def record_twice(self, batch: list[Message]) -> None:
        self.seq = self.store.record(batch)
        self.memory.record(batch)
        assert self.store.record(batch) == self.seq

    @rule(limit=st.integers(1, 5))
    def forward(self, limit: int) -> None:
        found = self.store.facts_after(self.cursor, KINDS, limit)
        numbers = [seq for seq, _ in found]
        assert numbers == sorted(set(numbers))
        assert all(self.cursor < seq <= self.seq for seq in numbers)
        self.seen |= {(fact.symbol, to_ms(fact.open_time)): fact for _, fact in found if isinstance(fact, Bar)}
        if found:
            self.cursor = numbers[-1]
            self.store.move_cursor("reader", self.cursor)
        else:
            assert self.seen == {(bar.symbol, to_ms(bar.open_time)): bar for bar in self._all()}

    @precondition(lambda self: self.seq > 0)
    @rule()
    def start_again(self) -> None:
        self.store.close()
        self.store = SqliteStore.open(self._file, FakeClock())
        assert self.store.last_seq() == self.seq
        assert self.store.cursor("reader") == self.cursor

    @invariant()
    def both_say_the_same(self) -> None:
        for symbol in SYMBOLS:
            assert self.store.bars(symbol, FIRST, LAST) == self.memory.bars(symbol, FIRST, LAST)
            assert self.store.newest_bar(symbol) == self.memory.newest_bar(symbol)
            assert self.store.oldest_open_time(symbol) == self.memory.oldest_open_time(symbol)
            assert self.store.missing(symbol, FIRST, LAST) == self.memory.missing(symbol, FIRST, LAST)
            assert self.store.fallback(symbol, FIRST, LAST) == self.memory.fallback(symbol, FIRST, LAST)
            assert _minutes(self.store.gaps(symbol)) == _minutes(self.memory.gaps(symbol))

    @invariant()
    def no_gap_covers_a_bar(self) -> None:
        have = {(bar.symbol, to_ms(bar.open_time)) for bar in self._all()}
        assert not have & set(_minutes(self.store.gaps()))

    def _all(self) -> list[Bar]:
        return [bar for symbol in SYMBOLS for bar in self.store.bars(symbol, FIRST, LAST)]

    def teardown(self) -> None:
        self.store.close()
        self._folder.cleanup()


def _minutes(found: list[Gap]) -> dict[tuple[str, int], str]:
    """The reason of every missing minute; no minute may have two."""
    told: dict[tuple[str, int], str] = {}
    for gap in found:
        for at in range(to_ms(gap.first_open_time), to_ms(gap.last_open_time) + 1, MINUTE_MS):
            assert (gap.symbol, at) not in told
            told[gap.symbol, at] = gap.reason
    return told


StoreOnDisk.TestCase.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
test_the_store_on_disk_says_what_the_store_in_memory_says = pytest.mark.timeout(300)(StoreOnDisk.TestCase)
