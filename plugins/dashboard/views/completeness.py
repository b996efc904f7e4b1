"""What is on disk, day by day, what is missing and why, and where it comes from."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hub.flow import Store
from hub.market.interval import MINUTE_MS, from_ms, to_ms
from hub.messages import Gap

DAY_MS = 1440 * MINUTE_MS
MOST_DAYS = 371
"""53 weeks."""
MOST_GAPS = 100
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def calendar(store: Store, symbol: str, now: datetime) -> dict[str, Any]:
    """One entry a UTC day, from the first bar to today: how many of its minutes are missing, and how many only stand in."""
    oldest, newest = store.oldest_open_time(symbol), store.newest_bar(symbol)
    if oldest is None or newest is None:
        return {"symbol": symbol, "days": [], "bars": 0, "first": None}
    last = to_ms(newest.open_time)
    first_day = max(oldest // DAY_MS, to_ms(now) // DAY_MS - MOST_DAYS + 1)
    first = max(oldest, first_day * DAY_MS)
    missing, fallback = Counter[int](), Counter[int]()
    for counter, stretches in ((missing, store.missing(symbol, first, last)), (fallback, store.fallback(symbol, first, last))):
        for begin, end in stretches:
            for day in range(begin // DAY_MS, end // DAY_MS + 1):
                counter[day] += (min(end, (day + 1) * DAY_MS - MINUTE_MS) - max(begin, day * DAY_MS)) // MINUTE_MS + 1
    days = [_day(day, first, last, missing[day], fallback[day]) for day in range(first_day, last // DAY_MS + 1)]
    return {"symbol": symbol, "days": days, "bars": sum(day["of"] - day["missing"] for day in days), "first": oldest}


def _day(day: int, first: int, last: int, missing: int, fallback: int) -> dict[str, Any]:
    begin, end = max(first, day * DAY_MS), min(last, (day + 1) * DAY_MS - MINUTE_MS)
    minutes = (end - begin) // MINUTE_MS + 1
    grade = "none" if missing >= minutes else "bad" if missing > 60 else "some" if missing else "stand-in" if fallback else "whole"
    on = from_ms(day * DAY_MS)
    return {
        "day": f"{on:%Y-%m-%d}",
        "weekday": WEEKDAYS[on.weekday()],
        "of": minutes,
        "missing": missing,
        "fallback": fallback,
        "grade": grade,
    }


def gaps(store: Store, symbols: Sequence[str]) -> tuple[int, list[Gap]]:
    """How many known gaps there are, and the newest of them."""
    found = sorted((gap for symbol in symbols for gap in store.gaps(symbol)), key=lambda gap: gap.first_open_time, reverse=True)
    return len(found), found[:MOST_GAPS]


def sources(store: Store, symbols: Sequence[str], now: datetime) -> list[dict[str, Any]]:
    """Who the last day's bars are from."""
    last = to_ms(now.astimezone(UTC))
    rows = []
    for symbol in symbols:
        counted = Counter((bar.source, bar.quality) for bar in store.bars(symbol, to_ms(now - timedelta(days=1)), last))
        rows += [
            {"symbol": symbol, "source": source, "quality": quality, "bars": bars} for (source, quality), bars in counted.most_common()
        ]
    return rows
