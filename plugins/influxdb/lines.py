"""Messages as InfluxDB's line protocol: pure, and the only place that knows measurements, tags, fields and their types.

A field keeps the type of its first value for ever, so the type stands in the table here and never depends on the value.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from hashlib import blake2b
from math import isfinite
from typing import Any

from hub.market.interval import to_ms
from hub.messages import Alert, Article, Bar, Forecast, HubHealth, Message, PluginState, Score, Sentiment

LONGEST_TEXT = 4_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LARGEST = 2**63


def nanoseconds(at: datetime) -> int:
    """Since the epoch, exact."""
    return (at - _EPOCH) // _MICROSECOND * 1000


def offset(*texts: str) -> int:
    """Less than a millisecond in ns, the same for the same texts: keeps two things of one moment apart."""
    return int.from_bytes(blake2b("\0".join(texts).encode("utf-8", "replace"), digest_size=8).digest(), "big") % 1_000_000


def _quoted(text: str) -> str:
    return _quoted_word(text) if len(text) < 20 else _quoted_text(text)


def _quoted_text(text: str) -> str:
    return '"' + text[:LONGEST_TEXT].replace("\\", "\\\\").replace('"', '\\"') + '"'


_quoted_word = lru_cache(maxsize=1024)(_quoted_text)
"""For the few short words that stand in every line."""


def _tag(value: str) -> str:
    """The protocol has no way to write a backslash before a space, nor a line's end: neither is in a name of ours, and neither gets out."""
    plain = " ".join(value.splitlines()).replace("\\", "/")
    return plain.replace(",", "\\,").replace("=", "\\=").replace(" ", "\\ ")


def _is_finite(value: float | None) -> bool:
    return value is not None and isfinite(value)


def _fit(ints: Sequence[int]) -> bool:
    return all(-_LARGEST <= value < _LARGEST for value in ints)


@dataclass(frozen=True)
class Measurement:
    """Its tags and fields, each field with the one type it ever has."""

    name: str
    tags: tuple[str, ...]
    floats: tuple[str, ...]
    ints: tuple[str, ...] = ()
    strings: tuple[str, ...] = ()

    def line(self, tags: Sequence[str], values: Mapping[str, Any], at: int) -> str | None:
        """One point, at `at` ns; what is None, not finite or not in the table is left out. None where no field is left."""
        known = values.get
        floats: list[Any] = [known(name) for name in self.floats]
        ints: list[Any] = [known(name) for name in self.ints]
        if None not in floats and None not in ints and isfinite(sum(floats)) and _fit(ints):  # nearly always
            fields = [self._all_numbers % (*map(float, floats), *ints)] if floats or ints else []
        else:
            fields = [f"{name}={float(value)!r}" for name, value in zip(self.floats, floats, strict=True) if _is_finite(value)]
            fields += [f"{name}={value:d}i" for name, value in zip(self.ints, ints, strict=True) if value is not None and _fit([value])]
        fields += [f"{name}={_quoted(text)}" for name in self.strings if (text := known(name)) is not None]
        return f"{self._key(*tags)} {','.join(fields)} {at}" if fields else None

    @cached_property
    def _all_numbers(self) -> str:
        return ",".join([*(f"{name}=%r" for name in self.floats), *(f"{name}=%di" for name in self.ints)])

    @cached_property
    def _key(self) -> Callable[..., str]:
        """Measurement and tags, escaped; the same few come again and again."""

        def key(*values: str) -> str:
            tags = ((name, _tag(value)) for name, value in zip(self.tags, values, strict=True))
            return ",".join([self.name, *(f"{name}={value}" for name, value in tags if value)])

        return lru_cache(maxsize=4096)(key)


_BAR = ("open", "high", "low", "close", "volume", "quote_volume", "taker_buy_volume")
_MODEL = ("symbol", "horizon", "model", "role")
BAR = Measurement("bar", ("symbol", "interval"), _BAR, ("trades",), ("source", "quality"))
LONG_BAR = Measurement("bar", ("symbol", "interval"), _BAR, ("trades", "minutes"), ("source", "quality"))
"""In the long bucket: hours and days, and how many minutes each was made of."""
FORECAST = Measurement(
    "forecast",
    _MODEL,
    ("price", "low", "high", "p_up", "confidence", "last_close"),
    ("open_time", "target_time"),
    ("direction", "version"),
)
FORECAST_TARGET = Measurement("forecast_target", _MODEL, ("price", "low", "high", "p_up", "last_close"))
SCORE = Measurement("score", _MODEL, ("skill", "auc", "hit_rate", "brier", "coverage", "last_outcome"), ("n",), ("window", "version"))
SENTIMENT = Measurement("sentiment", ("asset",), ("score",), ("articles",), ("scorer",))
ARTICLE = Measurement("article", ("asset",), ("score",), ("published_at",), ("title", "url", "source", "scorer"))
ALERT = Measurement("alert", ("symbol", "source"), ("p_up",), (), ("text", "severity"))
PLUGIN = Measurement("plugin", ("name",), ("lag_s",), ("ok", "restarts", "lag"), ("state", "error"))
HUB = Measurement(
    "hub",
    (),
    (),
    (
        *("memory_bytes", "disk_free_bytes", "store_bytes", "wal_bytes", "minutes_missing", "mqtt_lag"),
        *("dropped", "rejected", "bars", "broker_connected"),
    ),
)
MEASUREMENTS = (BAR, FORECAST, FORECAST_TARGET, SCORE, SENTIMENT, ARTICLE, ALERT, PLUGIN, HUB)
"""What stands in the bucket; the long one holds LONG_BAR only."""


def lines(message: Message, now: int) -> list[str]:
    """The points that one message makes. `now` (ns) is the time of a message that has none of its own."""
    return [line for line in _WAYS[type(message)](message, now) if line is not None]


def _bar(bar: Bar, _now: int) -> Iterator[str | None]:
    yield BAR.line((bar.symbol, bar.interval), bar.__dict__, to_ms(bar.open_time) * 1_000_000)


def _forecast(forecast: Forecast, _now: int) -> Iterator[str | None]:
    tags = (forecast.symbol, str(forecast.horizon_minutes), forecast.model.name, forecast.role)
    times = {"open_time": to_ms(forecast.open_time), "target_time": to_ms(forecast.target_time)}
    values = forecast.__dict__ | times | {"version": forecast.model.version}
    yield FORECAST.line(tags, values, nanoseconds(forecast.made_at))
    yield FORECAST_TARGET.line(tags, values, nanoseconds(forecast.target_time))


def _score(score: Score, now: int) -> Iterator[str | None]:
    tags = (score.symbol, str(score.horizon_minutes), score.model.name, score.role)
    at = now if score.scored_at is None else nanoseconds(score.scored_at)
    yield SCORE.line(tags, score.__dict__ | {"version": score.model.version}, at)


def _sentiment(sentiment: Sentiment, _now: int) -> Iterator[str | None]:
    yield SENTIMENT.line((sentiment.asset,), sentiment.__dict__, nanoseconds(sentiment.hour))


def _article(article: Article, _now: int) -> Iterator[str | None]:
    published = None if article.published_at is None else to_ms(article.published_at)
    at = nanoseconds(article.collected_at) + offset(article.url, article.title)
    yield ARTICLE.line((article.asset,), article.__dict__ | {"published_at": published}, at)


def _alert(alert: Alert, now: int) -> Iterator[str | None]:
    p_up = None if alert.forecast is None else alert.forecast.p_up
    at = (now if alert.raised_at is None else nanoseconds(alert.raised_at)) + offset(alert.text)
    yield ALERT.line((alert.symbol, alert.source), alert.__dict__ | {"p_up": p_up}, at)


def _plugin(state: PluginState, now: int) -> Iterator[str | None]:
    yield PLUGIN.line((state.name,), state.__dict__ | {"ok": int(state.state == "running")}, now)


def _hub(health: HubHealth, _now: int) -> Iterator[str | None]:
    yield HUB.line((), health.__dict__, nanoseconds(health.at))


_WAYS: Mapping[type[Message], Callable[[Any, int], Iterator[str | None]]] = {
    Bar: _bar,
    Forecast: _forecast,
    Score: _score,
    Sentiment: _sentiment,
    Article: _article,
    Alert: _alert,
    PluginState: _plugin,
    HubHealth: _hub,
}
