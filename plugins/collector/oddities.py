"""Says what is strange: a price that jumps, a market that stands still, a row that cannot be a bar."""

from collections.abc import Sequence
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

    def look(self, bars: Sequence[Bar]) -> None:
        """Look at bars of one symbol in the order they come in; nothing is changed or dropped."""
        if not bars:
            return
        symbol = bars[0].symbol
        seen = self._seen.get(symbol)
        if seen is None or bars[0].open_time <= seen.bar.open_time:
            seen = self._seen[symbol] = _Seen(bars[0])
            bars = bars[1:]
        before, last = seen.bar, seen.bar.close
        for bar in bars:
            close = bar.close
            if not last / JUMP < bar.low <= bar.high < last * JUMP:
                self._jumped(before, bar)
            if close != last or _numbers(bar) != _numbers(before):
                seen.equal = 1
            else:
                seen.equal += 1
                if seen.equal == STILL:
                    self._stands_still(bar)
            before, last = bar, close
        seen.bar = before

    def _jumped(self, before: Bar, bar: Bar) -> None:
        what = {"open_time": bar.open_time.isoformat(), "before": before.close, "high": bar.high, "low": bar.low}
        self._log.warning("the price jumped; the bar is kept", symbol=bar.symbol, **what)

    def _stands_still(self, bar: Bar) -> None:
        words = f"{STILL} equal bars in a row: nobody trades, or the exchange stands still"
        self._log.warning(words, symbol=bar.symbol, open_time=bar.open_time.isoformat())

    def report(self, symbol: str, host: str, rejected: Sequence[Rejected]) -> None:
        """Quarantine: the text of rows that were refused, for whoever wants to know why."""
        for row in rejected[:SHOWN]:
            self._log.warning(f"{host} sent a row that cannot be a bar", symbol=symbol, reason=row.reason, row=row.raw)
        if len(rejected) > SHOWN:
            self._log.warning(f"and {len(rejected) - SHOWN} more such rows in the same answer", symbol=symbol)


def _numbers(bar: Bar) -> tuple[float | None, ...]:
    return bar.open, bar.high, bar.low, bar.close, bar.volume
