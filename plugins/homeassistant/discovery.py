"""Discovery payloads, made from the table of entities: one device for the hub, one for each symbol."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from hub import __version__
from plugins.homeassistant.entities import ENTITIES, HORIZONS, RUNNING, Entity

ORIGIN = {"name": "TickerML", "sw_version": __version__}
Payload = dict[str, Any]


def devices(root: str, symbols: Sequence[str], plugins: Collection[str]) -> dict[str, Payload]:
    """By device id: what `<prefix>/device/<id>/config` is to hold. `plugins`: those that run; entities of others are left out."""
    hub_id = _id(root)
    hub = {
        "identifiers": [hub_id],
        "name": "TickerML" if root == "tickerml" else f"TickerML {root}",
        "manufacturer": "TickerML",
        "model": "Hub",
    }
    found = {hub_id: _payload(root, hub | {"sw_version": __version__}, _of_the_hub(root, hub_id, plugins))}
    for symbol in symbols:
        name = f"{hub_id}_{_id(symbol)}"
        device = {
            "identifiers": [name],
            "name": symbol.replace("-", "/"),
            "manufacturer": "TickerML",
            "model": "Symbol",
            "via_device": hub_id,
        }
        found[name] = _payload(root, device, _of_symbol(root, name, symbol, plugins))
    return found


def _payload(root: str, device: Payload, components: Iterator[tuple[str, Payload]]) -> Payload:
    return {
        "device": device,
        "origin": ORIGIN,
        "components": dict(components),
        "availability": [_hub_state(root)],
        "availability_mode": "all",
        "qos": 1,
    }


def _of_the_hub(root: str, device: str, plugins: Collection[str]) -> Iterator[tuple[str, Payload]]:
    for entity in ENTITIES:
        if entity.of == "hub" and _is_there(entity, plugins):
            yield _component(root, device, entity, {})
        elif entity.of == "plugin":
            for plugin in sorted(plugins):
                yield _component(root, device, entity, {"plugin": plugin})


def _of_symbol(root: str, device: str, symbol: str, plugins: Collection[str]) -> Iterator[tuple[str, Payload]]:
    asset, _, quote = symbol.partition("-")
    about = {"symbol": symbol, "asset": asset, "quote": quote}
    for entity in ENTITIES:
        if entity.of == "symbol" and _is_there(entity, plugins):
            yield _component(root, device, entity, about)
        elif entity.of == "horizon" and _is_there(entity, plugins):
            for horizon in HORIZONS:
                yield _component(root, device, entity, about | {"horizon": str(horizon)})


def _is_there(entity: Entity, plugins: Collection[str]) -> bool:
    if entity.platform == "device_automation":
        return "alerts" in plugins
    return entity.plugin is None or entity.plugin in plugins


def _component(root: str, device: str, entity: Entity, about: Mapping[str, str]) -> tuple[str, Payload]:
    filled = {name: _filled(value, {"root": root, **about}) for name, value in entity.fields.items()}
    key, topic = entity.key.format_map(about), f"{root}/{entity.topic.format_map(about)}"
    if entity.platform == "device_automation":
        return key, {"platform": entity.platform, "topic": topic, "value_template": entity.template, **filled}
    found: Payload = {
        "platform": entity.platform,
        "unique_id": f"{device}_{key}",
        "default_entity_id": f"{entity.platform}.{device}_{key}",
        "name": entity.name.format_map(about),
        "state_topic": topic,
        **({"value_template": entity.template} if entity.template else {}),
        **filled,
    }
    if entity.plugin is not None:
        own = {"topic": f"{root}/plugin/{entity.plugin}/state", "value_template": RUNNING}
        found |= {"availability": [_hub_state(root), own], "availability_mode": "all"}
    return key, found


def _hub_state(root: str) -> Payload:
    return {"topic": f"{root}/hub/state", "payload_available": "online", "payload_not_available": "offline"}


def _filled(value: Any, about: Mapping[str, str]) -> Any:
    """Names in braces, where they are ours; a template's own braces stay."""
    if not isinstance(value, str):
        return value
    for name, text in about.items():
        value = value.replace(f"{{{name}}}", text)
    return value


def _id(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "tickerml"
