"""Home Assistant's own code takes what we announce: every entity, in every order of restarts, and away again."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plugins.homeassistant.discovery import devices
from tests.brokers import Mosquitto
from tests.homeassistant.home import Home
from tests.hubs import hub, log_until, running, status_until, write_values

pytestmark = [pytest.mark.homeassistant, pytest.mark.timeout(600)]
PLUGINS: dict[str, Any] = {
    "collector": {"source": "simulated", "backfill": "27h"},
    "inference": {"patience": "4m"},
    "scorecard": {},
    "news": {"simulated": True, "ollama": {"enabled": False}},
    "alerts": {"rules": [{"when": "forecast", "confidence": 0.5, "unproven": True, "cooldown": "0s"}]},
    "homeassistant": {},
}
SYMBOLS = ["BTC/USDT", "ETH/USDT"]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    (tmp_path / "broker").mkdir()
    with Mosquitto(tmp_path / "broker") as mosquitto:
        yield mosquitto


def configure(home: Path, broker: Mosquitto, symbols: list[str] = SYMBOLS, **plugins: Any) -> Path:
    home.mkdir(exist_ok=True)
    sections = {name: section for name, section in (PLUGINS | plugins).items() if section is not None}
    write_values(home, symbols=symbols, mqtt={"port": broker.port, "embedded": False}, clock={"speed": 60}, plugins=sections)
    return home


def expected(symbols: list[str] = SYMBOLS, plugins: list[str] | None = None) -> set[str]:
    """Entity ids by the table."""
    told = devices("tickerml", [symbol.replace("/", "-") for symbol in symbols], plugins or list(PLUGINS))
    return {
        each["default_entity_id"] for payload in told.values() for each in payload["components"].values() if "default_entity_id" in each
    }


def all_there(house: Home, wanted: set[str]) -> bool:
    return set(house.states()) == wanted


def alive(house: Home) -> bool:
    states = house.states()
    return all(
        states.get(each, {}).get("state") not in {None, "unavailable", "unknown"}
        for each in ("sensor.tickerml_btc_usdt_price", "sensor.tickerml_btc_usdt_forecast_5m")
    )


def test_every_entity_is_there_with_state_unit_device_and_availability(tmp_path: Path, broker: Mosquitto) -> None:
    home = configure(tmp_path / "hub", broker)
    with Home("entities", broker.port) as house, running(home) as process:
        house.until(lambda: all_there(house, expected()), 60)
        house.until(lambda: alive(house), 60)
        states = house.states()
        price = states["sensor.tickerml_btc_usdt_price"]["attributes"]
        assert (price["unit_of_measurement"], price["state_class"], price.get("device_class")) == ("USDT", "measurement", None)
        forecast = states["sensor.tickerml_btc_usdt_forecast_30m"]["attributes"]
        assert (forecast["unit_of_measurement"], "state_class" in forecast, "low" in forecast) == ("USDT", False, True)
        direction = states["sensor.tickerml_eth_usdt_direction_5m"]
        assert (direction["attributes"]["device_class"], direction["attributes"]["options"]) == ("enum", ["up", "down"])
        assert direction["state"] in {"up", "down"}
        confidence = states["sensor.tickerml_btc_usdt_confidence_10m"]
        assert confidence["attributes"]["unit_of_measurement"] == "%"
        assert 50.0 <= float(confidence["state"]) <= 100.0
        assert states["binary_sensor.tickerml_plugin_collector"]["attributes"]["device_class"] == "problem"
        assert states["binary_sensor.tickerml_plugin_collector"]["state"] == "off"
        assert states["update.tickerml_model"]["state"] == "off"
        house.until(lambda: house.states()["event.tickerml_btc_usdt_alert"]["state"] not in {"unknown", "unavailable"}, 60)
        assert house.states()["event.tickerml_btc_usdt_alert"]["attributes"]["event_type"] == "info"
        assert house.says("{{ device_attr('sensor.tickerml_btc_usdt_price', 'name') }}") == "BTC/USDT"
        assert house.says("{{ device_attr(device_attr('sensor.tickerml_btc_usdt_price', 'via_device_id'), 'name') }}") == "TickerML"
        process.kill()
        house.until(lambda: house.states()["sensor.tickerml_btc_usdt_price"]["state"] == "unavailable", 60)
        assert "Error" not in house.log(), house.log()[-3000:]


def test_in_every_order_of_restarts_the_states_come_back(tmp_path: Path, broker: Mosquitto) -> None:
    """The hub first; then Home Assistant again; then a broker that has forgotten everything; then the hub again."""
    home, house = configure(tmp_path / "hub", broker), Home("restarts", broker.port)
    try:
        with running(home):
            status_until(home, lambda shown: shown.get("running"))
            log_until(home, "connected to the broker")
            house.start()
            house.until(lambda: all_there(house, expected()) and alive(house), 90)
            house.stop()
            house.start()
            house.until(lambda: all_there(house, expected()) and alive(house), 90)
            broker.kill()
            broker.forget()
            broker.start()
            house.until(lambda: alive(house), 90)
        house.until(lambda: house.states()["sensor.tickerml_btc_usdt_price"]["state"] == "unavailable", 60)
        with running(home):
            house.until(lambda: all_there(house, expected()) and alive(house), 90)
    finally:
        house.__exit__(None, None, None)


def test_what_is_removed_goes_and_what_is_added_comes(tmp_path: Path, broker: Mosquitto) -> None:
    """A symbol and a plugin, while all run; and all of it when the plugin itself is removed with the hub's next start."""
    home = configure(tmp_path / "hub", broker)
    with Home("removals", broker.port) as house, running(home) as process:
        house.until(lambda: all_there(house, expected()), 60)
        configure(home, broker, ["BTC/USDT", "SOL/USDT"], scorecard=None)
        process.send_signal(signal.SIGHUP)
        log_until(home, "configuration reloaded")
        left = expected(["BTC/USDT", "SOL/USDT"], [name for name in PLUGINS if name != "scorecard"])
        end = time.monotonic() + 60
        while not all_there(house, left):
            assert time.monotonic() < end, (set(house.states()) ^ left, house.log()[-2000:])
            time.sleep(0.5)
        assert house.says("{{ device_id('sensor.tickerml_eth_usdt_price') }}") == "None"
        time.sleep(1.0)
        assert all_there(house, left)


def test_a_model_in_shadow_is_an_update_that_can_be_installed(tmp_path: Path, broker: Mosquitto) -> None:
    from tests.offers import other_model
    from tests.publishing import exported, trainer
    from trainer.keygen import make_keys

    home = configure(tmp_path / "hub", broker, inference={"patience": "4m", "shadow": "24h"})
    make_keys(home)
    exported(home, "mine", other_model())
    assert hub(home, "models", "trust", "tickerml.pub").returncode == 0
    with Home("update", broker.port) as house, running(home):
        house.until(lambda: alive(house), 90)
        assert trainer(home, "publish", "mine", "--wait", "60s").returncode == 0
        house.until(lambda: house.states()["update.tickerml_model"]["state"] == "on", 30)
        update = house.states()["update.tickerml_model"]["attributes"]
        assert (update["installed_version"], update["latest_version"]) == ("starter", "other 0.01")
        house.call("update/install", entity_id="update.tickerml_model")
        house.until(lambda: house.states()["update.tickerml_model"]["attributes"]["installed_version"] == "other 0.01", 30)
        assert house.states()["update.tickerml_model"]["state"] == "off"
