"""The facts on disk: SQLite, WAL, synchronous=FULL, one writer. What `record` has returned from survives a power cut.

The only SQL of the hub stands here and in migrations/.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from hub import messages as vocabulary
from hub.clock import Clock
from hub.errors import HubError, PermanentError, TransientError
from hub.flow import Kinds
from hub.market.interval import MINUTE_MS, Range, from_ms, minutes_in, missing_ranges, to_ms
from hub.messages import Alert, Bar, Gap, Message
from hub.topics import topic_of

LOCKED_S = 10.0
"""Patience with somebody else's lock, in real seconds."""
PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA wal_autocheckpoint=200",
    "PRAGMA journal_size_limit=16777216",
)
COLUMNS = "symbol, open_time, open, high, low, close, volume, quote_volume, trades, taker_buy_volume, source, quality"
VALUES = "open, high, low, close, volume, quote_volume, trades, taker_buy_volume, source"
_NEW = VALUES.replace(", ", ", excluded.")
AT_A_TIME = 100
"""Bars in one statement: SQLite takes them in twice as fast as one by one."""
PLACES = f"({', '.join('?' * 13)})"
UPSERT = f"""
INSERT INTO bar (seq, {COLUMNS}) VALUES %s
ON CONFLICT (symbol, open_time) DO UPDATE SET
  seq = excluded.seq, quality = excluded.quality, ({VALUES}) = (excluded.{_NEW})
WHERE excluded.quality > quality OR (excluded.quality = quality AND ({VALUES}) IS NOT (excluded.{_NEW}))
"""
_RANK = {"fallback": 0, "exact": 1}
_QUALITY = ("fallback", "exact")
_KINDS = {name: kind for name, kind in vars(vocabulary).items() if isinstance(kind, type) and issubclass(kind, Message)}

Connect = Callable[[Path], Any]
"""Opens a connection as sqlite3 does; the crash tests put their own file system under it."""


def connect(path: Path) -> sqlite3.Connection:
    """A connection that leaves transactions to us."""
    return sqlite3.connect(path, timeout=LOCKED_S, isolation_level=None, check_same_thread=False)


class SqliteStore:
    """Reads from any thread, writes from one at a time."""

    def __init__(self, path: Path, clock: Clock, *, read_only: bool, connect: Connect) -> None:
        """Use `open`."""
        self.path = path
        self.recovered: str | None = None
        """What happened to a damaged file, for the user; None where all was well."""
        self._clock = clock
        self._connect = connect
        self._read_only = read_only
        self._owner = False
        self._writing = threading.Lock()
        self._writer: Any = None
        self._readers = threading.local()
        self._connections: list[Any] = []

    @classmethod
    def reader(cls, path: Path, clock: Clock) -> "SqliteStore":
        """Reads only, and opens the file when first asked: a plugin may be loaded before the hub has made it."""
        return cls(path, clock, read_only=True, connect=connect)

    @classmethod
    def open(cls, path: Path, clock: Clock, *, read_only: bool = False, owner: bool = True, connect: Connect = connect) -> "SqliteStore":
        """Open, check and migrate the file. HubError with path and fix where that cannot be.

        `owner`: the hub itself, which notices an unclean stop and moves a damaged file aside. `read_only` never writes.
        """
        store = cls(path, clock, read_only=read_only, connect=connect)
        if read_only:
            if not path.exists():
                raise HubError(f"{path}: no such store yet; `hub run` (or `hub demo`) makes it")
            store._refuse_newer(store._read())
            return store
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HubError(
                f"{path.parent}: cannot be used as data_dir: {error.strerror}; make it writable for this user, or set data_dir"
            ) from error
        try:
            store._begin(owner)
        except sqlite3.DatabaseError as error:
            if not owner or not _is_damage(error):
                raise HubError(f"{path}: cannot be opened: {error}; is the folder writable, and its disk not full?") from error
            store._move_aside()
            store._begin(owner)
        return store

    def record(self, messages: Sequence[Message]) -> int:
        """Record all of it in one transaction, or nothing; returns the newest `seq`.

        Bars: the better quality wins, then the newer fetch. Gaps: only minutes without a bar. TransientError if the disk cannot now.
        """
        with self._transaction() as run:
            seq = int(run("SELECT value FROM meta WHERE key = 'seq'").fetchone()[0])
            bars = [message for message in messages if isinstance(message, Bar)]
            _write_bars(run, bars, seq)
            seq += len(bars)
            for message in messages:
                if isinstance(message, Gap):
                    _write_gap(run, message)
                elif not isinstance(message, Bar):
                    seq += 1
                    run("INSERT INTO fact VALUES (?, ?, ?, ?)", self._fact(seq, message))
            for symbol, times in _by_symbol(messages).items():
                _clip_gaps(run, symbol, min(times), max(times))
            run("UPDATE meta SET value = ? WHERE key = 'seq'", (seq,))
        return seq

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
        return [_bar(row) for row in rows]

    def newest_bar(self, symbol: str) -> Bar | None:
        rows = self._rows(f"SELECT {COLUMNS} FROM bar WHERE symbol = ? ORDER BY open_time DESC LIMIT 1", symbol)
        return _bar(rows[0]) if rows else None

    def oldest_open_time(self, symbol: str) -> int | None:
        rows = self._rows("SELECT open_time FROM bar WHERE symbol = ? ORDER BY open_time LIMIT 1", symbol)
        return int(rows[0][0]) if rows else None

    def missing(self, symbol: str, first: int, last: int) -> list[Range]:
        return _missing(self._run, symbol, first, last)

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
        rows = self._rows("SELECT * FROM gap WHERE ?1 IS NULL OR symbol = ?1 ORDER BY symbol, first_open_time", symbol)
        return [_gap(*row) for row in rows]

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
            _gap(symbol, *piece, "unexplained", 0, None)
            for stretch in self.missing(symbol, first, last)
            for piece in missing_ranges(explained, *stretch)
        ]
        return sorted([*known, *unexplained], key=lambda gap: gap.first_open_time)

    def facts_after(self, seq: int, kinds: Kinds, limit: int) -> list[tuple[int, Message]]:
        """Up to `limit` facts newer than `seq`, bars among them, in order. Gaps are no facts: they change until they are closed."""
        found: list[tuple[int, Message]] = []
        if Bar in kinds:
            found += [
                (row[0], _bar(row[1:]))
                for row in self._rows(f"SELECT seq, {COLUMNS} FROM bar WHERE seq > ? ORDER BY seq LIMIT ?", seq, limit)
            ]
        if others := [kind.__name__ for kind in kinds if kind is not Bar]:
            places = ", ".join("?" * len(others))
            sql = f"SELECT seq, kind, payload FROM fact WHERE seq > ? AND kind IN ({places}) ORDER BY seq LIMIT ?"
            found += [(row[0], _KINDS[row[1]].model_validate_json(row[2])) for row in self._rows(sql, seq, *others, limit)]
        return sorted(found, key=lambda fact: fact[0])[:limit]

    def last_seq(self) -> int:
        """The newest `seq`."""
        return int(self._rows("SELECT value FROM meta WHERE key = 'seq'")[0][0])

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

    def newest_facts(self, kind: type[Message]) -> list[Message]:
        """The newest fact of each topic of this kind."""
        rows = self._rows("SELECT payload FROM fact WHERE seq IN (SELECT max(seq) FROM fact WHERE kind = ? GROUP BY topic)", kind.__name__)
        return [kind.model_validate_json(payload) for (payload,) in rows]

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

    def wal_bytes(self) -> int:
        """Size of the write-ahead log; it grows while a long reader holds the checkpoint back."""
        with suppress(OSError):
            return self.path.with_name(f"{self.path.name}-wal").stat().st_size
        return 0

    def close(self) -> None:
        """Say that all is well, and let go of the file."""
        if self._owner:
            with suppress(TransientError), self._transaction() as run:
                run("UPDATE meta SET value = 1 WHERE key = 'clean'")
        for connection in [self._writer, *self._connections]:
            if connection is not None:
                with suppress(sqlite3.Error):
                    connection.close()
        self._writer, self._connections, self._readers = None, [], threading.local()

    def _begin(self, owner: bool) -> None:
        self._writer = self._connect(self.path)
        for pragma in PRAGMAS:
            self._writer.execute(pragma)
        self._migrate()
        if not owner:
            return
        if not self._writer.execute("SELECT value FROM meta WHERE key = 'clean'").fetchone()[0]:
            verdict = self._writer.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                raise sqlite3.DatabaseError(f"malformed: {verdict}")
        self._owner = True
        with self._transaction() as run:
            run("UPDATE meta SET value = 0 WHERE key = 'clean'")

    def _migrate(self) -> None:
        version = self._refuse_newer(self._writer)
        for number, script in _migrations()[version:]:
            self._writer.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")

    def _refuse_newer(self, connection: Any) -> int:
        try:
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        except sqlite3.DatabaseError as error:
            if self._read_only:
                raise HubError(f"{self.path}: cannot be read: {error}") from error
            raise
        if version > len(_migrations()):
            raise HubError(
                f"{self.path}: was written by a newer hub (schema {version}, this one knows {len(_migrations())});"
                " install that version again, or restore a backup made by this one"
            )
        return version

    def _move_aside(self) -> None:
        self.close()
        stamp = self._clock.now().strftime("%Y%m%dT%H%M%SZ")
        folder = self.path.parent / "damaged"
        folder.mkdir(exist_ok=True)
        target = next(name for number in range(1000) if not (name := folder / f"{self.path.stem}-{stamp}-{number}.db").exists())
        for ending in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                self.path.with_name(self.path.name + ending).rename(f"{target}{ending}")
        self.recovered = f"database damaged, moved to {target}, rebuilding from the exchange"

    @contextmanager
    def _transaction(self) -> Iterator["_Run"]:
        if self._read_only:
            raise PermanentError(f"{self.path}: was opened to read only")
        with self._writing:
            try:
                if self._writer is None:
                    self._writer = self._connect(self.path)
                    for pragma in PRAGMAS:
                        self._writer.execute(pragma)
                self._writer.execute("BEGIN IMMEDIATE")
                yield _Run(self._writer)
                self._writer.execute("COMMIT")
            except BaseException as error:
                self._abandon()
                if isinstance(error, sqlite3.Error):
                    raise TransientError(_words(error, self.path)) from error
                raise

    def _abandon(self) -> None:
        """A new connection for the next try: after an I/O error the state of the old one is anybody's guess."""
        with suppress(sqlite3.Error):
            self._writer.execute("ROLLBACK")
        with suppress(sqlite3.Error, AttributeError):
            self._writer.close()
        self._writer = None

    def _read(self) -> Any:
        connection = getattr(self._readers, "connection", None)
        if connection is None:
            if self._read_only:
                connection = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=LOCKED_S, check_same_thread=False)
            else:
                connection = self._connect(self.path)
                connection.execute("PRAGMA query_only=1")
            self._readers.connection = connection
            self._connections.append(connection)
        return connection

    def _run(self, sql: str, arguments: Sequence[Any] = ()) -> Any:
        return self._read().execute(sql, arguments)

    def _rows(self, sql: str, *arguments: Any) -> list[Any]:
        try:
            with closing(self._run(sql, arguments)) as cursor:
                return list(cursor)
        except sqlite3.Error as error:
            raise TransientError(_words(error, self.path)) from error

    def _fact(self, seq: int, message: Message) -> tuple[Any, ...]:
        if isinstance(message, Alert) and message.raised_at is None:
            message = message.model_copy(update={"raised_at": self._clock.now()})
        return seq, type(message).__name__, topic_of(message), message.model_dump_json()


class _Run:
    """One statement of the open transaction, or one for many rows."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __call__(self, sql: str, arguments: Sequence[Any] = ()) -> Any:
        return self._connection.execute(sql, arguments)

    def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        self._connection.executemany(sql, rows)


def _migrations() -> list[tuple[int, str]]:
    scripts = sorted(
        (file for file in files("hub.runtime").joinpath("migrations").iterdir() if file.name.endswith(".sql")), key=lambda file: file.name
    )
    return [(int(file.name[:4]), file.read_text(encoding="utf-8")) for file in scripts]


def _write_bars(run: Callable[..., Any], bars: Sequence[Bar], seq: int) -> None:
    """Number the bars from after `seq` on."""
    for begin in range(0, len(bars), AT_A_TIME):
        some, values = bars[begin : begin + AT_A_TIME], list[Any]()
        for bar in some:
            seq += 1
            values += (seq, bar.symbol, to_ms(bar.open_time), bar.open, bar.high, bar.low, bar.close, bar.volume, bar.quote_volume)
            values += (bar.trades, bar.taker_buy_volume, bar.source, _RANK[bar.quality])
        run(UPSERT % ", ".join([PLACES] * len(some)), values)


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


def _gap(symbol: str, first: int, last: int, reason: str, tries: int, next_try_at: int | None) -> Gap:
    return Gap(
        symbol=symbol,
        first_open_time=from_ms(first),
        last_open_time=from_ms(last),
        reason=reason,
        tries=tries,
        next_try_at=None if next_try_at is None else from_ms(next_try_at),
    )


def _by_symbol(messages: Sequence[Message]) -> dict[str, list[int]]:
    times: dict[str, list[int]] = {}
    for message in messages:
        if isinstance(message, Bar):
            times.setdefault(message.symbol, []).append(to_ms(message.open_time))
        elif isinstance(message, Gap):
            times.setdefault(message.symbol, []).extend((to_ms(message.first_open_time), to_ms(message.last_open_time)))
    return times


def _missing(run: Callable[..., Any], symbol: str, first: int, last: int) -> list[Range]:
    if first > last:
        return []
    rows = run("SELECT count(*) FROM bar WHERE symbol = ? AND open_time BETWEEN ? AND ?", (symbol, first, last)).fetchone()
    if rows[0] == minutes_in((first, last)):
        return []
    present = run("SELECT open_time FROM bar WHERE symbol = ? AND open_time BETWEEN ? AND ? ORDER BY open_time", (symbol, first, last))
    return list(missing_ranges((at for (at,) in present), first, last))


def _overlapping(run: Callable[..., Any], symbol: str, first: int, last: int) -> list[tuple[Any, ...]]:
    found = run("SELECT * FROM gap WHERE symbol = ? AND first_open_time <= ? AND last_open_time >= ?", (symbol, last, first)).fetchall()
    return list(found)


def _write_gap(run: Callable[..., Any], gap: Gap) -> None:
    """The newer word about a minute counts: what overlaps is cut back."""
    first, last = to_ms(gap.first_open_time), to_ms(gap.last_open_time)
    for symbol, start, end, *rest in _overlapping(run, gap.symbol, first, last):
        run("DELETE FROM gap WHERE symbol = ? AND first_open_time = ?", (symbol, start))
        for left, right in ((start, first - MINUTE_MS), (last + MINUTE_MS, end)):
            if left <= right:
                run("INSERT INTO gap VALUES (?, ?, ?, ?, ?, ?)", (symbol, left, right, *rest))
    next_try = None if gap.next_try_at is None else to_ms(gap.next_try_at)
    run("INSERT INTO gap VALUES (?, ?, ?, ?, ?, ?)", (gap.symbol, first, last, gap.reason, gap.tries, next_try))


def _clip_gaps(run: Callable[..., Any], symbol: str, first: int, last: int) -> None:
    """No gap covers a minute that has a bar."""
    for _, start, end, *rest in _overlapping(run, symbol, first, last):
        stretches = _missing(run, symbol, start, end)
        if stretches != [(start, end)]:
            run("DELETE FROM gap WHERE symbol = ? AND first_open_time = ?", (symbol, start))
            for left, right in stretches:
                run("INSERT INTO gap VALUES (?, ?, ?, ?, ?, ?)", (symbol, left, right, *rest))


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    text = str(error).lower()
    return any(
        sign in text for sign in ("malformed", "not a database", "corrupt", "no such table", "unsupported file format", "unrecognized")
    )


def _words(error: sqlite3.Error, path: Path) -> str:
    text = str(error)
    if "locked" in text or "busy" in text:
        return f"{path}: locked by another program (a sqlite3 shell, a backup?) for over {LOCKED_S:g} s; it is tried again"
    if "full" in text:
        return f"{path}: the disk is full; free some space, the hub goes on by itself"
    if "readonly" in text or "read-only" in text:
        return f"{path}: cannot be written: {text}; is the disk mounted read-only?"
    return f"{path}: the disk does not do its work: {text}"
