"""Days of facts for tests of dumps."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hub import Article, Bar, Forecast, Message, ModelId, Score, Sentiment
from hub.testing import FakeClock, FakeHub, MemoryStore, bars

DAY = datetime.fromisoformat("2025-05-20T00:00:00Z")
MODEL = ModelId(name="m", version="=1+1", sha256="1" * 64)
MINUTE = timedelta(minutes=1)


def prices(day: datetime = DAY, symbol: str = "BTC-USDT", minutes: int = 1440, close_by: float = 0.0) -> list[Bar]:
    """`close_by`: so much higher than usual."""
    closes = [100.0 + close_by + number % 97 * 0.01 for number in range(minutes)]
    return bars(*closes, symbol=symbol, start=day, quote_volume=100.5, trades=3, taker_buy_volume=0.25)


def forecast(made_at: datetime, horizon: int = 30, **changed: Any) -> Forecast:
    fields = {
        "symbol": "BTC-USDT",
        "horizon_minutes": horizon,
        "open_time": made_at - MINUTE,
        "made_at": made_at,
        "target_time": made_at + horizon * MINUTE,
        "last_close": 100.0,
        "price": 100.1,
        "low": 99.0,
        "high": 101.0,
        "p_up": 0.6,
        "direction": "up",
        "confidence": 0.6,
        "model": MODEL,
    }
    return Forecast.model_validate(fields | changed)


def article(title: str, at: datetime, **changed: Any) -> Article:
    fields = {"asset": "BTC", "title": title, "url": "https://x.test/", "source": "x", "published_at": None, "collected_at": at}
    return Article.model_validate(fields | {"score": 0.5, "scorer": "lexicon"} | changed)


def a_day(day: datetime = DAY, symbols: Sequence[str] = ("BTC-USDT", "ETH-USDT")) -> list[Message]:
    """Bars of both symbols, forecasts around both midnights, scores, moods and articles."""
    facts: list[Message] = [bar for symbol in symbols for bar in prices(day, symbol)]
    for at in (day - 10 * MINUTE, day + timedelta(hours=12), day + timedelta(hours=23, minutes=55)):
        facts += [forecast(at, horizon) for horizon in (5, 30)]
    numbers = {"n": 5, "skill": -0.01, "auc": None, "hit_rate": 0.5, "brier": 0.25, "coverage": 0.8, "window": "7d"}
    facts.append(Score(symbol="BTC-USDT", horizon_minutes=5, model=MODEL, scored_at=day + timedelta(hours=1), **numbers))
    facts += [
        Sentiment(asset="BTC", hour=day + timedelta(hours=3), score=score, articles=count, scorer="lexicon")
        for score, count in ((0.5, 1), (-0.25, 4))
    ]
    facts += [article(title, day + timedelta(hours=2)) for title in ("=HYPERLINK(1)", 'plain, "quoted"', "'quote", "@x", "+1", "-1", "\tx")]
    return facts


def etl_hub(folder: Path, facts: Sequence[Message], now: datetime = DAY + timedelta(days=1, seconds=5), **section: Any) -> FakeHub:
    return FakeHub(section, clock=FakeClock(now), store=MemoryStore(facts), data_dir=folder)
