"""The section `inference` of the configuration."""

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field

from hub.settings import Duration, PluginSettings

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def _whole_minutes(value: timedelta) -> timedelta:
    if not MINUTE <= value <= DAY or value % MINUTE or DAY % value:
        raise ValueError("must be whole minutes that divide a day: 1m, 5m, 15m, 1h")
    return value


class InferenceSettings(PluginSettings):
    """When forecasts are made, and what a new model must prove."""

    every: Annotated[Duration, AfterValidator(_whole_minutes)] = timedelta(minutes=5)
    """A forecast of every symbol so often, on the clock (UTC)."""
    patience: Annotated[Duration, Field(ge=timedelta(seconds=5), le=timedelta(minutes=30))] = timedelta(seconds=60)
    """A bar that has not come so long after its close is waited for no longer: a late forecast is not made."""
    trusted_keys: list[str] = Field(default_factory=list)
    """Public keys whose models are taken: base64 of their 32 bytes, or files; `hub models trust` adds one without a line here."""
    shadow: Annotated[Duration, Field(ge=timedelta(0))] = timedelta(hours=24)
    """How long a new model is proven beside the live one, at least; 0m takes it live as soon as it has passed its test."""
