"""Says what is strange: a price that jumps, a market that stands still, a row that cannot be a bar."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hub.messages import Bar
from plugins.collector.klines import Rejected

JUMP = 10.0
"""A price that is this many times the one before, or this small a part of it."""
SHOWN = 3
"""Rows of one answer that are shown with their text."""
STILL = 10
"""Equal bars in a row after which a market is said to stand still."""


@dataclass
class _Seen:
    bar: Bar
    equal: int = 1


class Oddities:
    """Remembers the last bar of every symbol."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self._seen: dict[str, _Seen] = {}

    def look(self, bars: Iterable[Bar]) -> None:
        """Look at bars in the order they come in; nothing is changed or dropped."""
        for bar in bars:
            seen = self._seen.get(bar.symbol)
            if seen is None or bar.open_time <= seen.bar.open_time:
                self._seen[bar.symbol] = _Seen(bar)
                continue
            before = seen.bar
            if not before.close / JUMP < bar.low <= bar.high < before.close * JUMP:
                self._log.warning(
                    "the price jumped; the bar is kept",
                    symbol=bar.symbol,
                    open_time=bar.open_time.isoformat(),
                    before=before.close,
                    high=bar.high,
                    low=bar.low,
                )
            seen.equal = seen.equal + 1 if bar.close == before.close and _numbers(bar) == _numbers(before) else 1
            seen.bar = bar
            if seen.equal == STILL:
                self._log.warning(
                    f"{STILL} equal bars in a row: nobody trades, or the exchange stands still",
                    symbol=bar.symbol,
                    open_time=bar.open_time.isoformat(),
                )

    def report(self, symbol: str, host: str, rejected: Sequence[Rejected]) -> None:
        """Quarantine: the text of rows that were refused, for whoever wants to know why."""
        for row in rejected[:SHOWN]:
            self._log.warning(f"{host} sent a row that cannot be a bar", symbol=symbol, reason=row.reason, row=row.raw)
        if len(rejected) > SHOWN:
            self._log.warning(f"and {len(rejected) - SHOWN} more such rows in the same answer", symbol=symbol)


def _numbers(bar: Bar) -> tuple[float | None, ...]:
    return bar.open, bar.high, bar.low, bar.close, bar.volume
