"""The wire's vocabulary against everything that can arrive on a wire: 10,000 hostile payloads for each topic."""

import copy
import json
import pickle
import random
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub.messages import Bar, Message
from hub.testing import START, bars
from hub.topics import MAX_PAYLOAD_BYTES, decode, encode, topic_of

RFC_3339 = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})")
MODEL = {"name": "transformer", "version": "1.0", "sha256": "ab" * 32}
TIME = "2025-05-20T00:00:00Z"
GOOD: dict[str, dict[str, Any]] = {
    "bar/BTC-USDT/1m": json.loads(encode(bars(100.0, volume=3.0, trades=4)[0])),
    "gap/BTC-USDT": {"symbol": "BTC-USDT", "first_open_time": TIME, "last_open_time": TIME, "reason": "exchange: no data"},
    "sentiment/BTC": {"asset": "BTC", "hour": TIME, "score": -0.5, "articles": 3, "scorer": "lexicon"},
    "article/BTC": {"asset": "BTC", "title": "t", "url": "https://x", "source": "s", "published_at": None, "collected_at": TIME},
    "forecast/BTC-USDT/5m": {
        "symbol": "BTC-USDT",
        "horizon_minutes": 5,
        "open_time": TIME,
        "made_at": TIME,
        "target_time": TIME,
        "last_close": 100.0,
        "price": 101.0,
        "low": 99.0,
        "high": 102.0,
        "p_up": 0.6,
        "direction": "up",
        "confidence": 0.2,
        "model": MODEL,
    },
    "score/BTC-USDT/5m": {
        "symbol": "BTC-USDT",
        "horizon_minutes": 5,
        "n": 10,
        "skill": 0.1,
        "auc": 0.5,
        "hit_rate": None,
        "brier": 0.2,
        "coverage": 0.8,
        "window": "7d",
        "model": MODEL,
        "role": "shadow",
        "scored_at": TIME,
    },
    "alert/BTC-USDT": {"symbol": "BTC-USDT", "source": "volatility", "text": "it moved"},
    "plugin/collector/state": {"name": "collector", "state": "running", "since": TIME, "lag": 3, "lag_s": 61.5},
    "hub/info": {"version": "0.1.0", "started_at": TIME, "symbols": ["BTC-USDT"], "plugins": ["collector"]},
    "hub/health": {
        "at": TIME,
        "memory_bytes": 60_000_000,
        "disk_free_bytes": 10**10,
        "store_bytes": 10**6,
        "wal_bytes": 0,
        "minutes_missing": 0,
        "mqtt_lag": 0,
        "dropped": 0,
        "rejected": 0,
        "broker_connected": True,
        "bars": 1,
    },
}
HEALTH_COUNTS = {
    "memory_bytes",
    "disk_free_bytes",
    "store_bytes",
    "wal_bytes",
    "minutes_missing",
    "mqtt_lag",
    "dropped",
    "rejected",
    "bars",
}
POSITIVE = {"open", "high", "low", "close", "price", "last_close"}
NOT_NEGATIVE = {
    "volume",
    "quote_volume",
    "taker_buy_volume",
    "trades",
    "articles",
    "n",
    "tries",
    "restarts",
    "lag",
    "lag_s",
} | HEALTH_COUNTS
PROBABLE = {"p_up", "confidence", "auc", "hit_rate", "brier", "coverage"}
WHOLE = {"trades", "articles", "n", "tries", "restarts", "horizon_minutes", "lag"} | HEALTH_COUNTS

NASTY = [
    *(
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "-1",
        "-0.0",
        "0",
        "1e308",
        "9" * 20,
        "1" * 400,
        "true",
        '"1"',
        '"1_000"',
        "1.5",
        "01",
        "null",
        "[]",
        "{}",
    ),
    *(
        "1747699200",
        "1.5e9",
        '"1747699200"',
        '"1747699200000"',
        '"-1"',
        '"now"',
        '"2025-05-20"',
        '"2025-05-20T00:00:00"',
        '"2025-05-20T00:00Z"',
    ),
    *(
        '"2025-02-30T00:00:00Z"',
        '"0000-00-00T00:00:00Z"',
        '"2025-05-20T00:00:30Z"',
        '"2025-05-20T24:00:00Z"',
        '"2025-05-20t05:30:00+05:30"',
    ),
    *('"9999-12-31T23:59:00-23:59"', '"0001-01-01T00:00:00+23:59"', '"2025-05-20T23:59:60Z"', '"\u0662\u0660\u0662\u0665-05-20T00:00:00Z"'),
    *('"BTC/USDT"', '"btc-usdt"', '"BTC-USDT\\n"', '"+"', '"#"', '"\\u0000"', '"\\ud800"', '"BTC-USDT-X"', '""', '"' + "X" * 5000 + '"'),
    *('{"symbol":1}', "[" * 300 + "]" * 300, '{"a":' * 300 + "1" + "}" * 300),
]
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
).map(json.dumps)


def hostile(good: dict[str, Any], chance: random.Random) -> bytes:
    """A payload that is wrong somewhere, or everywhere, or perhaps not at all."""
    fields = {key: json.dumps(value) for key, value in good.items()}
    for _ in range(chance.randrange(4)):
        fields[chance.choice(list(good))] = chance.choice(NASTY)
    if chance.random() < 0.1:
        del fields[chance.choice(list(good))]
    payload = ("{" + ",".join(f'"{key}":{value}' for key, value in fields.items()) + "}").encode(errors="surrogatepass")
    way, at = chance.randrange(8), chance.randrange(len(payload))
    if way == 0:
        return payload[:at] + chance.randbytes(chance.randrange(4)) + payload[at + chance.randrange(3) :]
    if way == 1:
        return payload[:at]
    return chance.randbytes(chance.randrange(200)) if way == 2 else payload


def check(topic: str, message: Message, payload: bytes) -> None:
    """What was accepted, judged by other means than those that accepted it."""
    plain = json.loads(payload)
    assert isinstance(plain, dict)
    assert topic_of(message) == topic
    for key, value in plain.items():
        if key not in type(message).model_fields or value is None:
            continue
        if key in POSITIVE | NOT_NEGATIVE | PROBABLE | {"score", "skill", "last_outcome", "horizon_minutes"}:
            assert type(value) in (int, float), (key, value)
            assert abs(value) <= sys.float_info.max, (key, value)
        if key in POSITIVE:
            assert value > 0
        if key in NOT_NEGATIVE:
            assert value >= 0
        if key in PROBABLE:
            assert 0 <= value <= 1
        if key in WHOLE:
            assert value == int(value)
            assert value < 2**63, "the store's integers have 64 bits"
        if key.endswith(("_time", "_at")) or key in {"hour", "since", "at"}:
            assert isinstance(value, str), (key, value)
            assert RFC_3339.fullmatch(value), (key, value)
            assert getattr(message, key).utcoffset() == timedelta(0)
    assert getattr(message, "role", "live") in {"live", "shadow"}
    if isinstance(message, Bar):
        assert 0 < message.low <= min(message.open, message.close) <= max(message.open, message.close) <= message.high
        assert message.open_time.second == message.open_time.microsecond == 0


def attack(topic: str, payload: bytes) -> bool:
    """Whether the payload was let in; it may be only if it deserves it."""
    try:
        message = decode(topic, payload)
    except ValueError:
        return False
    check(topic, message, payload)
    assert decode(topic, encode(message)) == message
    return True


@pytest.mark.parametrize("topic", GOOD)
def test_ten_thousand_hostile_payloads_crash_nothing_and_slip_nothing_through(topic: str) -> None:
    """Anybody who reaches the broker can publish anything; a wrong price that is believed is worse than none."""
    let_in = 0

    @settings(max_examples=100, deadline=None, database=None)
    @given(st.integers(0, 2**64))
    def attack_a_hundred_times(seed: int) -> None:
        nonlocal let_in
        chance = random.Random(seed)
        let_in += sum(attack(topic, hostile(GOOD[topic], chance)) for _ in range(100))

    attack_a_hundred_times()
    assert let_in, "an attack that is never let in proves nothing"


@given(st.sampled_from(sorted(GOOD)), st.data())
@settings(max_examples=500, deadline=None)
def test_any_json_in_any_field_crashes_nothing(topic: str, data: st.DataObject) -> None:
    """What no list of nasty values has thought of."""
    field, value = data.draw(st.sampled_from(sorted(GOOD[topic]))), data.draw(any_json)
    fields = {key: json.dumps(good) for key, good in GOOD[topic].items()} | {field: value}
    attack(topic, ("{" + ",".join(f'"{key}":{text}' for key, text in fields.items()) + "}").encode(errors="surrogatepass"))
    attack(topic, value.encode(errors="surrogatepass"))


@pytest.mark.parametrize("topic", GOOD)
def test_a_good_message_survives_the_journey(topic: str) -> None:
    """Encoding and decoding must lose nothing, for every kind."""
    message = decode(topic, json.dumps(GOOD[topic]).encode())
    assert decode(topic, encode(message)) == message
    assert topic_of(message) == topic


prices = st.floats(min_value=1e-12, max_value=1e12, allow_nan=False)
amounts = st.none() | st.floats(min_value=0, max_value=1e15)
minutes = st.integers(0, 10_000_000).map(lambda minute: datetime(2017, 1, 1, tzinfo=UTC) + timedelta(minutes=minute))


@given(st.tuples(prices, prices, prices, prices), amounts, st.none() | st.integers(0, 2**53), minutes)
@example((1e-12, 1e-12, 1e-12, 1e-12), None, None, START)
@settings(deadline=None)
def test_every_possible_bar_arrives_as_it_was_sent(four: tuple[float, ...], volume: float | None, trades: int | None, at: datetime) -> None:
    """Prices are floats on both sides; not a bit may change on the way."""
    low, one, other, high = sorted(four)
    bar = Bar(symbol="A-B", open_time=at, open=one, high=high, low=low, close=other, volume=volume, trades=trades, source="x")
    assert decode(topic_of(bar), encode(bar)) == bar


def test_times_leave_as_rfc_3339_with_a_z() -> None:
    """Every reader, in every language, must take them for UTC."""
    assert json.loads(encode(bars(1.0)[0]))["open_time"] == TIME


@pytest.mark.parametrize("stamp", ["1747699200", "1747699200000", "1747699200.5", "-1", "9999-12-31T23:59:00-23:59"])
def test_a_number_in_quotes_is_no_time(stamp: str) -> None:
    """Seconds or milliseconds? Nobody could tell; the wire has RFC 3339 only."""
    fields = GOOD["bar/BTC-USDT/1m"] | {"open_time": stamp}
    with pytest.raises(ValueError, match="open_time"):
        decode("bar/BTC-USDT/1m", json.dumps(fields).encode())


def test_an_over_long_payload_is_refused_before_it_is_read() -> None:
    """Parsing a hostile megabyte costs more than receiving it."""
    with pytest.raises(ValueError, match="larger than"):
        decode("bar/BTC-USDT/1m", b"x" * (MAX_PAYLOAD_BYTES + 1))


def test_unknown_fields_are_ignored() -> None:
    """A newer hub may say more than an older one understands."""
    assert decode("alert/BTC-USDT", json.dumps(GOOD["alert/BTC-USDT"] | {"mood": "grim"}).encode())


def test_a_trusted_message_is_like_any_other() -> None:
    """It is made past pydantic's front door; nobody who is handed one may notice."""
    [checked] = bars(100.0, volume=3.0, trades=4)
    [trusted] = Bar.trusted([dict(checked)])
    assert trusted == checked
    assert encode(trusted) == encode(checked)
    assert pickle.loads(pickle.dumps(trusted)) == trusted.model_copy() == copy.deepcopy(trusted) == checked
    assert trusted.model_copy(update={"volume": 4.0}).volume == 4.0
    assert trusted.volume == 3.0
    assert trusted.close_time == checked.close_time
    with pytest.raises(ValueError, match="frozen"):
        trusted.close = 1.0  # type: ignore[misc]


def test_a_message_cannot_be_changed() -> None:
    """It is something that has happened."""
    with pytest.raises(ValueError, match="frozen"):
        bars(1.0)[0].close = 2.0  # type: ignore[misc]
