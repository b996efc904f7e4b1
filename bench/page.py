"""The page: memory of its process, the browser's first paint, and whether fifty open pages hold up bars and forecasts."""

import asyncio
import json
import statistics
import tempfile
import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import psutil

from bench.row import Row
from bench.station import hub, mosquitto, resident_mb, wait_until
from tests.brokers import Witness, free_port, wait_for_port
from tests.browsers import chromium
from tests.pages import opened

SPEED = 60
PAGES = 50
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
DRAWN = "globalThis.Chart && Chart.getChart(document.querySelector('#chart-BTC-USDT canvas')) ? performance.now() : null"


def rows(seconds: float = 45.0) -> list[Row]:
    """One hub, a minute of its market every second: watched without pages, then with fifty."""
    with ExitStack() as stack:
        home, port = Path(stack.enter_context(tempfile.TemporaryDirectory())), free_port()
        broker = stack.enter_context(mosquitto(home))
        collector = {"source": "simulated", "backfill": "26h", "fallback": None}
        plugins = {"collector": collector, "inference": {"patience": "4m"}, "dashboard": {"port": port}}
        process = stack.enter_context(hub(home, broker, collector, plugins=plugins, clock={"speed": SPEED}))
        wait_for_port(port, 30)
        witness = stack.enter_context(Witness(broker, "tickerml/+/BTC-USDT/#"))
        wait_until(lambda: any(topic.endswith("/30m") for topic, _, _ in witness.heard), "the first forecasts")
        [page] = [child for child in process.children() if "guest" in " ".join(child.cmdline())]
        fresh = resident_mb(page)
        painted, drawn = _painted(port)
        alone = _lateness(witness, seconds)
        watched, fetched = asyncio.run(_with_pages(port, witness, seconds))
        return [
            Row(
                "page, its process",
                resident_mb(page),
                "MB",
                at_most=100,
                note=f"resident, after {fetched} views; {fresh:.0f} MB at its start",
            ),
            Row(
                "page, first paint", painted, "ms", at_most=1500, note=f"Chromium on this machine; the chart is drawn after {drawn:.0f} ms"
            ),
            *_beside(alone, watched, page),
        ]


def _painted(port: int) -> tuple[float, float]:
    """Milliseconds to the first paint and to the drawn chart, medians of five visitors who have never been here."""
    found = []
    with chromium() as browser:
        for _ in range(5):
            visitor = browser.new_context()
            page = visitor.new_page()
            page.goto(f"http://127.0.0.1:{port}/")
            wait_until(lambda page=page: page.evaluate(DRAWN) is not None, "a chart")  # type: ignore[misc]
            found.append((page.evaluate(PAINT), page.evaluate(DRAWN)))
            visitor.close()
    paints, charts = zip(*found, strict=True)
    return statistics.median(paints), statistics.median(charts)


def _lateness(witness: Witness, seconds: float) -> tuple[float, float]:
    """By how many ms bars of one symbol come apart from their second (95th percentile), and from a bar to its forecasts (median)."""
    begun, bars, forecasts = len(witness.heard), list[float](), list[float]()
    seen, end = begun, time.perf_counter() + seconds
    while time.perf_counter() < end:
        for topic, payload, _ in witness.heard[seen:]:
            seen += 1
            if "/bar/" in topic:
                bars.append(time.perf_counter())
            elif topic.endswith("/5m") and json.loads(payload).get("role") == "live" and bars:
                forecasts.append(time.perf_counter() - bars[-1])
        time.sleep(0.001)
    apart = sorted(abs(later - earlier - 60 / SPEED) for earlier, later in pairwise(bars))
    return 1000 * apart[int(0.95 * len(apart))], 1000 * statistics.median(forecasts)


async def _with_pages(port: int, witness: Witness, seconds: float) -> tuple[tuple[float, float], int]:
    async with opened(port, PAGES) as pages:
        await asyncio.sleep(2.0)
        found = await asyncio.to_thread(_lateness, witness, seconds)
        return found, pages.fetched


def _beside(alone: tuple[float, float], watched: tuple[float, float], page: psutil.Process) -> list[Row]:
    names = ("bars come apart from their second by, 95 of 100", "from a bar to its forecasts")
    note = f"{PAGES} pages that fetch themselves at every bar, {SPEED} times as often as they would; nice {page.nice()}"
    return [
        Row(f"page, {PAGES} open: {name}", with_pages, "ms", without, "without a page", with_pages / without, note=note)
        for name, without, with_pages in zip(names, alone, watched, strict=True)
    ]
