"""What the store still lacks of the past."""

from collections.abc import Iterable

from hub.flow import Store
from hub.market.interval import MINUTE_MS, Range, to_ms
from plugins.collector.exchange_time import newest_closed
from plugins.collector.gaps import resting, stretch_of
from plugins.collector.stretches import united, without

EDGE_MS = 2 * MINUTE_MS
"""The newest minutes are not history yet: the exchange may be late with them."""


def history_end(store: Store, symbol: str, now_ms: int) -> int:
    """The newest minute that is history at `now_ms`; the live minutes begin after it."""
    newest = newest_closed(now_ms)
    ends = [newest - EDGE_MS, *(last for _, last in resting(store.gaps(symbol), now_ms) if last <= newest)]
    if (bar := store.newest_bar(symbol)) is not None and bar.quality == "exact":
        ends.append(min(to_ms(bar.open_time), newest))
    return max(ends)


def missing(store: Store, symbol: str, stretch: Range, *, since: int, fallback_since: int, idle: Iterable[Range]) -> list[Range]:
    """Minutes of `stretch` to ask for: those without a bar, but for the gaps that may rest (`idle`); and those with a fallback bar only.

    `since`, `fallback_since`: earlier minutes are known to have been looked at; only known gaps among them are asked for again.
    """
    start, last = stretch
    due = [(first, min(end, last)) for first, end in map(stretch_of, store.gaps(symbol)) if start <= first <= last]
    absent = store.missing(symbol, since, last) if since <= last else []
    fallback = store.fallback(symbol, fallback_since, last) if fallback_since <= last else []
    return united([*without([*absent, *due], idle), *fallback])
