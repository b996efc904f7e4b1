"""Arithmetic on stretches of minutes: what is wanted, what one answer settled, what is left to ask."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from hub.market.interval import MINUTE_MS, Range, minutes_in, missing_ranges, to_ms
from hub.messages import Bar
from plugins.collector.klines import Page

PAGE_MS = 1000 * MINUTE_MS


def united(stretches: Iterable[Range]) -> list[Range]:
    """The same minutes in the fewest stretches, ascending."""
    merged: list[Range] = []
    for first, last in sorted(stretches):
        if merged and first <= merged[-1][1] + MINUTE_MS:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def without(stretches: Iterable[Range], taken: Iterable[Range]) -> list[Range]:
    """The minutes of `stretches` that lie in none of `taken`, ascending."""
    left: list[Range] = []
    holes, passed = united(taken), 0
    for first, last in united(stretches):
        while passed < len(holes) and holes[passed][1] < first:
            passed += 1
        start = first
        for hole in islice(holes, passed, None):
            if hole[0] > last:
                break
            if hole[0] > start:
                left.append((start, hole[0] - MINUTE_MS))
            start = hole[1] + MINUTE_MS
        if start <= last:
            left.append((start, last))
    return left


def common(stretches: Iterable[Range], others: Iterable[Range]) -> list[Range]:
    """The minutes that lie in both."""
    stretches = united(stretches)
    return without(stretches, without(stretches, others))


def span_of(wanted: Sequence[Range]) -> Range:
    """What one request should ask for: from the first minute wanted over all stretches that may fit on its page."""
    first, last = wanted[0]
    for stretch in wanted[1:]:
        if stretch[0] >= first + PAGE_MS:
            break
        last = stretch[1]
    return first, last


@dataclass
class Fetched:
    """What one symbol's answers held of the minutes wanted."""

    bars: list[Bar] = field(default_factory=list)
    missing: list[tuple[Range, str]] = field(default_factory=list)
    """Minutes that the exchange answered for without a bar that can be used, and why; ascending."""
    rest: list[Range] = field(default_factory=list)
    """Minutes not answered for yet."""

    def unsettle_after(self, open_time: int) -> None:
        """Missing minutes later than `open_time` are not over yet after all: ask for them again another time."""
        later = [(max(first, open_time + MINUTE_MS), last) for (first, last), _ in self.missing if last > open_time]
        self.missing = [((first, min(last, open_time)), reason) for (first, last), reason in self.missing if first <= open_time]
        self.rest = united([*self.rest, *later])

    def missing_at(self, open_time: int) -> bool:
        """Whether that minute was answered for, without a bar."""
        return any(first <= open_time <= last for (first, last), _ in self.missing)


def settle(wanted: Sequence[Range], span: Range, page: Page, absent: str) -> Fetched:
    """Sort out the answer to a request for `span`. A page reaches to its last row, and to the end of the span where it has none.

    `absent`: the reason for minutes without a row.
    """
    first, last = span
    if (whole := _without_a_hole(span, page)) and common(wanted, [whole]) == [whole]:
        return Fetched(page.bars, [], without(wanted, [whole]))
    rejected = {row.open_time: row.reason for row in page.rejected if row.open_time is not None and first <= row.open_time <= last}
    bars = {minute: bar for bar in page.bars if first <= (minute := to_ms(bar.open_time)) <= last}
    newest = max([*bars, *rejected], default=last)
    asked = common(wanted, [(first, newest)])
    kept = (
        [bar for minute, bar in bars.items() if any(start <= minute <= end for start, end in asked)]
        if len(asked) > 1
        else _inside(bars, asked)
    )
    holes = [hole for stretch in asked for hole in missing_ranges(bars, *stretch)]
    bad = united((minute, minute) for minute in rejected if minute not in bars)
    missing = [(hole, absent) for hole in without(holes, bad)]
    missing += [
        ((minute, minute), f"rejected: {rejected[minute]}"[:300])
        for hole in common(bad, holes)
        for minute in range(hole[0], hole[1] + 1, MINUTE_MS)
    ]
    return Fetched(kept, sorted(missing), without(wanted, [(first, newest)]))


def _without_a_hole(span: Range, page: Page) -> Range | None:
    """The minutes of a page that has every one of them, from the first that was asked for: nearly all pages of the past are so."""
    if page.rejected or not page.bars:
        return None
    reached = to_ms(page.bars[0].open_time), to_ms(page.bars[-1].open_time)
    return reached if reached[0] == span[0] and reached[1] <= span[1] and minutes_in(reached) == len(page.bars) else None


def _inside(bars: dict[int, Bar], asked: list[Range]) -> list[Bar]:
    if not asked:
        return []
    first, last = asked[0]
    return [bar for minute, bar in bars.items() if first <= minute <= last]
