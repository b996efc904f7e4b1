"""Memory of a hub that has taken in two months of two symbols; and whether it grows while it does."""

import tempfile
from contextlib import ExitStack
from pathlib import Path

import psutil

from bench.history import BARS, exchange, write_history
from bench.row import Row
from bench.station import bars_in, hub, mosquitto, published_by, resident_mb, wait_until
from tests.brokers import free_port

SETTLED_S = 5.0


def rows(bars: int = BARS) -> list[Row]:
    """Two hubs beside each other: one with mosquitto, one with the embedded broker."""
    with ExitStack() as stack:
        home, away, files = (Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(3))
        url = stack.enter_context(exchange(write_history(files, bars)))
        collector = {"backfill": f"{bars}m", "fallback": None, "binanceus": {"base_url": url}}
        real = stack.enter_context(hub(home, stack.enter_context(mosquitto(home)), collector))
        wait_until(lambda: published_by(home) >= bars / 2, "a quarter of the bars")
        early = resident_mb(real)
        wait_until(lambda: published_by(home) >= 2 * bars, "all bars")
        late = resident_mb(real)
        embedding = stack.enter_context(hub(away, free_port(), collector))
        wait_until(lambda: bars_in(away) >= 2 * bars, "all bars, with the embedded broker")
        [broker] = embedding.children()
        return _both(late, early, embedding, broker, bars)


def _both(late: float, early: float, embedding: psutil.Process, broker: psutil.Process, bars: int) -> list[Row]:
    hub_mb, broker_mb = resident_mb(embedding), resident_mb(broker)
    note = f"the hub; its broker's own process takes {broker_mb:.0f} MB more"
    return [
        Row("memory, mosquitto", late, "MB", at_most=100, note=f"resident, after 2 x {bars:,} bars taken in and published"),
        Row("memory, embedded broker", hub_mb, "MB", at_most=100, note=note),
        Row("memory, growth", late - early, "MB", at_most=2, note="from a quarter of these bars to all of them"),
    ]
