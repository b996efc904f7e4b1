"""Tells people what is worth telling: sure forecasts of a proven model, plugins in trouble, models that come and go."""

from hub import Alert, Forecast, Gap, Hub, ModelState, PluginSettings, PluginState, Score, Sink, Transform, hookimpl
from plugins.alerts.notify import Notifier
from plugins.alerts.settings import AlertsSettings
from plugins.alerts.watch import Watch

LOOKED_AT = (Forecast, Score, PluginState, Gap, ModelState)


@hookimpl
def register_settings() -> type[PluginSettings]:
    return AlertsSettings


@hookimpl
def register_transforms(hub: Hub) -> list[Transform]:
    watch = Watch(hub, hub.settings_for(AlertsSettings))
    return [Transform("rules", watch.apply, consumes=LOOKED_AT, produces=(Alert,))]


@hookimpl
def register_sinks(hub: Hub) -> list[Sink]:
    notifier = Notifier(hub, hub.settings_for(AlertsSettings))
    return [Sink("notify", notifier.write, (Alert,), durable=True, batch=20, remark=notifier.remark)]
