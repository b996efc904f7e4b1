"""A simulated day of a hub, as its rows stand in InfluxDB, and the schema that they keep to."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import sin

SCHEMA: dict[str, tuple[set[str], set[str]]] = {
    "bar": (
        {"symbol", "interval"},
        {
            *("open", "high", "low", "close", "volume", "quote_volume", "taker_buy_volume"),
            *("trades", "source", "quality", "minutes"),
        },
    ),
    "forecast": (
        {"symbol", "horizon", "model", "role"},
        {
            *("price", "low", "high", "p_up", "confidence", "last_close"),
            *("direction", "version", "open_time", "target_time"),
        },
    ),
    "forecast_target": ({"symbol", "horizon", "model", "role"}, {"price", "low", "high", "p_up", "last_close"}),
    "score": (
        {"symbol", "horizon", "model", "role"},
        {"n", "skill", "auc", "hit_rate", "brier", "coverage", "last_outcome", "window", "version"},
    ),
    "sentiment": ({"asset"}, {"score", "articles", "scorer"}),
    "article": ({"asset"}, {"title", "url", "source", "scorer", "score"}),
    "alert": ({"symbol", "source"}, {"text", "severity", "p_up"}),
    "plugin": ({"name"}, {"state", "error", "ok", "restarts", "lag", "lag_s"}),
    "hub": (
        set(),
        {
            *("memory_bytes", "disk_free_bytes", "store_bytes", "wal_bytes", "minutes_missing", "mqtt_lag"),
            *("dropped", "rejected", "bars", "broker_connected"),
        },
    ),
}
"""Measurement -> tags, fields."""
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
SYMBOLS = ("BTC-USDT", "ETH-USDT")
HORIZONS = (5, 10, 30)
ROLES = {"patch": "live", "patch-next": "shadow"}


@dataclass(frozen=True)
class Row:
    """One point: measurement, tags, fields, time in ms."""

    measurement: str
    tags: dict[str, str]
    fields: dict[str, float | int | str]
    at: int

    def line(self) -> str:
        """In InfluxDB's line protocol."""
        tags = "".join(f",{name}={value}" for name, value in sorted(self.tags.items()))
        return f"{self.measurement}{tags} {','.join(f'{name}={_literal(value)}' for name, value in self.fields.items())} {self.at}"


def _literal(value: float | str) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{value}i" if isinstance(value, int) else repr(value)


def price(symbol: str, at: int) -> float:
    return (100_000.0 if symbol.startswith("BTC") else 3_500.0) * (1 + 0.01 * sin(at / HOUR))


def day(now: int) -> list[Row]:
    """All that a hub with every plugin has written until `now`: a day of minutes, nine days of scores."""
    return [*bars(now, 30 * 60), *forecasts(now), *scores(now), *news(now), *alerts(now), *plugins(now, 1440), *hub(now, 1440)]


def first_hour(now: int) -> list[Row]:
    """A hub an hour old, without forecasts, scores and news."""
    return [*bars(now, 62), *plugins(now, 60), *hub(now, 60)]


def bars(now: int, minutes: int) -> Iterator[Row]:
    """ETH lacks forty minutes; five are from the fallback, which knows no volume."""
    for back in range(1, minutes + 1):
        at = now - back * MINUTE
        for symbol in SYMBOLS:
            if symbol == "ETH-USDT" and 600 <= back < 640:
                continue
            close, fallback = price(symbol, at), 595 <= back < 600
            fields: dict[str, float | int | str] = {"open": close, "high": close * 1.001, "low": close * 0.999, "close": close}
            if not fallback:
                fields |= {"volume": 3.5, "quote_volume": 3.5 * close, "taker_buy_volume": 1.5, "trades": 12}
            fields |= {"source": "coingecko", "quality": "fallback"} if fallback else {"source": "binanceus", "quality": "exact"}
            yield Row("bar", {"symbol": symbol, "interval": "1m"}, fields, at)


def long_bars(now: int) -> Iterator[Row]:
    """Ten days of the second database."""
    for interval, length, count in (("1h", HOUR, 240), ("1d", DAY, 10)):
        for back in range(1, count + 1):
            at = (now // length - back) * length
            for symbol in SYMBOLS:
                close = price(symbol, at)
                prices = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close}
                volumes = {"volume": 99.5, "quote_volume": 99.5 * close, "taker_buy_volume": 44.5}
                counts = {"trades": 720, "source": "binanceus", "quality": "exact", "minutes": length // MINUTE}
                yield Row("bar", {"symbol": symbol, "interval": interval}, {**prices, **volumes, **counts}, at)


def forecasts(now: int) -> Iterator[Row]:
    for made in range(now - DAY, now, 5 * MINUTE):
        for symbol in SYMBOLS:
            for horizon in HORIZONS:
                for model, role in ROLES.items():
                    tags = {"symbol": symbol, "horizon": str(horizon), "model": model, "role": role}
                    close, target = price(symbol, made), made + horizon * MINUTE
                    said = {"price": close * 1.001, "low": close * 0.99, "high": close * 1.01, "p_up": 0.55, "last_close": close}
                    more = {"confidence": 0.1, "direction": "up", "version": "3", "open_time": made - MINUTE, "target_time": target}
                    yield Row("forecast", tags, said | more, made)
                    yield Row("forecast_target", tags, dict(said), target)


def scores(now: int, skill: float = 0.02, symbol: str | None = None) -> Iterator[Row]:
    for at in range(now - 9 * DAY, now, HOUR):
        for one in [symbol] if symbol else SYMBOLS:
            for horizon in HORIZONS:
                for model, role in ROLES.items():
                    tags = {"symbol": one, "horizon": str(horizon), "model": model, "role": role}
                    rates = {"skill": skill, "auc": 0.51, "hit_rate": 0.52, "brier": 0.249, "coverage": 0.81, "last_outcome": 0.0004}
                    yield Row("score", tags, {"n": 288, **rates, "window": "7d", "version": "3"}, at)


def news(now: int) -> Iterator[Row]:
    for back in range(24):
        hour = (now // HOUR - back) * HOUR
        for asset in ("BTC", "ETH"):
            yield Row("sentiment", {"asset": asset}, {"score": sin(back), "articles": 3, "scorer": "lexicon"}, hour)
            title, url = f'"{asset}" plunges 8 %', f"https://news.example/{asset}/{back}"
            said = {"title": title, "url": url, "source": "CoinDesk", "scorer": "lexicon", "score": -0.6}
            yield Row("article", {"asset": asset}, said, hour + 11)
    yield Row(
        "article", {"asset": "BTC"}, {"title": "click", "url": "javascript:alert(1)", "source": "x", "scorer": "lexicon", "score": 0.0}, now
    )


def alerts(now: int) -> Iterator[Row]:
    for back in (30, 90):
        said = {"text": "BTC-USDT moved +2.10 % in one minute", "severity": "warning", "p_up": 0.6}
        yield Row("alert", {"symbol": "BTC-USDT", "source": "volatility"}, said, now - back * MINUTE)


def plugins(now: int, minutes: int, *, failed: str = "", lag_s: float = 2.0) -> Iterator[Row]:
    for at in range(now - minutes * MINUTE, now, MINUTE):
        for name in ("collector", "influxdb", "inference"):
            bad = name == failed
            fields: dict[str, float | int | str] = {
                "state": "failed" if bad else "running",
                "error": "no disk" if bad else "",
                "ok": int(not bad),
            }
            lag: dict[str, float | int | str] = {"lag": 7, "lag_s": lag_s} if name == "influxdb" else {}
            yield Row("plugin", {"name": name}, fields | {"restarts": 0} | lag, at)


def hub(now: int, minutes: int) -> Iterator[Row]:
    for at in range(now - minutes * MINUTE, now, MINUTE):
        sizes = {"memory_bytes": 90_000_000, "disk_free_bytes": 20 * 2**30, "store_bytes": 9_000_000, "wal_bytes": 800_000}
        counts = {
            "minutes_missing": 40,
            "mqtt_lag": 0,
            "dropped": 0,
            "rejected": 1,
            "bars": 2 * (at // MINUTE % 10_000),
            "broker_connected": 1,
        }
        yield Row("hub", {}, {**sizes, **counts}, at)
