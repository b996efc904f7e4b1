"""A day in the life of a station, as facts: bars with a gap and stand-ins, forecasts live and in shadow, scores, news, alerts, models."""

import random
from datetime import datetime, timedelta
from math import exp

from hub.messages import Alert, Article, Bar, Forecast, Gap, Message, ModelAnswer, ModelId, ModelState, Score, Sentiment, ServedModel
from hub.testing import START

LIVE = ModelId(name="mine", version="3", sha256="a" * 64)
SHADOW = ModelId(name="newer", version="4", sha256="b" * 64)
HOSTILE = (
    "<script>alert(1)</script> Bitcoin rallies",
    "<img src=x onerror=alert(2)> Bitcoin & friends",
    "\u202etxt.exe\u202c Bitcoin \u200b\x1b[31mred\x1b[0m",
    "{{ 7 * 7 }} ${alert(3)} Bitcoin </script><script>alert(4)</script>",
)
"""Headlines of those who do not wish us well."""
GAP = (600, 640)
STAND_INS = (700, 730)


def a_day(
    minutes: int = 1440, *, start: datetime = START, seed: int = 1, symbols: tuple[str, ...] = ("BTC-USDT", "ETH-USDT")
) -> list[Message]:
    """Facts in the order of their making; `minutes` up to the newest bar."""
    chance, made = random.Random(seed), list[Message]()
    prices = {symbol: 100_000.0 / 25**place for place, symbol in enumerate(symbols)}
    for minute in range(minutes):
        at = start + timedelta(minutes=minute)
        for symbol in symbols:
            before = prices[symbol]
            prices[symbol] = before * exp(chance.gauss(0.0, 0.0006))
            if GAP[0] <= minute < GAP[1]:
                continue
            made.append(_bar(symbol, at, before, prices[symbol], stands_in=STAND_INS[0] <= minute < STAND_INS[1]))
            if minute % 5 == 4:
                for horizon in (5, 10, 30):
                    for model, role in ((LIVE, "live"), (SHADOW, "shadow")):
                        made.append(forecast(symbol, at, prices[symbol], horizon, model, role, chance))
        if minute % 60 == 30:
            made += _news(at, chance)
    first, last = start + timedelta(minutes=GAP[0]), start + timedelta(minutes=GAP[1] - 1)
    if minutes > GAP[1]:
        made += [
            Gap(
                symbol=symbol,
                first_open_time=first,
                last_open_time=last,
                reason="the exchange had none of it",
                tries=3,
                next_try_at=start + timedelta(days=30),
            )
            for symbol in symbols
        ]
    now = start + timedelta(minutes=minutes)
    made += [score(symbol, horizon, model, now) for symbol in symbols for horizon in (5, 10, 30) for model in (LIVE, SHADOW)]
    made.append(Alert(symbol=symbols[0], source="alerts", text="<b>sure</b> of a rise", severity="warning", raised_at=now))
    return made + _models(now)


def _bar(symbol: str, at: datetime, before: float, price: float, *, stands_in: bool) -> Bar:
    if stands_in:
        flat = {"open": price, "high": price, "low": price, "close": price}
        return Bar(symbol=symbol, open_time=at, **flat, volume=None, source="coingecko", quality="fallback")
    high, low = max(before, price) * 1.0002, min(before, price) * 0.9998
    return Bar(symbol=symbol, open_time=at, open=before, high=high, low=low, close=price, volume=1.5, source="binanceus")


def forecast(symbol: str, at: datetime, price: float, horizon: int, model: ModelId, role: str, chance: random.Random) -> Forecast:
    made, p_up, spread = at + timedelta(minutes=1), chance.uniform(0.35, 0.65), 0.0006 * horizon**0.5 * 1.28
    return Forecast(
        symbol=symbol,
        horizon_minutes=horizon,
        open_time=at,
        made_at=made,
        target_time=made + timedelta(minutes=horizon),
        last_close=price,
        price=price * (1.0 + (p_up - 0.5) * 0.001),
        low=price * exp(-spread),
        high=price * exp(spread),
        p_up=p_up,
        direction="up" if p_up > 0.5 else "down",
        confidence=max(p_up, 1.0 - p_up),
        model=model,
        role=role,
    )


def _news(at: datetime, chance: random.Random) -> list[Message]:
    title = chance.choice(["Bitcoin slips after profit-taking", "Fund reports inflows into Bitcoin products", *HOSTILE])
    url = chance.choice(["https://news.example/a?b=1&c=2", "javascript:alert(5)", "https://news.example/<x>"])
    score = round(chance.uniform(-1.0, 1.0), 2)
    articles = [
        Article(asset="BTC", title=title, url=url, source="<i>wire</i>", published_at=at, collected_at=at, score=score, scorer="lexicon")
    ]
    hour = at.replace(minute=0)
    return [*articles, *(Sentiment(asset=asset, hour=hour, score=score, articles=1, scorer="lexicon") for asset in ("BTC", "ETH"))]


def score(symbol: str, horizon: int, model: ModelId, now: datetime) -> Score:
    told = {"n": 280, "skill": -0.01, "skill_low": -0.02, "auc": 0.5, "hit_rate": 0.5, "brier": 0.25, "coverage": 0.8}
    role = "live" if model is LIVE else "shadow"
    return Score(symbol=symbol, horizon_minutes=horizon, **told, window="7d", model=model, role=role, scored_at=now)


def _models(now: datetime) -> list[Message]:
    live, shadow = (ServedModel(**each.model_dump(), since=now - timedelta(hours=hours)) for each, hours in ((LIVE, 20), (SHADOW, 10)))
    refused = ModelAnswer(
        sha256="c" * 64, counter=2, status="rejected", reason="its outputs are not finite", at=now - timedelta(hours=2), model="bad 1"
    )
    tried = ModelAnswer(sha256=SHADOW.sha256, counter=3, status="shadow", reason="it passed its test", at=now - timedelta(hours=1))
    return [ModelState(live=live, answer=refused), ModelState(live=live, shadow=shadow, answer=tried, refused=("c" * 64,))]
