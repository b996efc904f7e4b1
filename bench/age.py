"""Whether a store answers as quickly after 400 days as after one: the reads behind the page, the forecasts and the forwarders."""

import random
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import timedelta
from itertools import islice
from pathlib import Path
from statistics import median

from bench.row import Row, interleaved
from hub.clock import SystemClock
from hub.ledger import accuracy
from hub.market.interval import MINUTE_MS, to_ms
from hub.messages import Alert, Bar, Forecast, Message, Score
from hub.runtime.disk.store import SqliteStore
from hub.runtime.health import stored
from hub.runtime.mqtt.outbox import DURABLE
from hub.testing import START, bars
from tests.days import LIVE, forecast, score

DAY = timedelta(days=1)
SYMBOLS = ("BTC-USDT", "ETH-USDT")
END = to_ms(START)
AT_MOST = 1.25
"""Two stores of the same age differ by as much on a busy machine."""


def fill(store: SqliteStore, days: int) -> None:
    """The days before START: bars of two symbols, forecasts every five minutes for three horizons, and their scores."""
    chance = random.Random(1)
    for day in range(days, 0, -1):
        begin = START - DAY * day
        facts: list[Message] = [
            bar for symbol in SYMBOLS for bar in bars(*(100.0 + minute % 97 for minute in range(1440)), symbol=symbol, start=begin)
        ]
        for step in range(288):
            at = begin + timedelta(minutes=5 * step)
            facts += [forecast(symbol, at, 100.0, horizon, LIVE, "live", chance) for symbol in SYMBOLS for horizon in (5, 10, 30)]
            facts += [score(symbol, horizon, LIVE, at) for symbol in SYMBOLS for horizon in (5, 10, 30)]
        store.record(facts)
    store.move_cursor("mqtt", store.last_seq() - 100)


def reads(store: SqliteStore) -> dict[str, Callable[[], object]]:
    """What is asked again and again, by its name."""
    seq = store.last_seq() - 100
    return {
        "the model's window": lambda: store.bars("BTC-USDT", END - 1500 * MINUTE_MS, END),
        "a week of closes": lambda: store.closes("BTC-USDT", END - 10_080 * MINUTE_MS, END),
        "what is new to forward": lambda: store.facts_after(seq, DURABLE, 500),
        "how much waits": lambda: store.waiting(seq, DURABLE),
        "the newest forecasts": lambda: store.newest(Forecast),
        "the newest scores": lambda: store.newest(Score),
        "an hour of forecasts": lambda: list(islice(store.newest_first(Forecast, symbol="BTC-USDT", horizon_minutes=5), 12)),
        "alerts, where there are none": lambda: store.facts_after(seq, (Alert,), 500),
        "the minutes missing of a day": lambda: store.missing("BTC-USDT", END - 1440 * MINUTE_MS, END),
        "hub status": lambda: stored(store, END),
        "a week's accuracy": lambda: accuracy(store, START - 7 * DAY, START, "7d"),
        "one new bar": lambda: store.record(bars(time.perf_counter() + 1.0, start=START)),
    }


def _timed(work: Callable[[], object], times: int) -> Callable[[], float]:
    def measure() -> float:
        begun = time.perf_counter()
        for _ in range(times):
            work()
        return (time.perf_counter() - begun) * 1e3 / times

    return measure


def rows(young: int = 8, old: int = 400, rounds: int = 15, times: int = 3) -> list[Row]:
    """Milliseconds in the old store beside the young one's. `young`: a week and a day, since some look back for a week."""
    with ExitStack() as stack:
        stores = []
        for days in (young, old):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            stores.append(stack.enter_context(closing(SqliteStore.open(folder / "tickerml.db", SystemClock()))))
            fill(stores[-1], days)
        found = []
        for (name, in_young), in_old in zip(reads(stores[0]).items(), reads(stores[1]).values(), strict=True):
            in_young(), in_old()
            measured = interleaved(rounds, _timed(in_old, times), _timed(in_young, times))
            ours, theirs = (median(column) for column in zip(*measured, strict=True))
            ratio = median(other / mine for mine, other in measured)
            beside = f"after {young} days"
            found.append(Row(f"{name}, after {old} days", ours, "ms", theirs, beside, ratio, at_least=1 / AT_MOST))
        assert len(stores[1].facts_after(0, (Bar,), 10)) == 10
    return found
