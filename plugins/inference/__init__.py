"""Forecasts every symbol 5, 10 and 30 minutes ahead, from the bars on disk, with a model that had to prove itself."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from hub import Bar, Forecast, Hub, ModelChunk, ModelManifest, ModelState, ModelWant, PluginSettings, Request, Sink, Source, hookimpl
from hub.flow import Answer, Check
from plugins.inference.delivery import Delivery
from plugins.inference.examination import checks
from plugins.inference.forecasting import Forecasting
from plugins.inference.schedule import Schedule
from plugins.inference.settings import InferenceSettings
from plugins.inference.slot import Slot


@dataclass(frozen=True)
class Parts:
    """What the hooks share."""

    slot: Slot
    schedule: Schedule
    delivery: Delivery


@hookimpl
def register_settings() -> type[PluginSettings]:
    return InferenceSettings


@hookimpl
def register_sources(hub: Hub) -> list[Source]:
    settings, parts = hub.settings_for(InferenceSettings), _parts(cast("Any", hub))
    return [
        Source(
            "forecasts",
            parts.schedule.stream,
            produces=(Forecast,),
            stale_after=2 * settings.every + settings.patience,
            remark=parts.schedule.remark,
        ),
        Source("models", parts.slot.stream, produces=(ModelState, ModelWant)),
    ]


@hookimpl
def register_sinks(hub: Hub) -> list[Sink]:
    delivery = _parts(cast("Any", hub)).delivery
    return [
        Sink("offers", delivery.heard, (ModelManifest, ModelChunk), remark=delivery.remark),
        Sink("trials", delivery.look, (Bar,)),
    ]


@hookimpl
def register_requests(hub: Hub) -> dict[str, Answer]:
    parts = _parts(cast("Any", hub))

    async def promote(_request: Request) -> Any:
        return (await parts.slot.promote("asked for by hand")).model_dump(mode="json")

    async def roll_back(_request: Request) -> Any:
        return (await parts.slot.roll_back("asked for by hand")).model_dump(mode="json")

    async def models(_request: Request) -> Any:
        return parts.slot.told()

    return {"forecast/now": parts.schedule.answer, "model/promote": promote, "model/rollback": roll_back, "model/list": models}


@hookimpl
def register_checks(hub: Hub) -> list[Check]:
    return checks(hub, hub.settings_for(InferenceSettings), _parts(cast("Any", hub)).slot)


@lru_cache(maxsize=1)
def _parts(hub: Any) -> Parts:
    """One of each for all hooks."""
    settings, slot = hub.settings_for(InferenceSettings), Slot(hub)
    schedule = Schedule(hub, Forecasting(hub, slot), settings.every, settings.patience)
    return Parts(slot, schedule, Delivery(hub, settings, slot))
