"""Shows the hub and every symbol in Home Assistant, as devices with entities that are there by themselves."""

from functools import lru_cache
from typing import Any, cast

from hub import Hub, HubInfo, Outlet, PluginSettings, Sink, hookimpl
from plugins.homeassistant.announcing import Announcing
from plugins.homeassistant.settings import HomeAssistantSettings


@hookimpl
def register_settings() -> type[PluginSettings]:
    return HomeAssistantSettings


@hookimpl
def register_sinks(hub: Hub) -> list[Sink]:
    return [Sink("introduction", _announcing(cast("Any", hub)).introduced, (HubInfo,))]


@hookimpl
def register_outlets(hub: Hub) -> list[Outlet]:
    prefix = hub.settings_for(HomeAssistantSettings).discovery_prefix
    return [Outlet("discovery", prefix, _announcing(cast("Any", hub)).run)]


@lru_cache(maxsize=1)
def _announcing(hub: Any) -> Announcing:
    """One for both hooks."""
    return Announcing(hub)
