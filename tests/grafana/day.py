"""A simulated day of a hub with every plugin, as messages, and as the influxdb plugin writes them."""

from collections.abc import Iterable, Iterator
from math import sin

from hub.market.interval import from_ms
from hub.messages import Alert, Article, Bar, Forecast, HubHealth, Message, ModelId, PluginState, Score, Sentiment
from plugins.influxdb.lines import LONG_BAR, MEASUREMENTS, lines

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
SYMBOLS = ("BTC-USDT", "ETH-USDT")
HORIZONS = (5, 10, 30)
LIVE = ModelId(name="patch", version="3", sha256="0" * 64)
SHADOW = ModelId(name="patch-next", version="4", sha256="1" * 64)
SCHEMA = {each.name: (set(each.tags), {*each.floats, *each.ints, *each.strings}) for each in (*MEASUREMENTS, LONG_BAR)}
"""Measurement -> tags, fields: what the plugin writes, from the table that it writes by."""
Told = tuple[Message, int]
"""A message, and when it was told (ms)."""


def written(told: Iterable[Told]) -> list[str]:
    """Line protocol, by the plugin itself."""
    return [line for message, at in told for line in lines(message, at * 1_000_000)]


def day(now: int) -> list[Told]:
    """A day of minutes and nine days of scores, until `now`."""
    return [
        *bars(now, 30 * 60),
        *forecasts(now),
        *scores(now),
        *news(now),
        *alerts(now),
        *plugins(now, 1440, failed="inference"),
        *hub(now, 1440),
    ]


def first_hour(now: int) -> list[Told]:
    """A hub an hour old, without forecasts, scores and news."""
    return [*bars(now, 62), *plugins(now, 60), *hub(now, 60)]


def price(symbol: str, at: int) -> float:
    return (100_000.0 if symbol.startswith("BTC") else 3_500.0) * (1 + 0.01 * sin(at / HOUR))


def bars(now: int, minutes: int) -> Iterator[Told]:
    """ETH lacks a hundred minutes; five are from the fallback, which knows no volume."""
    for back in range(1, minutes + 1):
        at = now - back * MINUTE
        for symbol in SYMBOLS:
            if symbol == "ETH-USDT" and 600 <= back < 700:
                continue
            close, fallback = price(symbol, at), 595 <= back < 600
            bar = Bar(
                symbol=symbol,
                open_time=from_ms(at),
                open=close,
                high=close * 1.001,
                low=close * 0.999,
                close=close,
                volume=None if fallback else 3.5,
                quote_volume=None if fallback else 3.5 * close,
                taker_buy_volume=None if fallback else 1.5,
                trades=None if fallback else 12,
                source="coingecko" if fallback else "binanceus",
                quality="fallback" if fallback else "exact",
            )
            yield bar, at


def long_bars(now: int) -> Iterator[str]:
    """Ten days of the second database."""
    for interval, length, count in (("1h", HOUR, 240), ("1d", DAY, 10)):
        for back in range(1, count + 1):
            at = (now // length - back) * length
            for symbol in SYMBOLS:
                close = price(symbol, at)
                prices = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close}
                volumes = {"volume": 99.5, "quote_volume": 99.5 * close, "taker_buy_volume": 44.5, "trades": 720}
                made = {**prices, **volumes, "source": "binanceus", "quality": "exact", "minutes": length // MINUTE}
                yield LONG_BAR.line((symbol, interval), made, at * 1_000_000) or ""


def forecast(made: int, symbol: str = "BTC-USDT", horizon: int = 5, model: ModelId = LIVE, confidence: float = 0.1) -> Told:
    close = price(symbol, made)
    message = Forecast(
        symbol=symbol,
        horizon_minutes=horizon,
        open_time=from_ms(made // MINUTE * MINUTE - MINUTE),
        made_at=from_ms(made),
        target_time=from_ms(made + horizon * MINUTE),
        last_close=close,
        price=close * 1.001,
        low=close * 0.99,
        high=close * 1.01,
        p_up=(1 + confidence) / 2,
        direction="up",
        confidence=confidence,
        model=model,
        role="live" if model is LIVE else "shadow",
    )
    return message, made


def forecasts(now: int) -> Iterator[Told]:
    for made in range(now - DAY, now, 5 * MINUTE):
        for symbol in SYMBOLS:
            for horizon in HORIZONS:
                yield forecast(made, symbol, horizon)
                yield forecast(made, symbol, horizon, SHADOW)


def score(at: int, symbol: str, horizon: int, model: ModelId = LIVE, skill: float = 0.02) -> Told:
    message = Score(
        symbol=symbol,
        horizon_minutes=horizon,
        n=288,
        skill=skill,
        auc=0.51,
        hit_rate=0.52,
        brier=0.249,
        coverage=0.81,
        window="7d",
        model=model,
        last_outcome=0.0004,
        role="live" if model is LIVE else "shadow",
        scored_at=from_ms(at),
    )
    return message, at


def scores(now: int, skill: float = 0.02, symbols: tuple[str, ...] = SYMBOLS) -> Iterator[Told]:
    """Nine days, every hour."""
    for at in range(now - 9 * DAY, now, HOUR):
        for symbol in symbols:
            for horizon in HORIZONS:
                yield score(at, symbol, horizon, skill=skill)
                yield score(at, symbol, horizon, SHADOW, skill)


def news(now: int) -> Iterator[Told]:
    """Hour by hour, two headlines an hour, and one whose link is a trap."""
    for back in range(24):
        hour = (now // HOUR - back) * HOUR
        for asset in ("BTC", "ETH"):
            yield Sentiment(asset=asset, hour=from_ms(hour), score=sin(back), articles=3, scorer="lexicon"), hour
            yield article(asset, f'"{asset}" plunges 8 %', f"https://news.example/{asset}/{back}", hour)
    yield article("BTC", "click", "javascript:alert(1)", now)


def article(asset: str, title: str, url: str, at: int) -> Told:
    when = from_ms(at)
    said = Article(asset=asset, title=title, url=url, source="CoinDesk", published_at=when, collected_at=when, score=-0.6, scorer="lexicon")
    return said, at


def alert(at: int, source: str, text: str) -> Told:
    made, _ = forecast(at)
    assert isinstance(made, Forecast)
    said = Alert(symbol="BTC-USDT", source=source, text=text, severity="warning", forecast=made, raised_at=from_ms(at))
    return said, at


def alerts(now: int) -> Iterator[Told]:
    for back in (30, 90):
        yield alert(now - back * MINUTE, "volatility", "BTC-USDT moved +2.10 % in one minute")


def plugins(now: int, minutes: int, *, failed: str = "", lag_s: float = 2.0) -> Iterator[Told]:
    """Once a minute."""
    since = from_ms(now - DAY)
    for at in range(now - minutes * MINUTE, now, MINUTE):
        for name in ("collector", "influxdb", "inference"):
            if name == failed:
                yield PluginState(name=name, state="failed", since=since, error="no disk"), at
            elif name == "influxdb":
                yield PluginState(name=name, state="running", since=since, lag=7, lag_s=lag_s), at
            else:
                yield PluginState(name=name, state="running", since=since), at


def hub(now: int, minutes: int) -> Iterator[Told]:
    """Once a minute; it starts anew at times, and counts from nothing."""
    for at in range(now - minutes * MINUTE, now, MINUTE):
        health = HubHealth(
            at=from_ms(at),
            memory_bytes=90_000_000,
            disk_free_bytes=20 * 2**30,
            store_bytes=9_000_000,
            wal_bytes=800_000,
            minutes_missing=40,
            mqtt_lag=0,
            dropped=0,
            rejected=1,
            broker_connected=True,
            bars=2 * (at // MINUTE % 700),
        )
        yield health, at
