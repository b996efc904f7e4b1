"""The table of the minutes that are known to be missing, and the rule that none of them has a bar."""

from collections.abc import Callable, Iterator
from typing import Any

from hub.market.interval import MINUTE_MS, Range, from_ms, minutes_in, missing_ranges, to_ms
from hub.messages import Gap

Statement = Callable[..., Any]


def gap_of(symbol: str, first: int, last: int, reason: str, tries: int, next_try_at: int | None) -> Gap:
    """The gap that a row says."""
    return Gap(
        symbol=symbol,
        first_open_time=from_ms(first),
        last_open_time=from_ms(last),
        reason=reason,
        tries=tries,
        next_try_at=None if next_try_at is None else from_ms(next_try_at),
    )


def missing_minutes(run: Statement, symbol: str, first: int, last: int) -> list[Range]:
    """Stretches of [first, last] (open times, ms) without a bar."""
    if first > last:
        return []
    [(present,)] = run("SELECT count(*) FROM bar WHERE symbol = ? AND open_time BETWEEN ? AND ?", (symbol, first, last)).fetchall()
    if present == minutes_in((first, last)):
        return []
    times = run("SELECT open_time FROM bar WHERE symbol = ? AND open_time BETWEEN ? AND ? ORDER BY open_time", (symbol, first, last))
    return list(missing_ranges([at for (at,) in times], first, last))


def write_gap(run: Statement, gap: Gap) -> Iterator[Gap]:
    """Take a gap into the table, as far as its minutes have no bar; yields the pieces that say something new.

    The newer word about a minute counts: what overlaps is cut back.
    """
    word = (gap.reason, gap.tries, None if gap.next_try_at is None else to_ms(gap.next_try_at))
    for first, last in missing_minutes(run, gap.symbol, to_ms(gap.first_open_time), to_ms(gap.last_open_time)):
        known = _overlapping(run, gap.symbol, first, last)
        if any(start <= first and last <= end and tuple(rest) == word for start, end, *rest in known):
            continue
        for start, end, *rest in known:
            _replace(run, gap.symbol, start, [(start, first - MINUTE_MS), (last + MINUTE_MS, end)], rest)
        run("INSERT INTO gap VALUES (?, ?, ?, ?, ?, ?)", (gap.symbol, first, last, *word))
        yield gap.model_copy(update={"first_open_time": from_ms(first), "last_open_time": from_ms(last)})


def clip_gaps(run: Statement, symbol: str, first: int, last: int) -> None:
    """Bars have come in between `first` and `last`: no gap covers their minutes any more."""
    for start, end, *rest in _overlapping(run, symbol, first, last):
        stretches = missing_minutes(run, symbol, start, end)
        if stretches != [(start, end)]:
            _replace(run, symbol, start, stretches, rest)


def _overlapping(run: Statement, symbol: str, first: int, last: int) -> list[Any]:
    sql = (
        "SELECT first_open_time, last_open_time, reason, tries, next_try_at FROM gap"
        " WHERE symbol = ? AND first_open_time <= ? AND last_open_time >= ?"
    )
    return list(run(sql, (symbol, last, first)))


def _replace(run: Statement, symbol: str, start: int, stretches: list[Range], rest: list[Any]) -> None:
    """Put what is left of a known gap, each with its old word, in its place."""
    run("DELETE FROM gap WHERE symbol = ? AND first_open_time = ?", (symbol, start))
    for left, right in stretches:
        if left <= right:
            run("INSERT INTO gap VALUES (?, ?, ?, ?, ?, ?)", (symbol, left, right, *rest))
