"""The bus against a real mosquitto, and every way in which brokers, lines and neighbours fail."""

import asyncio
import ctypes
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from hub.clock import FastClock, SystemClock
from hub.errors import PermanentError, SettingsError, TransientError
from hub.messages import Alert, Article, Bar, Forecast, HubInfo, ModelId, Score, Sentiment
from hub.runtime.mqtt.bus import Bus
from hub.runtime.mqtt.outbox import Outbox
from hub.settings import MqttSettings
from hub.testing import START, bars
from hub.topics import MAX_PAYLOAD_BYTES, encode
from tests.brokers import Authority, Mosquitto, Proxy, Witness, captured_log, free_port
from tests.hub.test_outbox import FactsInMemory

BAR_TOPIC = "tickerml/bar/BTC-USDT/1m"
MODEL = ModelId(name="m", version="1", sha256="0" * 64)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as broker:
        yield broker


@asynccontextmanager
async def joined(port: int, *, speed: float = 5.0, wait: bool = True, keepalive_s: int = 15, **settings: Any) -> AsyncIterator[Bus]:
    """A bus at work, whose heartbeats and waits pass `speed` times as fast as real ones."""
    log, capture = captured_log()
    chosen = {"host": "127.0.0.1", "port": port} | settings
    bus = Bus(MqttSettings(**chosen), SystemClock(), log, network=FastClock(START, speed), keepalive_s=keepalive_s)
    bus.logged = capture.entries  # type: ignore[attr-defined]
    await bus.start()
    try:
        if wait:
            await asyncio.wait_for(bus.ready(), 20)
        yield bus
    finally:
        await bus.stop()


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    """Until it is so; the limit is only there so that a failure ends."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        await asyncio.sleep(0.02)


def said(bus: Any, words: str) -> list[str]:
    return [entry["event"] for entry in bus.logged if words in entry["event"]]


def paho_thread(bus: Bus) -> threading.Thread:
    [thread] = [each for each in threading.enumerate() if each.name == f"paho-mqtt-client-{bus.client_id}"]
    return thread


# --- the main job


async def test_a_published_bar_is_heard_by_anybody_and_by_us(mosquitto: Mosquitto) -> None:
    """Plugins talk over the broker, and so can every MQTT client."""
    with Witness(mosquitto.port) as witness:
        async with joined(mosquitto.port) as bus:
            assert bus.protocol == "5"
            heard = bus.subscribe([Bar])
            series = bars(*range(1, 301))
            assert await bus.publish_all(series) == [None] * 300
            assert [await anext(heard) for _ in series] == series
        await until(lambda: len(witness.on(BAR_TOPIC)) >= len(series))
        assert witness.on(BAR_TOPIC) == [encode(bar) for bar in series]


async def test_what_a_topic_holds_reaches_those_who_come_late(mosquitto: Mosquitto) -> None:
    """Bars are retained: a dashboard opened at any time has a price at once."""
    async with joined(mosquitto.port) as bus:
        await bus.publish(bars(1.0)[0])
        await bus.publish(Alert(symbol="BTC-USDT", source="test", text="up"))
    with Witness(mosquitto.port) as late:
        await until(lambda: late.on(BAR_TOPIC))
        assert not late.on("tickerml/alert/BTC-USDT")


async def test_raw_readers_are_told_what_was_retained(mosquitto: Mosquitto) -> None:
    """A retained request must be ignored, so its reader has to know."""
    with Witness(mosquitto.port) as witness:
        witness.say("tickerml/hub/request/health", b'{"transaction": 1}', retain=True)
        async with joined(mosquitto.port) as bus:
            requests = bus.subscribe_raw("hub/request/+")
            assert await anext(requests) == ("hub/request/health", b'{"transaction": 1}', True)
            witness.say("tickerml/hub/request/doctor", b"{}")
            assert await anext(requests) == ("hub/request/doctor", b"{}", False)
            await bus.publish_raw("hub/response/doctor", b"{}")
            outside = bus.subscribe_raw("homeassistant/status", rooted=False)
            await bus.publish_raw("hub/test", b"")
            witness.say("homeassistant/status", b"online")
            assert (await anext(outside)).topic == "homeassistant/status"
        await until(lambda: witness.on("tickerml/hub/response/doctor"))


async def test_the_hub_says_online_and_at_its_end_offline(mosquitto: Mosquitto) -> None:
    """Everybody can tell a quiet market from a hub that is gone."""
    with Witness(mosquitto.port) as witness:
        async with joined(mosquitto.port):
            await until(lambda: witness.on("tickerml/hub/state") == [b"online"])
        await until(lambda: witness.on("tickerml/hub/state") == [b"online", b"offline"])
        await until(lambda: "Client tickerml-hub disconnected" in mosquitto.log)


async def test_a_hub_that_vanishes_is_declared_offline_by_its_last_will(mosquitto: Mosquitto) -> None:
    """A dead hub cannot say so itself; and when it is back, it says that."""
    with Witness(mosquitto.port) as witness:
        async with Proxy(mosquitto.port) as line, joined(line.port) as bus:
            line.cut()
            await until(lambda: b"offline" in witness.on("tickerml/hub/state"))
            await until(lambda: bus.connected and witness.on("tickerml/hub/state")[-1] == b"online")


async def test_a_late_last_will_is_contradicted(mosquitto: Mosquitto) -> None:
    """Some brokers publish the will of the old connection after the new one's `online`."""
    with Witness(mosquitto.port) as witness:
        async with joined(mosquitto.port):
            witness.say("tickerml/hub/state", b"offline", retain=True)
            await until(lambda: witness.on("tickerml/hub/state")[-2:] == [b"offline", b"online"])


async def test_stopping_is_quick_with_and_without_a_broker(mosquitto: Mosquitto) -> None:
    """The hub has five seconds to stop; a broker that hangs must not use them up."""
    async with joined(mosquitto.port) as bus:
        with mosquitto.frozen():
            await asyncio.wait_for(bus.stop(), 3)
    async with joined(free_port(), wait=False) as bus:
        await asyncio.wait_for(bus.stop(), 3)


async def test_a_reader_is_told_when_the_bus_ends(mosquitto: Mosquitto) -> None:
    """A flow must not wait for ever on a bus that is no more."""
    async with joined(mosquitto.port) as bus:
        heard = bus.subscribe([Bar])
    assert [bar async for bar in heard] == []


# --- brokers that are away


async def test_a_broker_that_is_down_at_the_start_is_waited_for(tmp_path: Path) -> None:
    """B1: the hub collects without a broker, says why it is alone, and joins when there is one."""
    broker = Mosquitto(tmp_path)
    async with joined(broker.port, wait=False) as bus:
        await until(lambda: bus.last_error)
        assert "refuses connections" in str(bus.last_error)
        assert f"127.0.0.1:{broker.port}" in str(bus.last_error)
        with pytest.raises(TransientError, match="refuses connections"):
            await bus.publish(bars(1.0)[0])
        with broker:
            await asyncio.wait_for(bus.ready(), 20)
            assert bus.last_error is None
            await bus.publish(bars(1.0)[0])


async def test_all_topics_are_back_ten_seconds_after_the_broker_lost_everything(mosquitto: Mosquitto) -> None:
    """B2: nothing lives only in the broker."""
    [bar] = bars(100.0)
    later = START + timedelta(minutes=5)
    forecast = Forecast(
        symbol="BTC-USDT", horizon_minutes=5, open_time=START, made_at=START, target_time=later, last_close=100, price=101,
        low=99, high=103, p_up=0.6, direction="up", confidence=0.2, model=MODEL,
    )  # fmt: skip
    score = Score(
        symbol="BTC-USDT", horizon_minutes=5, n=1, skill=0.1, auc=None, hit_rate=None, brier=None, coverage=None, window="7d", model=MODEL
    )
    sentiment = Sentiment(asset="BTC", hour=START, score=0.1, articles=3, scorer="lexicon")
    info = HubInfo(version="0", started_at=START, symbols=("BTC-USDT",), plugins=())
    async with joined(mosquitto.port, speed=1) as bus:
        heard = bus.subscribe([Bar])
        assert await bus.publish_all([bar, forecast, score, sentiment]) == [None] * 4
        bus.announce("hub/info", encode(info))
        assert await anext(heard) == bar
        mosquitto.kill()
        mosquitto.forget()
        mosquitto.start()
        with Witness(mosquitto.port) as witness:
            wanted = {
                f"tickerml/{rest}"
                for rest in ("bar/BTC-USDT/1m", "forecast/BTC-USDT/5m", "score/BTC-USDT/5m", "sentiment/BTC", "hub/info", "hub/state")
            }
            await until(lambda: wanted <= {topic for topic, _, _ in witness.heard}, seconds=10)
        following = bars(1.0, 2.0)[1]
        await asyncio.wait_for(bus.ready(), 10)
        await bus.publish(following)
        assert await anext(heard) == following, "our own readers do not hear the first bar twice"


async def test_a_broker_that_kept_its_topics_is_not_told_again(mosquitto: Mosquitto) -> None:
    """Bars come once: after a cut, subscribers must not see the last one again."""
    series = bars(*range(1, 4))
    with Witness(mosquitto.port) as witness:
        async with Proxy(mosquitto.port) as line, joined(line.port) as bus:
            heard = bus.subscribe([Bar])
            await bus.publish_all(series[:2])
            line.cut()
            await until(lambda: not bus.connected)
            await asyncio.wait_for(bus.ready(), 20)
            await bus.publish(series[2])
            assert [await anext(heard) for _ in series] == series
        await until(lambda: len(witness.on(BAR_TOPIC)) >= 3)
        assert witness.on(BAR_TOPIC) == [encode(bar) for bar in series]


async def test_an_older_bar_in_the_broker_is_replaced(tmp_path: Path) -> None:
    """A broker restored from an old copy of its database shows yesterday's price until it is told."""
    old, new = bars(1.0, 2.0)
    broker = Mosquitto(tmp_path)
    with broker:
        async with Proxy(broker.port) as line, joined(line.port) as bus:
            await bus.publish_all([old, new])
            with Witness(broker.port) as witness:
                witness.say(BAR_TOPIC, encode(old), retain=True)
                line.cut()
                await until(lambda: not bus.connected)
                await asyncio.wait_for(bus.ready(), 20)
                await until(lambda: witness.on(BAR_TOPIC)[-1] == encode(new))


async def test_bars_recorded_during_an_outage_all_arrive_in_order_once(mosquitto: Mosquitto) -> None:
    """B3: the store holds what the broker misses; paho's queue in RAM holds nothing."""
    first, rest = bars(1.0), bars(*range(1, 2401))[1:]
    store = FactsInMemory(first)
    async with Proxy(mosquitto.port) as line, joined(line.port) as bus:
        outbox = Outbox(store, bus, captured_log()[0], network=FastClock(START, 5.0))
        pump = asyncio.create_task(outbox.pump())
        await until(lambda: store.at == 1)
        mosquitto.kill()
        for bar in rest:
            store.record([bar])
            outbox.ring()
        await until(lambda: not bus.connected)
        await asyncio.sleep(0.2)
        assert store.at == 1
        line.shut = True
        mosquitto.start()
        with Witness(mosquitto.port, "tickerml/bar/#") as witness:
            line.shut = False  # not before somebody listens
            await until(lambda: store.at == 2400, seconds=60)
            expected = [encode(bar) for bar in rest]
            await until(lambda: len(witness.on(BAR_TOPIC)) >= len(rest))
            live = [payload for payload in witness.on(BAR_TOPIC) if payload != encode(first[0])]
            assert live == expected[len(expected) - len(live) :]
            assert len(live) >= len(expected) - 600, "the witness may have missed what went out before it was back"
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)
    assert store.largest_batch <= 500


async def test_cuts_in_the_middle_of_a_flood_lose_nothing_and_repeat_nothing(mosquitto: Mosquitto) -> None:
    """The line may break between a message and its acknowledgement, at any message."""
    series = bars(*range(1, 4001))
    store = FactsInMemory(series)
    with Witness(mosquitto.port, "tickerml/bar/#") as witness:
        async with Proxy(mosquitto.port) as line, joined(line.port, speed=20) as bus:
            outbox = Outbox(store, bus, captured_log()[0], network=FastClock(START, 20.0))
            pump = asyncio.create_task(outbox.pump())
            for passed in (300, 900, 1700, 2600):
                await until(lambda: store.at >= passed or len(witness.heard) >= passed)  # noqa: B023 - it is awaited here
                line.cut()
            await until(lambda: store.at == 4000, seconds=60)
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)
        await until(lambda: len(witness.on(BAR_TOPIC)) >= 4000)
        assert witness.on(BAR_TOPIC) == [encode(bar) for bar in series]


# --- lines and threads that look alive


async def test_a_half_open_line_is_noticed_and_replaced(mosquitto: Mosquitto) -> None:
    """B4: TCP can stay open for a quarter of an hour while nothing arrives."""
    async with Proxy(mosquitto.port) as line, joined(line.port) as bus:
        line.silent = True
        publishing = asyncio.create_task(bus.publish(bars(1.0)[0]))
        await until(lambda: not bus.connected, seconds=30)
        with pytest.raises(TransientError):
            await publishing
        line.silent = False
        await asyncio.wait_for(bus.ready(), 40)
        await bus.publish(bars(1.0)[0])
        assert line.connections > 1
        assert said(bus, "no sign of life")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_dead_mqtt_thread_is_noticed_and_replaced(mosquitto: Mosquitto) -> None:
    """B5: paho goes on claiming to be connected when its thread has died."""
    async with joined(mosquitto.port) as bus:
        victim = paho_thread(bus)
        assert victim.ident is not None
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(victim.ident), ctypes.py_object(SystemExit))
        await until(lambda: not victim.is_alive())
        await until(lambda: not bus.connected, seconds=30)
        await asyncio.wait_for(bus.ready(), 30)
        await bus.publish(bars(1.0)[0])
        assert paho_thread(bus) is not victim


async def test_a_poisonous_payload_is_rejected_and_the_next_message_goes_on(mosquitto: Mosquitto) -> None:
    """B5: anybody may publish anything; it must cost us one line in the log and nothing else."""
    [bar] = bars(100.0)
    poison = [b"", b"null", b"\xff\xfe", b"{}", b"[" * 100_000, encode(bar).replace(b"100.0", b"NaN"), b"x" * (MAX_PAYLOAD_BYTES + 1)]
    with Witness(mosquitto.port) as witness:
        async with joined(mosquitto.port) as bus:
            heard = bus.subscribe([Bar])
            await bus.publish_raw("hub/test", b"")
            for payload in poison:
                witness.say(BAR_TOPIC, payload)
            witness.say("tickerml/bar/ETH-USDT/1m", encode(bar))
            witness.say(BAR_TOPIC, encode(bar))
            assert await anext(heard) == bar
            assert bus.rejected == len(poison), "all but the empty one, which only clears a topic, and the one on a foreign topic"
            assert len(said(bus, f"rejected a payload on topic '{BAR_TOPIC.removeprefix('tickerml/')}'")) == 1, "once a minute and topic"
            assert bus.connected


async def test_a_handler_that_blocks_the_hub_does_not_cost_the_connection(mosquitto: Mosquitto) -> None:
    """B6: the keepalive lives in a thread of its own, so a plugin that computes for 10 s does not throw us off the broker."""
    async with joined(mosquitto.port, speed=1, keepalive_s=5) as bus:
        thread = paho_thread(bus)
        time.sleep(10)  # noqa: ASYNC251 - this is the fault
        await bus.publish(bars(1.0)[0])
        assert bus.connected
        assert paho_thread(bus) is thread
        assert not said(bus, "offline")


async def test_a_flood_costs_messages_and_not_the_hub(mosquitto: Mosquitto) -> None:
    """B7: a reader that is too slow loses the oldest; the bus stays alive, and says what was lost."""
    alert = Alert(symbol="BTC-USDT", source="test", text="boo", raised_at=START)
    with Witness(mosquitto.port, "nothing") as witness:
        async with joined(mosquitto.port, speed=1) as bus:
            slow = bus.subscribe([Alert])
            raw = bus.subscribe_raw("alert/#")
            await bus.publish_raw("hub/test", b"")
            for burst in range(5):
                payload = encode(alert.model_copy(update={"text": str(burst)}))
                await asyncio.to_thread(witness.shout, "tickerml/alert/BTC-USDT", payload, 1_000)
            await until(lambda: raw.dropped >= 500)
            assert bus.dropped >= raw.dropped
            assert said(bus, "too slow")
            assert await anext(slow) == alert.model_copy(update={"text": "0"})
            assert bus.connected


# --- what may not be said


async def test_a_message_that_the_broker_would_not_take_is_never_sent(tmp_path: Path) -> None:
    """B8: paho would send it, be thrown out, and send it again, for ever."""
    with Mosquitto(tmp_path, conf="max_packet_size 100000") as broker:
        async with joined(broker.port) as bus:
            for size in (100_001, MAX_PAYLOAD_BYTES + 1):
                with pytest.raises(PermanentError, match="too large"):
                    await bus.publish_raw("hub/test", b"x" * size)
            await bus.publish_raw("hub/test", b"x" * 90_000)
            assert bus.connected
            assert not said(bus, "offline")


async def test_a_limit_that_the_broker_keeps_to_itself_is_learnt(tmp_path: Path) -> None:
    """B8: message_size_limit is not announced; the first message costs a connection, the second must not."""
    with Mosquitto(tmp_path, conf="message_size_limit 50000") as broker:
        async with joined(broker.port) as bus:
            for _ in range(5):
                with pytest.raises((TransientError, PermanentError)) as refused:
                    await bus.publish_raw("hub/test", b"x" * 60_000)
                await asyncio.wait_for(bus.ready(), 20)
            assert isinstance(refused.value, PermanentError)
            await bus.publish_raw("hub/test", b"x" * 40_000)
            assert len(said(bus, "offline")) <= 1


@pytest.mark.parametrize(
    "login", [{}, {"username": "hub", "password": SecretStr("wrong")}, {"username": "nobody", "password": SecretStr("x")}]
)
async def test_a_refused_login_names_user_and_broker_and_causes_no_storm(tmp_path: Path, login: dict[str, Any]) -> None:
    """B9: a wrong password stays wrong; trying it every second only fills the broker's log."""
    with Mosquitto(tmp_path, users={"hub": "right"}) as broker:
        async with joined(broker.port, wait=False, speed=1, **login) as bus:
            await until(lambda: bus.last_error)
            await asyncio.sleep(1.5)
            assert repr(login["username"]) in str(bus.last_error) if login else "without user name" in str(bus.last_error)
            assert f"127.0.0.1:{broker.port}" in str(bus.last_error)
            assert "mqtt.password" in str(bus.last_error)
            assert len(said(bus, "refuses")) == 1
            assert "wrong" not in str(bus.last_error).replace("wrong user name", ""), "no password is shown"
        assert broker.log.count("New client connected") <= 0
        assert broker.log.count("New connection from") <= 2 + 2 * 3


async def test_a_forbidden_topic_is_named_with_its_user(tmp_path: Path) -> None:
    """B9: only MQTT 5 says so at all; paho takes the refusal for success."""
    acl = "user hub\ntopic readwrite tickerml/hub/#\ntopic readwrite tickerml/bar/#\ntopic read tickerml/#\n"
    with Mosquitto(tmp_path, users={"hub": "pw"}, acl=acl) as broker:
        async with joined(broker.port, username="hub", password=SecretStr("pw")) as bus:
            with pytest.raises(TransientError, match="user 'hub' publish on 'tickerml/alert/BTC-USDT'"):
                await bus.publish(Alert(symbol="BTC-USDT", source="test", text="up"))
            await bus.publish(bars(1.0)[0])
            assert said(bus, "alert/BTC-USDT")
            assert bus.connected


@pytest.mark.parametrize(
    "acl", ["topic readwrite tickerml/bar/#", "topic readwrite tickerml/bar/#\ntopic read tickerml/#\n", "topic write tickerml/#"]
)
async def test_a_hub_that_may_not_hear_itself_says_so_and_works(tmp_path: Path, acl: str) -> None:
    """B9: mosquitto 2.0 grants subscriptions that it never serves; only an echo is proof."""
    with Mosquitto(tmp_path, users={"hub": "pw"}, acl=f"user hub\n{acl}\n") as broker:
        async with joined(broker.port, username="hub", password=SecretStr("pw"), speed=20) as bus:
            assert said(bus, "'tickerml/hub/ping'")
            await bus.publish(bars(1.0)[0])
            await asyncio.sleep(2)
            assert bus.connected, "that it is deaf is no reason to reconnect for ever"
            assert not said(bus, "offline")


# --- neighbours


async def test_repeated_and_shuffled_bars_are_heard_once_and_in_order(mosquitto: Mosquitto) -> None:
    """B10: MQTT may deliver twice, and others may replay; a reader's state must not be moved backwards."""
    series = bars(*range(1, 41))
    replayed = series * 3
    random.Random(1).shuffle(replayed)
    with Witness(mosquitto.port) as witness:
        async with joined(mosquitto.port) as bus:
            heard = bus.subscribe([Bar])
            await bus.publish_raw("hub/test", b"")
            for bar in [*replayed, *series]:
                witness.say(BAR_TOPIC, encode(bar))
            got = [await anext(heard)]
            while got[-1] != series[-1]:
                got.append(await anext(heard))
            assert [bar.open_time for bar in got if isinstance(bar, Bar)] == sorted({bar.open_time for bar in got if isinstance(bar, Bar)})


async def test_two_hubs_with_one_id_do_not_throw_each_other_out_for_ever(mosquitto: Mosquitto) -> None:
    """B11: one gives way for five minutes, and both say who is in the way."""
    async with joined(mosquitto.port, speed=10) as one, joined(mosquitto.port, wait=False, speed=10) as other:
        await until(lambda: "another hub is using client id 'tickerml-hub'" in f"{one.last_error} {other.last_error}", seconds=60)
        loser, winner = (one, other) if one.last_error and "another hub" in one.last_error else (other, one)
        await asyncio.wait_for(winner.ready(), 20)
        assert loser.takeovers >= 1
        await asyncio.sleep(2)
        assert winner.connected
        assert not loser.connected


async def test_a_line_that_keeps_breaking_is_not_taken_for_another_hub(mosquitto: Mosquitto) -> None:
    """B11: giving way for five minutes would be wrong where nobody is in the way."""
    async with Proxy(mosquitto.port) as line, joined(line.port, speed=6) as bus:
        for _ in range(6):
            line.cut()
            await until(lambda: not bus.connected)
            await asyncio.wait_for(bus.ready(), 20)
        assert bus.takeovers == 0


# --- TLS


@pytest.mark.parametrize(
    ("begins", "ends", "trusted", "words"),
    [
        (-2, 2, True, None),
        (-4, -2, True, "has expired"),
        (2, 4, True, "is not valid yet; this machine's clock says"),
        (-2, 2, False, "is not signed by"),
    ],
)
async def test_trouble_with_a_certificate_is_told_apart(tmp_path: Path, begins: int, ends: int, trusted: bool, words: str | None) -> None:
    """B12: renewing a certificate, setting a clock and naming an authority are three different jobs."""
    now = datetime.now(UTC)
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    certificate = authority.certificate("broker", now + timedelta(days=begins), now + timedelta(days=ends))
    with Mosquitto(tmp_path, certificate=certificate) as broker:
        ca_file = authority.file if trusted else stranger.file
        async with joined(broker.port, wait=False, host="localhost", tls=True, ca_file=ca_file) as bus:
            await until(lambda: bus.last_error or bus.connected)
            assert bus.connected == (words is None)
            assert (words or "") in str(bus.last_error)
            if words is None:
                await bus.publish(bars(1.0)[0])


async def test_tls_against_none_and_none_against_tls_are_explained(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """B12: the most common mistake is the wrong port."""
    authority = Authority(tmp_path)
    now = datetime.now(UTC)
    certificate = authority.certificate("broker", now - timedelta(days=1), now + timedelta(days=1), host="elsewhere")
    async with joined(mosquitto.port, wait=False, tls=True) as bus:
        await until(lambda: bus.last_error)
        assert "mqtt.tls" in str(bus.last_error)
    folder = tmp_path / "tls"
    folder.mkdir()
    with Mosquitto(folder, certificate=certificate) as broker:
        async with joined(broker.port, wait=False) as bus:
            await until(lambda: bus.last_error)
            assert "mqtt.tls" in str(bus.last_error)
        async with joined(broker.port, wait=False, host="localhost", tls=True, ca_file=authority.file) as bus:
            await until(lambda: bus.last_error)
            assert "another name" in str(bus.last_error)


async def test_an_unusable_authority_file_refuses_the_start(tmp_path: Path) -> None:
    """A wrong path will not get better by waiting."""
    (tmp_path / "junk.pem").write_text("junk")
    for name in ("absent.pem", "junk.pem"):
        with pytest.raises(SettingsError, match=r"mqtt\.ca_file"):
            async with joined(1, tls=True, ca_file=tmp_path / name):
                pass


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 70 + ".invalid"])
async def test_an_unknown_host_is_named(host: str) -> None:
    """A typing mistake in mqtt.host must not look like a broken network."""
    async with joined(1883, wait=False, host=host) as bus:
        await until(lambda: bus.last_error)
        assert "mqtt.host" in str(bus.last_error)


async def test_articles_and_alerts_reach_only_those_who_asked_for_their_kind(mosquitto: Mosquitto) -> None:
    """A reader of alerts is not woken by articles."""
    async with joined(mosquitto.port) as bus:
        alerts = bus.subscribe([Alert])
        articles = bus.subscribe([Article, Sentiment])
        await bus.publish(Article(asset="BTC", title="t", url="u", source="s", published_at=None, collected_at=START))
        await bus.publish(Alert(symbol="BTC-USDT", source="test", text="up"))
        assert isinstance(await anext(alerts), Alert)
        assert isinstance(await anext(articles), Article)
        articles.close()
        assert [item async for item in articles] == []
