"""The facts on disk: what `record` has returned from survives a power cut.

The only SQL of the hub stands here, in the files this one imports (database, gap_table, old_facts, salvage), and in migrations/.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import chain, count
from math import inf
from operator import attrgetter
from typing import Any, TypeVar

from hub import messages as vocabulary
from hub.flow import Kinds, MessageT
from hub.market.interval import INTERVAL, MINUTE_MS, Range, from_ms, missing_ranges, to_ms
from hub.messages import NAME_PATTERN, SYMBOL_PATTERN, Alert, Bar, Gap, Message, Score
from hub.runtime.disk.connection import Run
from hub.runtime.disk.database import Database
from hub.runtime.disk.gap_table import clip_gaps, gap_of, missing_minutes, write_gap
from hub.runtime.disk.old_facts import AT_A_TIME as AT_ONCE
from hub.runtime.disk.old_facts import let_go, topics_of
from hub.topics import place, place_of

COLUMNS = "symbol, open_time, open, high, low, close, volume, quote_volume, trades, taker_buy_volume, source, quality"
VALUES = "open, high, low, close, volume, quote_volume, trades, taker_buy_volume, source"
_NEW = VALUES.replace(", ", ", excluded.")
AT_A_TIME = 1000
"""Bars in one statement, a page: twice as fast as one by one, and fewer turns to wait for at the interpreter."""
FIRST_PAGE, LARGER_PAGE = 16, 1024
"""Facts that are read at a time by those who go back in time: most need the newest, some a year."""
PLACES = f"({', '.join('?' * 12)}, ? = 'exact')"
UPSERT = f"""
INSERT INTO bar (seq, open_time, symbol, {VALUES}, quality) VALUES %s
ON CONFLICT (symbol, open_time) DO UPDATE SET
  seq = excluded.seq, quality = excluded.quality, ({VALUES}) = (excluded.{_NEW})
WHERE excluded.quality > quality OR (excluded.quality = quality AND ({VALUES}) IS NOT (excluded.{_NEW}))
"""
BY_SEQ = "+kind"
"""The plus keeps SQLite from reading every fact of a kind, from the first on, to find the few that are new."""
NEWEST = """
WITH RECURSIVE each(topic) AS (
  SELECT min(topic) FROM fact WHERE kind = ?1
  UNION ALL SELECT (SELECT min(topic) FROM fact WHERE kind = ?1 AND topic > each.topic) FROM each WHERE each.topic IS NOT NULL
)
SELECT seq, payload FROM fact WHERE seq IN (
  SELECT (SELECT max(seq) FROM fact WHERE kind = ?1 AND topic = each.topic) FROM each WHERE topic IS NOT NULL
) ORDER BY seq
"""
"""From topic to topic by the index: however many facts each has, they are not read."""
GAP = "symbol, first_open_time, last_open_time, reason, tries, next_try_at"
SENSE = """
SELECT CASE
  WHEN newest IS NULL THEN 'no newest seq'
  WHEN newest < (SELECT coalesce(max(seq), 0) FROM bar) OR newest < (SELECT coalesce(max(seq), 0) FROM fact)
    THEN 'a fact is newer than the newest'
  WHEN EXISTS (SELECT 1 FROM cursor WHERE seq > newest) THEN 'a forwarder is ahead of the facts'
  WHEN EXISTS (SELECT 1 FROM frontier WHERE NOT EXISTS (
    SELECT 1 FROM bar WHERE bar.symbol = frontier.symbol AND bar.open_time >= frontier.open_time
  )) THEN 'the wire is ahead of the bars'
  WHEN EXISTS (SELECT 1 FROM bar WHERE NOT (
    open BETWEEN low AND high AND close BETWEEN low AND high AND low > 0 AND high < 9e999 AND volume >= 0 AND volume < 9e999
    AND quote_volume >= 0 AND taker_buy_volume >= 0 AND trades >= 0 AND quality IN (0, 1) AND open_time % 60000 = 0
  )) THEN 'a bar that cannot be'
  WHEN EXISTS (SELECT 1 FROM gap WHERE first_open_time % 60000 OR last_open_time % 60000 OR last_open_time < first_open_time)
    THEN 'a gap that cannot be'
  WHEN EXISTS (SELECT 1 FROM fact WHERE NOT json_valid(payload)) THEN 'a fact that cannot be'
END FROM (SELECT max(value) AS newest FROM meta WHERE key = 'seq')
"""
"""What in the tables contradicts itself; nothing, in a sound file."""
_row = attrgetter("symbol", *VALUES.split(", "), "quality")
_QUALITY = ("fallback", "exact")
_KINDS = {name: kind for name, kind in vars(vocabulary).items() if isinstance(kind, type) and issubclass(kind, Message)}
_SPOILT = (ValueError, OverflowError, TypeError, LookupError)
T = TypeVar("T")


class SqliteStore(Database):
    """Bars, gaps and all other facts, numbered by `seq`; and how far each forwarder has come."""

    sense = SENSE

    def record(self, messages: Sequence[Message]) -> int:
        """Record all of it in one transaction, or nothing; returns the newest `seq`.

        Bars: the better quality wins, then the newer fetch. Gaps: only minutes without a bar. What says nothing new gets no
        number: recording twice is recording once, but for alerts, articles and their like, which happen as often as they are told.
        TransientError if the disk cannot now.
        """
        with self._transaction() as run:
            before = self._newest(run)
            bars = [message for message in messages if isinstance(message, Bar)]
            others = [message for message in messages if not isinstance(message, Bar)] if len(bars) < len(messages) else []
            times = [to_ms(bar.open_time) for bar in bars]
            _write_bars(run, bars, times, before)
            seq = max(before, run("SELECT max(seq) FROM bar").fetchall()[0][0] or 0)
            for (symbol,) in run("SELECT DISTINCT symbol FROM gap").fetchall():
                if own := [time for bar, time in zip(bars, times, strict=True) if bar.symbol == symbol]:
                    clip_gaps(run, symbol, min(own), max(own))
            for message in others:
                for fact in write_gap(run, message) if isinstance(message, Gap) else (message,):
                    seq += 1
                    run("INSERT INTO fact VALUES (?, ?, ?, ?)", self._fact(seq, fact))
            if seq > before:
                run("UPDATE meta SET value = ? WHERE key = 'seq'", (seq,))
        return seq

    def forget(self, kind: type[Message], told_at: str, before: datetime, taken: int) -> int:
        """Delete facts of a kind whose field `told_at` lies before `before`, up to number `taken`; the newest of each topic stays.

        Returns how many. A few hundred at a time: others write in between. TransientError if the disk cannot now.
        """
        with self._reading() as run:
            topics = topics_of(run, kind.__name__)
        gone = 0
        for topic in topics:
            while True:
                with self._transaction() as run:
                    some = let_go(run, kind.__name__, topic, told_at, before.isoformat().replace("+00:00", "Z"), taken)
                gone += some
                if some < AT_ONCE:
                    break
        return gone

    def move_cursor(self, name: str, seq: int, frontier: Mapping[str, int] | None = None) -> None:
        """Remember how far a forwarder has come and, with it, the newest open time (ms) per symbol that is on the wire."""
        with self._transaction() as run:
            run("INSERT INTO cursor VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET seq = excluded.seq", (name, seq))
            rows = list((frontier or {}).items())
            run.many("INSERT INTO frontier VALUES (?, ?) ON CONFLICT (symbol) DO UPDATE SET open_time = excluded.open_time", rows)

    def bars(self, symbol: str, first: int, last: int) -> list[Bar]:
        rows = self._rows(
            f"SELECT {COLUMNS} FROM bar WHERE symbol = ? AND open_time BETWEEN ? AND ? ORDER BY open_time", symbol, first, last
        )
        return self._bars(rows)

    def newest_bar(self, symbol: str) -> Bar | None:
        rows = self._rows(f"SELECT {COLUMNS} FROM bar WHERE symbol = ? ORDER BY open_time DESC LIMIT 1", symbol)
        return next(iter(self._made(_bar, rows)), None)

    def oldest_open_time(self, symbol: str) -> int | None:
        rows = self._rows("SELECT open_time FROM bar WHERE symbol = ? ORDER BY open_time LIMIT 1", symbol)
        return int(rows[0][0]) if rows else None

    def missing(self, symbol: str, first: int, last: int) -> list[Range]:
        with self._reading() as run:
            return missing_minutes(run, symbol, first, last)

    def fallback(self, symbol: str, first: int, last: int) -> list[Range]:
        rows = self._rows(
            "SELECT open_time FROM bar WHERE symbol = ? AND quality = 0 AND open_time BETWEEN ? AND ? ORDER BY open_time",
            symbol,
            first,
            last,
        )
        found: list[Range] = []
        for (at,) in rows:
            if found and found[-1][1] == at - MINUTE_MS:
                found[-1] = (found[-1][0], at)
            else:
                found.append((at, at))
        return found

    def gaps(self, symbol: str | None = None) -> list[Gap]:
        rows = self._rows(f"SELECT {GAP} FROM gap WHERE ?1 IS NULL OR symbol = ?1 ORDER BY symbol, first_open_time", symbol)
        return self._made(lambda row: gap_of(*row), rows)

    def gap_report(self, symbol: str) -> list[Gap]:
        """Every stretch without bars, from the grid itself, between the first bar and the newest bar or known gap."""
        newest, oldest, known = self.newest_bar(symbol), self.oldest_open_time(symbol), self.gaps(symbol)
        if newest is None or oldest is None:
            return known
        first = min([oldest, *(to_ms(gap.first_open_time) for gap in known)])
        last = max([to_ms(newest.open_time), *(to_ms(gap.last_open_time) for gap in known)])
        named = [(to_ms(gap.first_open_time), to_ms(gap.last_open_time)) for gap in known]
        explained = [at for start, end in named for at in range(start, end + 1, MINUTE_MS)]
        unexplained = [
            gap_of(symbol, *piece, "unexplained", 0, None)
            for stretch in self.missing(symbol, first, last)
            for piece in missing_ranges(explained, *stretch)
        ]
        return sorted([*known, *unexplained], key=lambda gap: gap.first_open_time)

    def facts_after(self, seq: int, kinds: Kinds, limit: int) -> list[tuple[int, Message]]:
        """Up to `limit` facts newer than `seq`, in order: bars as they are now, all else as it was when it was recorded.

        All of one moment: a bar that is recorded while the others are read must not be passed by, with one of them as the newest.
        """
        bars: list[Any] = []
        rows: list[Any] = []
        with self._moment() as run:
            if Bar in kinds:
                bars = run(f"SELECT seq, {COLUMNS} FROM bar WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit)).fetchall()
            if others := [kind.__name__ for kind in kinds if kind is not Bar]:
                places = ", ".join("?" * len(others))
                sql = f"SELECT seq, kind, payload FROM fact WHERE seq > ? AND {BY_SEQ} IN ({places}) ORDER BY seq LIMIT ?"
                rows = run(sql, (seq, *others, limit)).fetchall()
        found = self._numbered_bars(bars) + self._made(lambda row: (row[0], _KINDS[row[1]].model_validate_json(row[2])), rows)
        return sorted(found, key=lambda fact: fact[0])[:limit]

    def waiting(self, seq: int, kinds: Kinds) -> int:
        """How many facts of these kinds are newer than `seq`. Not every number has a fact: an upgrade takes a new one."""
        found = self._rows("SELECT count(*) FROM bar WHERE seq > ?", seq)[0][0] if Bar in kinds else 0
        if others := [kind.__name__ for kind in kinds if kind is not Bar]:
            places = ", ".join("?" * len(others))
            found += self._rows(f"SELECT count(*) FROM fact WHERE seq > ? AND {BY_SEQ} IN ({places})", seq, *others)[0][0]
        return int(found)

    def last_seq(self) -> int:
        """The newest `seq`."""
        with self._reading() as run:
            return self._newest(run)

    def cursor(self, name: str) -> int:
        """How far a forwarder has come; 0 for a new one."""
        rows = self._rows("SELECT seq FROM cursor WHERE name = ?", name)
        return int(rows[0][0]) if rows else 0

    def cursors(self) -> dict[str, int]:
        """How far every forwarder has come."""
        return dict(self._rows("SELECT name, seq FROM cursor"))

    def frontier(self) -> dict[str, int]:
        """Open time (ms) of the newest bar on the wire, per symbol."""
        return dict(self._rows("SELECT symbol, open_time FROM frontier"))

    def newest(self, kind: type[MessageT]) -> list[MessageT]:
        return self._made(lambda row: kind.model_validate_json(row[1]), self._rows(NEWEST, kind.__name__))

    def newest_first(self, kind: type[MessageT], role: str = "live", **fields: object) -> Iterator[MessageT]:
        sql = "SELECT seq, payload FROM fact WHERE kind = ? AND topic = ? AND seq < ? ORDER BY seq DESC LIMIT ?"
        where, before, limit = place(kind, role, **fields), 2**63 - 1, FIRST_PAGE
        while rows := self._rows(sql, kind.__name__, where, before, limit):
            for row in rows:  # one at a time: most ask for a few
                yield from self._made(lambda row: kind.model_validate_json(row[1]), [row])
            before, limit = rows[-1][0], LARGER_PAGE

    def closes(self, symbol: str, first: int, last: int) -> list[tuple[int, float]]:
        return self._rows(
            "SELECT open_time, close FROM bar WHERE symbol = ? AND quality = 1 AND open_time BETWEEN ? AND ? ORDER BY open_time",
            symbol,
            first,
            last,
        )

    def export_rows(self, symbol: str, first: int, last: int) -> Iterator[tuple[Any, ...]]:
        """Open time (ms), open, high, low, close, volume, quote volume, trades and source of each bar, a thousand in memory at a time."""
        while True:
            rows = self._rows(
                "SELECT open_time, open, high, low, close, volume, quote_volume, trades, source FROM bar"
                " WHERE symbol = ? AND open_time BETWEEN ? AND ? ORDER BY open_time LIMIT 1000",
                symbol,
                first,
                last,
            )
            yield from rows
            if len(rows) < 1000:
                return
            first = rows[-1][0] + MINUTE_MS

    def symbols(self) -> list[str]:
        """Every symbol that has a bar."""
        found: list[str] = []
        while rows := self._rows("SELECT symbol FROM bar WHERE symbol > ? ORDER BY symbol LIMIT 1", found[-1] if found else ""):
            found.append(rows[0][0])
        return found

    def _newest(self, run: Run) -> int:
        found = run("SELECT value FROM meta WHERE key = 'seq'").fetchall()
        if not found:
            raise self._broken("no newest seq")
        return int(found[0][0])

    def _bars(self, rows: Sequence[Any]) -> list[Bar]:
        """As `_made`, and ten times as fast where every row is one that was written: then nothing is left to check."""
        fields = [_trusted(row) for row in rows]
        return self._made(_bar, rows) if None in fields else Bar.trusted(fields)  # type: ignore[arg-type]

    def _numbered_bars(self, rows: Sequence[Any]) -> list[tuple[int, Message]]:
        fields = [_trusted(row[1:]) for row in rows]
        if None in fields:
            return self._made(lambda row: (row[0], _bar(row[1:])), rows)
        return list(zip((row[0] for row in rows), Bar.trusted(fields), strict=True))  # type: ignore[arg-type]

    def _made(self, make: Callable[[Any], T], rows: Sequence[Any]) -> list[T]:
        """What the rows say. One that a bad disk has spoilt is left out: it must not hold up the others."""
        found = []
        for row in rows:
            try:
                found.append(make(row))
            except _SPOILT as error:
                self._spoilt(f"a row that cannot be: {str(error).splitlines()[0]}")
        return found

    def _is_sound(self, table: str, row: tuple[Any, ...]) -> bool:
        make = _OF_TABLE.get(table)
        try:
            return make is None or make(row) is not None
        except _SPOILT:
            return False

    def _fact(self, seq: int, message: Message) -> tuple[Any, ...]:
        if isinstance(message, Alert) and message.raised_at is None:
            message = message.model_copy(update={"raised_at": self._clock.now()})
        elif isinstance(message, Score) and message.scored_at is None:
            message = message.model_copy(update={"scored_at": self._clock.now()})
        return seq, type(message).__name__, place_of(message), message.model_dump_json()


def _write_bars(run: Run, bars: Sequence[Bar], times: Sequence[int], seq: int) -> None:
    """Number the bars from after `seq` on; `times` are their open times (ms)."""
    rows = [(number, time, *row) for number, time, row in zip(count(seq + 1), times, map(_row, bars), strict=False)]
    for begin in range(0, len(rows), AT_A_TIME):
        some = rows[begin : begin + AT_A_TIME]
        run(UPSERT % ", ".join([PLACES] * len(some)), list(chain.from_iterable(some)))


def _bar(row: Sequence[Any]) -> Bar:
    symbol, open_time, first, high, low, last, volume, quote_volume, trades, taker_buy_volume, source, rank = row
    return Bar(
        symbol=symbol,
        open_time=from_ms(open_time),
        open=first,
        high=high,
        low=low,
        close=last,
        volume=volume,
        quote_volume=quote_volume,
        trades=trades,
        taker_buy_volume=taker_buy_volume,
        source=source,
        quality=_QUALITY[rank],
    )


def _trusted(row: Sequence[Any]) -> dict[str, Any] | None:
    """The fields of a row that keeps every promise of a Bar; None where one is in doubt. The table's types are strict already."""
    symbol, open_time, first, high, low, last, volume, quote_volume, trades, taker_buy_volume, source, rank = row
    if (
        not (0 < low <= first <= high < inf and low <= last <= high and open_time % MINUTE_MS == 0)
        or not (_is_amount(volume) and _is_amount(quote_volume) and _is_amount(trades) and _is_amount(taker_buy_volume))
        or not (rank in {0, 1} and _is_name(symbol, SYMBOL_PATTERN) and _is_name(source, NAME_PATTERN))
    ):
        return None
    return {
        "symbol": symbol,
        "interval": INTERVAL,
        "open_time": from_ms(open_time),
        "open": first,
        "high": high,
        "low": low,
        "close": last,
        "volume": volume,
        "quote_volume": quote_volume,
        "trades": trades,
        "source": source,
        "quality": _QUALITY[rank],
        "taker_buy_volume": taker_buy_volume,
    }


def _is_amount(value: float | None) -> bool:
    return value is None or 0 <= value < inf


@lru_cache(maxsize=4096)
def _is_name(text: str, pattern: str) -> bool:
    return re.fullmatch(pattern, text) is not None


_OF_TABLE: dict[str, Callable[[Any], Message]] = {
    "bar": lambda row: _bar(row[1:]),
    "fact": lambda row: _KINDS[row[1]].model_validate_json(row[3]),
    "gap": lambda row: gap_of(*row),
}
