"""What Home Assistant is told, held against what its MQTT integration takes (2025.12)."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hub import HubInfo
from hub.errors import PermanentError
from hub.messages import Bar, Forecast, HubHealth, ModelState, Score, Sentiment
from hub.runtime.mqtt.outside import OutsideTopics
from hub.testing import START, FakeHub, FakeOutside, MemoryBus
from hub.topics import kind_of
from plugins.homeassistant.announcing import Announcing
from plugins.homeassistant.discovery import devices
from plugins.homeassistant.entities import ENTITIES

PLUGINS = ("alerts", "collector", "homeassistant", "inference", "news", "scorecard")
ROOT_KEYS = {"device", "origin", "components", "availability", "availability_mode", "qos"}
COMMON = {
    *("platform", "unique_id", "default_entity_id", "name", "state_topic", "value_template", "icon", "entity_category", "availability"),
    *("availability_mode", "json_attributes_topic"),
}
OWN = {
    "sensor": {"unit_of_measurement", "suggested_display_precision", "state_class", "device_class", "options"},
    "binary_sensor": {"device_class", "payload_on", "payload_off"},
    "event": {"event_types", "device_class"},
    "update": {"command_topic", "payload_install", "device_class", "title"},
    "device_automation": {"automation_type", "type", "subtype", "payload", "topic"},
}
DOCS = Path(__file__).parents[3] / "docs"


def all_components() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for device, payload in devices("tickerml", ("BTC-USDT", "ETH-USDT"), PLUGINS).items():
        for key, component in payload["components"].items():
            yield device, key, component


def test_the_root_has_the_keys_that_are_taken_and_no_others() -> None:
    """One more, and all of it is rejected."""
    found = devices("tickerml", ("BTC-USDT", "ETH-USDT"), PLUGINS)
    assert set(found) == {"tickerml", "tickerml_btc_usdt", "tickerml_eth_usdt"}
    for payload in found.values():
        assert set(payload) == ROOT_KEYS
        assert payload["availability_mode"] == "all"
        assert payload["availability"][0]["topic"] == "tickerml/hub/state"
    assert found["tickerml_btc_usdt"]["device"]["via_device"] == found["tickerml"]["device"]["identifiers"][0]


def test_every_component_has_only_keys_of_its_platform_and_an_id_of_its_own() -> None:
    ids = [component["unique_id"] for _, _, component in all_components() if "unique_id" in component]
    assert len(ids) == len(set(ids))
    for device, key, component in all_components():
        assert set(component) <= COMMON | OWN[component["platform"]], key
        if component["platform"] != "device_automation":
            assert component["default_entity_id"] == f"{component['platform']}.{device}_{key}"
            assert re.fullmatch(r"[a-z_]+\.[a-z0-9_]+", component["default_entity_id"])
        assert "{" not in re.sub(r"\{\{.*\}\}", "", json.dumps(component.get("value_template", ""))[1:-1]), key


def test_every_topic_is_one_that_the_hub_publishes() -> None:
    for _, key, component in all_components():
        for field in ("state_topic", "json_attributes_topic", "topic"):
            if (topic := component.get(field)) not in {None, "tickerml/hub/state"}:
                assert kind_of(topic.removeprefix("tickerml/")) is not None, key


def test_every_template_reads_fields_that_the_message_has() -> None:
    """A renamed field would be `unknown` in every home."""
    for _, key, component in all_components():
        topic = component.get("state_topic") or component["topic"]
        kind = kind_of(topic.removeprefix("tickerml/"))
        if kind in {Bar, Forecast, Score, Sentiment, HubHealth, ModelState}:
            told = set(re.findall(r"value_json\.([a-z_]+)", component.get("value_template", "")))
            assert told <= set(kind.model_fields), key  # type: ignore[union-attr]


def test_prices_forecasts_and_directions_are_as_the_contract_says() -> None:
    found = {(device, key): component for device, key, component in all_components()}
    price, forecast = found["tickerml_btc_usdt", "price"], found["tickerml_btc_usdt", "forecast_5m"]
    assert (price["unit_of_measurement"], price["state_class"], "device_class" in price) == ("USDT", "measurement", False)
    assert "state_class" not in forecast
    assert found["tickerml_btc_usdt", "direction_30m"]["options"] == ["up", "down"]
    assert found["tickerml_btc_usdt", "confidence_10m"]["unit_of_measurement"] == "%"
    assert found["tickerml", "plugin_collector"]["entity_category"] == "diagnostic"
    assert found["tickerml", "model"]["command_topic"] == "tickerml/hub/request/model/promote"
    topics = [each["topic"] for each in forecast["availability"]]
    assert (forecast["availability_mode"], topics) == ("all", ["tickerml/hub/state", "tickerml/plugin/inference/state"])


def test_what_no_plugin_makes_is_not_there() -> None:
    found = devices("tickerml", ("BTC-USDT",), ("collector", "homeassistant"))
    assert set(found["tickerml_btc_usdt"]["components"]) == {"price"}


def test_two_hubs_on_one_broker_are_two() -> None:
    one, two = devices("tickerml", ("BTC-USDT",), PLUGINS), devices("cellar/hub", ("BTC-USDT",), PLUGINS)
    assert not one.keys() & two.keys()


def info(*plugins: str, symbols: tuple[str, ...] = ("BTC-USDT",)) -> HubInfo:
    return HubInfo(version="1", started_at=START, symbols=symbols, plugins=plugins)


async def settled(hub: FakeHub, seconds: float = 0.0) -> None:
    for _ in range(20):
        await asyncio.sleep(0)
    await hub.clock.advance(seconds)


async def test_what_is_gone_is_taken_back_also_after_a_restart(tmp_path: Path) -> None:
    outside = FakeOutside()
    hub = FakeHub(symbols=("BTC-USDT", "ETH-USDT"), data_dir=tmp_path)
    announcing = Announcing(hub)
    task = asyncio.create_task(announcing.run(outside))
    await announcing.introduced([info("collector", "scorecard", "inference")])
    await settled(hub)
    assert set(outside.announced) == {f"device/{each}/config" for each in ("tickerml", "tickerml_btc_usdt", "tickerml_eth_usdt")}
    task.cancel()
    again = Announcing(FakeHub(symbols=("BTC-USDT",), data_dir=tmp_path))
    said: list[bytes] = []
    outside.announce = lambda topic, payload: said.append(payload) if "btc" in topic else FakeOutside.announce(outside, topic, payload)  # type: ignore[method-assign]
    task = asyncio.create_task(again.run(outside))
    await again.introduced([info("collector")])
    await settled(hub)
    task.cancel()
    assert set(outside.announced) == {"device/tickerml/config", "device/tickerml_btc_usdt/config"}
    [removing] = (json.loads(payload)["components"] for payload in said)
    assert removing["skill_5m"] == {"platform": "sensor"}
    assert {key for key, each in removing.items() if set(each) != {"platform"}} == {"price"}
    again.announce(outside)
    assert set(json.loads(said[-1])["components"]) == {"price"}, "the next time nothing is left of it"


async def test_a_birth_is_answered_with_discovery_and_then_all_states(tmp_path: Path) -> None:
    """After a short random while; not to a birth that the broker remembers, nor to a death."""
    outside, hub = FakeOutside(), FakeHub(symbols=("BTC-USDT",), data_dir=tmp_path)
    announcing = Announcing(hub)
    task = asyncio.create_task(announcing.run(outside))
    await announcing.introduced([info("collector")])
    await settled(hub)
    outside.log.clear()
    outside.says("status", b"online", retained=True)
    outside.says("status", b"offline")
    await settled(hub, 10)
    assert outside.log == []
    outside.says("status", b"online")
    await settled(hub, 0.4)
    assert outside.log == []
    await settled(hub, 10)
    task.cancel()
    assert outside.log == ["device/tickerml/config", "device/tickerml_btc_usdt/config", "restate"]


def test_an_outlet_reaches_its_own_topics_and_no_others() -> None:
    bus = MemoryBus()
    outside = OutsideTopics(bus, "homeassistant")
    outside.announce("device/x/config", b"{}")
    assert bus.outside == {"homeassistant/device/x/config": b"{}"}
    for topic in ("", "+", "a/#", "/a", "a\0"):
        with pytest.raises(PermanentError):
            outside.announce(topic, b"x")
    with pytest.raises(PermanentError, match="262144 bytes"):
        outside.announce("a", b"x" * 300_000)


# --- the documents


def entity_ids() -> set[str]:
    return {component["default_entity_id"] for _, _, component in all_components() if "default_entity_id" in component}


def test_the_page_and_the_blueprints_name_entities_and_topics_that_there_are() -> None:
    texts = [DOCS / "homeassistant.md", *sorted((DOCS / "homeassistant").glob("*.yaml"))]
    assert len(texts) >= 4
    for file in texts:
        text = file.read_text(encoding="utf-8")
        for named in re.findall(r"\b(?:sensor|binary_sensor|event|update)\.tickerml[a-z0-9_]*", text):
            assert named in entity_ids(), f"{file.name}: {named}"


@pytest.mark.parametrize("file", sorted((DOCS / "homeassistant").glob("*.yaml")), ids=lambda file: file.stem)
def test_a_blueprint_is_one(file: Path) -> None:
    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!input", lambda loader, node: f"!input {loader.construct_scalar(node)}")  # type: ignore[no-untyped-call]
    told = yaml.load(file.read_text(encoding="utf-8"), Loader)
    assert told["blueprint"]["domain"] == "automation"
    inputs = set(told["blueprint"]["input"])
    used = set(re.findall(r"!input ([a-z_]+)", file.read_text(encoding="utf-8")))
    assert used == inputs
    assert {"triggers", "actions"} <= set(told)


def test_every_row_of_the_table_is_on_the_page() -> None:
    page = (DOCS / "homeassistant.md").read_text(encoding="utf-8")
    for entity in ENTITIES:
        assert f"`{entity.key.split('{')[0].rstrip('_')}" in page, entity.key
