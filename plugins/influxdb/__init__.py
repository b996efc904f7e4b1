"""Brings everything on disk to InfluxDB: each fact at least once, and visible exactly once. Hours and days are kept there for ever."""

from hub import (
    Alert,
    Article,
    Bar,
    Check,
    Forecast,
    Hub,
    HubHealth,
    PluginSettings,
    PluginState,
    Score,
    Sentiment,
    Sink,
    hookimpl,
)
from plugins.influxdb.connect import connect
from plugins.influxdb.delivery import Delivery
from plugins.influxdb.settings import InfluxSettings
from plugins.influxdb.sinks import Facts, Health

BATCH = 8_000


@hookimpl
def register_settings() -> type[PluginSettings]:
    return InfluxSettings


@hookimpl
def register_sinks(hub: Hub) -> list[Sink]:
    settings = hub.settings_for(InfluxSettings)
    delivery = Delivery(hub, settings)
    facts, health = Facts(hub, settings, delivery), Health(hub, settings, delivery)
    kinds = (Bar, Forecast, Score, Sentiment, Article, Alert)
    return [
        Sink("influxdb", facts.write, kinds, durable=True, batch=BATCH, remark=facts.remark),
        Sink("health", health.write, (PluginState, HubHealth)),
    ]


@hookimpl
def register_checks(hub: Hub) -> list[Check]:
    settings = hub.settings_for(InfluxSettings)

    async def look() -> str:
        database = await connect(hub, settings)
        found = await database.look(settings.bucket)
        there = "is there" if found else "is made when there is something to bring"
        return f"{settings.url} answers; {settings.bucket} {there}"

    return [Check("influxdb", look, needed=False)]
