"""One message of each kind that is written, and a reader of line protocol that shares nothing with its writer."""

from datetime import timedelta
from typing import Any

from hub.messages import Alert, Article, Bar, Forecast, HubHealth, Message, ModelId, PluginState, Score, Sentiment
from hub.testing import START, bars

MODEL = ModelId(name="transformer", version="1.2", sha256="ab" * 32)


def bar(**changed: Any) -> Bar:
    [made] = bars(100.0, volume=2.0, quote_volume=200.0, trades=7, taker_buy_volume=0.5)
    return Bar.model_validate(made.model_dump() | changed)


def forecast(**changed: Any) -> Forecast:
    values = {
        "symbol": "BTC-USDT",
        "horizon_minutes": 5,
        "open_time": START,
        "made_at": START + timedelta(minutes=1, milliseconds=250),
        "target_time": START + timedelta(minutes=6),
        "last_close": 100.0,
        "price": 101.0,
        "low": 99.5,
        "high": 102.0,
        "p_up": 0.625,
        "direction": "up",
        "confidence": 0.25,
        "model": MODEL,
    }
    return Forecast.model_validate(values | changed)


def score(**changed: Any) -> Score:
    values = {
        "symbol": "BTC-USDT",
        "horizon_minutes": 30,
        "n": 288,
        "skill": -0.01,
        "auc": 0.5,
        "hit_rate": 0.5,
        "brier": 0.25,
        "coverage": 0.8,
        "window": "7d",
        "model": MODEL,
        "last_outcome": 0.001,
        "scored_at": START,
    }
    return Score.model_validate(values | changed)


def article(**changed: Any) -> Article:
    values = {
        "asset": "BTC",
        "title": 'He said "up, up = away"\\',
        "url": "https://news.test/a?b=c",
        "source": "news.test",
        "published_at": START - timedelta(hours=1),
        "collected_at": START,
        "score": 0.5,
        "scorer": "lexicon",
    }
    return Article.model_validate(values | changed)


def alert(**changed: Any) -> Alert:
    values = {"symbol": "BTC-USDT", "source": "volatility", "text": "it moved", "forecast": forecast(), "raised_at": START}
    return Alert.model_validate(values | changed)


def sentiment(**changed: Any) -> Sentiment:
    return Sentiment.model_validate({"asset": "BTC", "hour": START, "score": -0.5, "articles": 3, "scorer": "lexicon"} | changed)


def state(**changed: Any) -> PluginState:
    values = {"name": "influxdb", "state": "stale", "since": START, "error": "behind", "restarts": 2, "lag": 9, "lag_s": 61.5}
    return PluginState.model_validate(values | changed)


def health(**changed: Any) -> HubHealth:
    counts = ("memory_bytes", "disk_free_bytes", "store_bytes", "wal_bytes", "minutes_missing", "mqtt_lag", "dropped", "rejected", "bars")
    values = {name: number for number, name in enumerate(counts, 1)}
    return HubHealth.model_validate(values | {"at": START, "broker_connected": True} | changed)


EVERY: tuple[Message, ...] = (bar(), forecast(), score(), sentiment(), article(), alert(), state(), health())


def read(line: str) -> tuple[str, dict[str, str], dict[str, Any], int]:
    """Measurement, tags, fields and time (ns) of one line, as the protocol's specification says."""
    key, rest = _until(line, " ")
    parts = []
    while True:
        part, key = _until(key, ",")
        parts.append(part)
        if not key:
            break
    tags = {}
    for part in parts[1:]:
        name, value = _until(part, "=")
        tags[_plain(name)] = _plain(value)
    fields = {}
    while True:
        name, rest = _until(rest, "=")
        fields[_plain(name)], rest = _value(rest)
        if not rest.startswith(","):
            break
        rest = rest[1:]
    assert rest.startswith(" ")
    return _plain(parts[0]), tags, fields, int(rest[1:])


def _until(text: str, stop: str) -> tuple[str, str]:
    """What stands before the first `stop` that no backslash precedes, and what after it."""
    at = 0
    while at < len(text) and text[at] != stop:
        at += 2 if text[at] == "\\" else 1
    return text[:at], text[at + 1 :]


def _plain(text: str) -> str:
    for special in (",", "=", " "):
        text = text.replace("\\" + special, special)
    return text


def _value(text: str) -> tuple[Any, str]:
    if not text.startswith('"'):
        end = min(at for at in (text.find(","), text.find(" ")) if at >= 0)
        word, rest = text[:end], text[end:]
        if word.endswith("i"):
            return int(word[:-1]), rest
        assert any(sign in word for sign in ".e"), f"{word} could be taken for a whole number"
        return float(word), rest
    at, made = 1, ""
    while text[at] != '"':
        at += text[at] == "\\" and text[at + 1] in '\\"'
        made += text[at]
        at += 1
    return made, text[at + 1 :]
