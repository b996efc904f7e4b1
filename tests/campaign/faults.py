"""What happens to the house, one thing after the other; each returns how long it took to be well again."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hub.errors import HubError
from tests.brokers import Proxy
from tests.campaign.exchange import Says
from tests.campaign.house import House
from tests.disks import injected

CHANCE = random.Random(7)
HOSTILE_BODIES = [
    (500, b"oops"),
    (503, b""),
    (403, b"<html>Forbidden</html>"),
    (200, b"<!DOCTYPE html><title>Log in"),
    (200, b""),
    (200, b"null"),
    (200, b'{"bars": []}'),
    (200, bytes(range(256))),
    (200, b"[" * 50_000),
    (400, b'{"code":-1121,"msg":"Invalid symbol."}'),
    (200, b"[[1,2,3]]"),
    (200, b'[[1747699200000,"1e308","NaN","-1","1_000",true,1747699259999,"0",0,"0","0","0"]]'),
]
TOPICS = [
    *(f"bar/{symbol}/1m" for symbol in ("BTC-USDT", "ETH-USDT", "X" * 100)),
    *(
        "forecast/BTC-USDT/5m",
        "score/ETH-USDT/30m",
        "sentiment/BTC",
        "article/ETH",
        "alert/BTC-USDT",
        "dump",
        "model/manifest",
        "model/want",
    ),
    *("model/chunk/00/0", "model/state", "hub/state", "hub/info", "plugin/collector/state", "hub/ping"),
    *(f"hub/request/{verb}" for verb in ("health", "bars", "backfill", "dump", "model/promote", "plugin/restart", "no/such/verb")),
]
PAYLOADS = [
    b"",
    b"{}",
    b"null",
    b"\xff\xfe\x00",
    b"[" * 20_000,
    b'{"symbol":"BTC-USDT","interval":"1m","open_time":"2026-03-01T00:00:00Z","open":NaN,"high":1e999,"low":-1,"close":true}',
    b'{"symbol":"BTC-USDT","interval":"1m","open_time":"2026-03-01T00:00:00Z","open":1,"high":1,"low":1,"close":1,"source":"intruder"}',
    b'{"transaction":{"a":[' + b"1," * 5_000 + b"1]}}",
    b'{"day":"0000-13-99","symbol":"../../etc/passwd","days":1e18}',
    b"A" * 250_000,
]


@dataclass(frozen=True)
class Fault:
    """One line of the table."""

    name: str
    codes: str
    """In the catalogue of faults."""
    strike: Callable[[House], float]


def hub_killed(house: House) -> float:
    """Kills of everything together: the hub each time, the broker (which then forgets) and InfluxDB with it now and then."""
    time.sleep(CHANCE.uniform(0.0, 0.5))
    house.kill_hub()
    house.start_hub()
    return house.until_well()


def broker_killed(house: House) -> float:
    """Under the hub's hands, and it comes back empty."""
    time.sleep(CHANCE.uniform(0.0, 0.5))
    house.broker.kill()
    house.broker.forget()
    time.sleep(CHANCE.uniform(0.0, 0.5))
    house.broker.start()
    if CHANCE.random() < 0.5:
        house.kill_hub()
        house.start_hub()
    return house.until_well()


def influx_killed(house: House) -> float:
    time.sleep(CHANCE.uniform(0.0, 0.5))
    house.influx.kill()
    if CHANCE.random() < 0.5:
        house.kill_hub()
        house.start_hub()
    time.sleep(CHANCE.uniform(0.0, 1.0))
    house.influx.start()
    return house.until_well()


def power_cut(house: House) -> float:
    """All of the house at once."""
    house.kill_hub()
    house.broker.kill()
    house.influx.kill()
    house.sshd.__exit__(None, None, None)
    house.broker.forget()
    starts = [house.start_hub, house.broker.start, house.influx.start, house.sshd.__enter__]
    CHANCE.shuffle(starts)
    for start in starts:
        start()
    return house.until_well()


def broker_line_cut(house: House) -> float:
    """By a hub that has just begun: one whose connections never hold for half a minute waits longer and longer, as it should."""
    house.kill_hub()
    house.start_hub()
    house.until_well()
    house.with_line(house.broker_line, Proxy.cut)
    return house.until_well()


def influx_line_cut(house: House) -> float:
    time.sleep(CHANCE.uniform(0.0, 1.0))
    house.with_line(house.influx_line, Proxy.cut)
    return house.until_well()


def half_open(house: House) -> float:
    """Nothing arrives any more, and nobody says so: how long until it is noticed and mended."""

    def silent(on: bool) -> Callable[[Proxy], None]:
        return lambda line: setattr(line, "silent", on)

    house.with_line(house.broker_line, silent(True))
    noticed = house.until(lambda: not house.ask("health")["broker"]["connected"], "the half-open line is noticed", 45)
    assert noticed <= 30.0 + 5.0, noticed
    house.with_line(house.broker_line, silent(False))
    house.with_line(house.broker_line, Proxy.cut)
    return house.until_well()


def exchange_hostile(house: House) -> float:
    """Everything but an answer, for three minutes of the market."""

    def mood(_path: str) -> None:
        status, body = CHANCE.choice(HOSTILE_BODIES)
        raise Says(body, status)

    house.exchange.mood = mood
    time.sleep(3.0)
    house.exchange.mood = None
    return house.until_well()


def exchange_ban(house: House) -> float:
    """It bans the address for five minutes, and the hub is started anew meanwhile: nothing may be asked of it."""

    def mood(_path: str) -> None:
        until = house.exchange.now_ms() + 300_000
        raise Says(b'{"code":-1003,"msg":"Way too many requests; IP banned until %d."}' % until, 418)

    before = len(house.log)
    house.exchange.mood = mood
    house.until(lambda: "banned this address" in house.log[before:], "the ban is seen")
    time.sleep(0.5)  # what was on its way
    house.exchange.mood, asked = None, house.exchange.asked
    house.kill_hub()
    house.start_hub()
    time.sleep(2.0)
    assert house.exchange.asked == asked, "asked while banned"
    return house.until_well()


def clock_wrong(house: House) -> float:
    """The machine starts with its clock a day in the past, or in the future, and is put right at the next start."""
    house.kill_hub()
    house.start_hub(hours_off=CHANCE.choice((-24.0, 24.0)))
    house.until(lambda: house.ask("health"), "it runs with a wrong clock")
    time.sleep(2.0)
    house.kill_hub()
    house.start_hub()
    return house.until_well()


def syncs_fail(house: House) -> float:
    """A life on a card that fails at every twentieth sync."""
    house.kill_hub()
    house.start_hub(wrapped=lambda command: injected(command, "fdatasync:error=EIO:when=20+20"))
    house.until(lambda: house.ask("health"), "it runs on a failing disk")
    time.sleep(4.0)
    house.kill_hub()
    house.start_hub()
    return house.until_well()


def disk_full(house: House) -> float:
    """To the last byte, under the hub; and free again."""
    filler = house.data / "filler"
    with filler.open("ab") as file:
        try:
            while True:
                file.write(b"x" * (1 << 20))
                file.flush()
        except OSError:
            pass
    house.until(lambda: house.ask("health")["store"]["problem"], "the full disk is told")
    time.sleep(3.0)
    filler.unlink()
    return house.until_well()


def dumps_server_down(house: House) -> float:
    """Nobody takes the dump; it is brought when somebody does."""
    yesterday = house.exchange.clock.now().date().isoformat()
    house.sshd.__exit__(None, None, None)
    try:
        yesterday = house.ask("dump")["day"]
    except HubError:
        yesterday = max(folder.name for folder in (house.data / "etl").iterdir() if (folder / "manifest.json").exists())
    house.sshd.__enter__()
    house.kill_hub()
    house.start_hub()
    mine = house.data / "etl" / yesterday / "manifest.json"
    there = house.dumps / yesterday / "manifest.json"
    waited = house.until(lambda: there.exists() and _bytes(there) == _bytes(mine), "the dump arrives")
    return max(waited, house.until_well())


def _bytes(file: Path) -> bytes:
    return file.read_bytes()


def hostile_payloads(house: House) -> float:
    """On every topic of the hub, by somebody who may say everything."""
    for _ in range(60):
        topic = f"tickerml/{CHANCE.choice(TOPICS)}"
        house.witness.say(topic, CHANCE.choice(PAYLOADS), retain=CHANCE.random() < 0.1)
    return house.until_well()


FAULTS = [
    Fault("hub killed", "P2 K4", hub_killed),
    Fault("broker killed, back empty", "B2", broker_killed),
    Fault("InfluxDB killed", "D2", influx_killed),
    Fault("all killed at once", "B2 D2 K4", power_cut),
    Fault("line to the broker cut", "B3", broker_line_cut),
    Fault("line to the broker half-open", "B4", half_open),
    Fault("line to InfluxDB cut", "D5", influx_line_cut),
    Fault("exchange says anything but bars", "X3 X7 X9", exchange_hostile),
    Fault("exchange bans the address", "X2", exchange_ban),
    Fault("clock a day off at start", "K6", clock_wrong),
    Fault("syncs of the disk fail", "K3", syncs_fail),
    Fault("disk full", "K1", disk_full),
    Fault("nobody takes the dumps", "E2", dumps_server_down),
    Fault("hostile payloads", "B5 B10", hostile_payloads),
]
