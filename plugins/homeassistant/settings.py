"""The section `homeassistant` of the configuration."""

from typing import Annotated

from pydantic import Field

from hub.settings import PluginSettings


class HomeAssistantSettings(PluginSettings):
    """Where Home Assistant looks for devices."""

    discovery_prefix: Annotated[str, Field(pattern=r"^[^+#/\s\x00$][^+#/\s\x00]{0,63}$")] = "homeassistant"
    """As in Home Assistant's MQTT integration."""
