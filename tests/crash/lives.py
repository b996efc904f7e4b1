"""One life of a store after the other on a disk that loses power, and what each finds of the one before."""

import random
import shutil
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, TypeVar

from hub.clock import SystemClock
from hub.errors import HubError
from hub.market.interval import MINUTE_MS, to_ms
from hub.messages import Bar, Gap, Message
from hub.runtime.disk.connection import Connect
from hub.runtime.disk.store import SqliteStore
from hub.testing import START, bars
from tests.crash.power import Connection, Disk, PowerCutError, as_sqlite3

BEGUN = to_ms(START)
T = TypeVar("T")
LIVES_IN_A_FOLDER = 8
MOMENTS = ("writing", "writing", "checkpoint", "checkpoint", "closing")
"""When the power goes, but for new stores: most of those lose it while they are made."""
Key = tuple[str, int]


@dataclass
class Ledger:
    """What a store must hold: the close of each bar, the minutes of each gap's fact, and how far the outbox has come."""

    closes: dict[Key, float] = field(default_factory=dict)
    gaps: set[Key] = field(default_factory=set)
    cursor: int = 0

    def after(self, batch: Sequence[Message]) -> "Ledger":
        closes = {(fact.symbol, minute_of(fact)): fact.close for fact in batch if isinstance(fact, Bar)}
        gaps = {(fact.symbol, minute_of(fact)) for fact in batch if isinstance(fact, Gap)}
        return Ledger(self.closes | closes, self.gaps | gaps, self.cursor)

    @classmethod
    def of(cls, store: SqliteStore) -> "Ledger":
        facts = store.facts_after(0, (Bar, Gap), 10**6)
        found = cls(cursor=store.cursor("mqtt"))
        return found.after([fact for _, fact in facts])


@dataclass
class Outcome:
    """What became of it."""

    lost: int = 0
    """Lives after which something confirmed was missing, or half of a batch was there."""
    damaged: int = 0
    cuts: Counter[str] = field(default_factory=Counter)
    """Where the power went."""


def minute_of(fact: Bar | Gap) -> int:
    return (to_ms(fact.open_time if isinstance(fact, Bar) else fact.first_open_time) - BEGUN) // MINUTE_MS


class OnDisk(SqliteStore):
    """Its own writes, those around SQLite, go to the disk under test too."""

    disk: ClassVar[Disk]

    @classmethod
    def _rewrite(cls, file: Path) -> None:
        with as_sqlite3():
            cls.disk.rewrite(str(file))


class Writer:
    """Records minute after minute as the hub does, and knows what it was told is safe."""

    def __init__(self, confirmed: Ledger, chance: random.Random, *, hasty: bool) -> None:
        """`hasty`: it believes before it was told, as a hub would that publishes before the commit."""
        self.confirmed = confirmed
        self.perhaps = confirmed
        self._chance = chance
        self._hasty = hasty
        self._minute = max((minute for _, minute in confirmed.closes), default=-1) + 1

    def go_on(self, store: SqliteStore) -> None:
        """One minute: a bar of each symbol or a gap in its place, at times a correction, and the outbox's cursor."""
        batch = self._batch()
        self._minute += 1
        self._attempt(self.confirmed.after(batch), lambda: store.record(batch))
        seq = self.confirmed.cursor + 1
        self._attempt(Ledger(self.confirmed.closes, self.confirmed.gaps, seq), lambda: store.move_cursor("mqtt", seq))

    def _attempt(self, then: Ledger, work: Callable[[], object]) -> None:
        self.perhaps = then
        if self._hasty:
            self.confirmed = then
        retried(work)
        self.confirmed = then

    def _batch(self) -> list[Message]:
        at = START + timedelta(minutes=self._minute)
        batch: list[Message] = [*bars(self._minute + 1.0, start=at)]
        if self._chance.random() < 0.2:
            batch.append(Gap(symbol="ETH-USDT", first_open_time=at, last_open_time=at, reason="exchange: no data"))
        else:
            batch += bars(self._minute + 1.0, start=at, symbol="ETH-USDT")
        if self._minute and self._chance.random() < 0.3:
            batch += bars(self._minute + 0.5, start=at - timedelta(minutes=1))
        return batch


def lives(
    folder: Path,
    cuts: int,
    *,
    synchronous: str = "FULL",
    hasty: bool = False,
    failing_syncs: float = 0.0,
    kind: type[OnDisk] = OnDisk,
    seed: int = 11,
) -> Outcome:
    """So many lives, each ended by a power cut at a moment of its own, eight of them in one folder."""
    chance, outcome = random.Random(seed), Outcome()
    for number in range(cuts):
        if number % LIVES_IN_A_FOLDER == 0:
            here, confirmed = made(folder / f"{number}-new"), Ledger()
        writer = Writer(confirmed, chance, hasty=hasty)
        disk = Disk(f"{folder}{number}", chance)
        disk.failing_syncs, OnDisk.disk = failing_syncs, disk
        with connections(disk, synchronous) as connect:
            phase = live(here, disk, writer, connect, kind)
            there = made(folder / f"{number}-cut")
            disk.cut(there)
        outcome.cuts[f"{phase}: {disk.cut_at}"] += 1
        confirmed = judge(there, made(folder / "look"), writer, outcome)
        shutil.rmtree(here)
        here = there
    return outcome


def live(here: Path, disk: Disk, writer: Writer, connect: Connect, kind: type[OnDisk]) -> str:
    """Until the power goes; returns what was being done then."""
    chance = disk.chance
    new = not any(here.iterdir())
    moment = "opening" if new and chance.random() < 0.7 else chance.choice(MOMENTS)
    phase = "opening"
    with suppress(PowerCutError):
        if moment == "opening":
            disk.left = chance.randint(0, 40)
        store = opened(kind, here, connect)
        phase = "writing"
        if moment == "closing":
            for _ in range(chance.randint(1, 8)):
                writer.go_on(store)
            phase, disk.left = "closing", chance.randint(0, 24)
            store.close()
            phase = "opening again"
            store = opened(kind, here, connect)
            phase = "writing"
        elif moment != "opening":
            disk.left, disk.in_checkpoint = chance.randint(1, 80), moment == "checkpoint"
        while True:
            writer.go_on(store)
    return phase


def opened(kind: type[OnDisk], here: Path, connect: Connect) -> SqliteStore:
    """As a service does: started again until it runs."""
    return retried(lambda: kind.open(here / "tickerml.db", SystemClock(), connect=connect))


def retried(work: Callable[[], T]) -> T:
    """What the hub does when the disk fails: the same again."""
    for _ in range(100):
        try:
            return work()
        except HubError as error:
            trouble = error
    raise AssertionError("it never worked again") from trouble


def judge(there: Path, look: Path, writer: Writer, outcome: Outcome) -> Ledger:
    """Open what was found with the machine's own SQLite, in a copy; returns what counts as confirmed from here on."""
    for file in there.iterdir():
        shutil.copy(file, look)
    with closing(SqliteStore.open(look / "tickerml.db", SystemClock())) as store:
        found = Ledger.of(store)
        with closing(sqlite3.connect(store.path)) as other:
            sound = other.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            numbers = [seq for (seq,) in other.execute("SELECT seq FROM bar UNION ALL SELECT seq FROM fact")]
        sound &= len(numbers) == len(set(numbers)) and store.last_seq() >= max(numbers, default=0)
        outcome.damaged += store.recovered is not None or not sound
    outcome.lost += found not in (writer.confirmed, writer.perhaps)
    shutil.rmtree(look)
    return found


@contextmanager
def connections(disk: Disk, synchronous: str) -> Iterator[Connect]:
    """Connections to the disk; they are let go of when the life is over."""
    opened: list[Connection] = []

    def connect(path: Path) -> Connection:
        opened.append(Connection(path, disk.label, synchronous))
        return opened[-1]

    before, sys.unraisablehook = sys.unraisablehook, lambda _: None  # SQLite passes over some errors of a disk; so do we
    try:
        yield connect
        for connection in opened:
            connection.give_up()
        disk.unregister()
    finally:
        sys.unraisablehook = before


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder
