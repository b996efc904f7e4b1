"""The hub's own verbs: what it answers whoever asks on `<root>/hub/request/<verb>`, or on this machine."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from hub.errors import HubError
from hub.flow import Answer
from hub.market.interval import MINUTE_MS, last_closed, to_ms
from hub.messages import Forecast, Request, UtcTime
from hub.runtime.changes import restart
from hub.runtime.health import every_gap, health_of
from hub.runtime.logs import KEPT_LINES, recent_lines
from hub.settings import SymbolName
from hub.topics import is_shadow

if TYPE_CHECKING:
    from hub.runtime.app import App

MOST_BARS = 500


class _Wanted(BaseModel):
    model_config = ConfigDict(extra="ignore")


class BarsWanted(_Wanted):
    """What `bars` may be asked: the newest `limit` bars, or those up to the one that opened at `until`."""

    symbol: SymbolName
    limit: Annotated[int, Field(ge=1, le=MOST_BARS)] = 60
    until: UtcTime | None = None


class GapsWanted(_Wanted):
    """What `gaps` may be asked: of one symbol, or of all."""

    symbol: SymbolName | None = None


class ForecastWanted(_Wanted):
    """What `forecast` may be asked: the newest of one symbol, or of one horizon of it, or all."""

    symbol: SymbolName | None = None
    horizon_minutes: int | None = None


class BackfillWanted(_Wanted):
    """What `backfill` may be asked."""

    days: Annotated[int, Field(ge=1, le=5000)]


class RestartWanted(_Wanted):
    """What `plugin/restart` may be asked."""

    name: str


class LogWanted(_Wanted):
    """What `log` may be asked: how many of the last lines."""

    limit: Annotated[int, Field(ge=1, le=KEPT_LINES)] = 100


WANTED: dict[str, type[BaseModel] | None] = {
    "health": None,
    "doctor": None,
    "bars": BarsWanted,
    "gaps": GapsWanted,
    "forecast": ForecastWanted,
    "backfill": BackfillWanted,
    "log": LogWanted,
    "plugin/restart": RestartWanted,
}
"""What each verb may be asked, beside `transaction`; None: nothing."""


def verbs_of(app: "App") -> dict[str, Answer]:
    """Every verb of the hub's own, and who answers it."""
    store = app.recorder.store

    async def health(_request: Request) -> Any:
        return await asyncio.to_thread(health_of, app)

    async def doctor(_request: Request) -> Any:
        from hub.runtime.doctor import examine  # with all that it looks at: 9 MB, for a question that few ever ask

        findings = await examine(app.configuration, list(app.members.values()), await asyncio.to_thread(health_of, app))
        return [vars(finding) for finding in findings]

    async def bars(request: Request) -> Any:
        wanted = BarsWanted.model_validate(request.model_dump())
        newest = await asyncio.to_thread(store.newest_bar, wanted.symbol)
        last = to_ms(newest.open_time) if newest else last_closed(to_ms(app.clock.now()))
        last = last if wanted.until is None else min(last, to_ms(wanted.until))
        found = await asyncio.to_thread(store.bars, wanted.symbol, last - (wanted.limit - 1) * MINUTE_MS, last)
        return [bar.model_dump(mode="json") for bar in found]

    async def gaps(request: Request) -> Any:
        wanted = GapsWanted.model_validate(request.model_dump())
        return await asyncio.to_thread(every_gap, store, wanted.symbol)

    async def forecast(request: Request) -> Any:
        wanted = ForecastWanted.model_validate(request.model_dump())
        found = [fact for fact in await asyncio.to_thread(store.newest, Forecast) if not is_shadow(fact)]
        chosen = [fact for fact in found if wanted.symbol in {None, fact.symbol} and wanted.horizon_minutes in {None, fact.horizon_minutes}]
        if not chosen:
            raise HubError(_no_forecast(app, wanted))
        return [fact.model_dump(mode="json") for fact in chosen]

    async def backfill(request: Request) -> Any:
        return await app.backfill.begin(list(app.members.values()), BackfillWanted.model_validate(request.model_dump()).days)

    async def restart_plugin(request: Request) -> Any:
        return await restart(app, RestartWanted.model_validate(request.model_dump()).name)

    async def log(request: Request) -> Any:
        return recent_lines(LogWanted.model_validate(request.model_dump()).limit)

    return {
        "health": health,
        "doctor": doctor,
        "bars": bars,
        "gaps": gaps,
        "forecast": forecast,
        "backfill": backfill,
        "log": log,
        "plugin/restart": restart_plugin,
    }


def _no_forecast(app: "App", wanted: ForecastWanted) -> str:
    flows = [flow for member in app.members.values() for flow in member.declared.flows]
    if not any(Forecast in getattr(flow, "produces", ()) for flow in flows):
        return "no plugin makes forecasts here; add `inference: {}` under `plugins` in the configuration"
    about = " ".join(filter(None, [wanted.symbol, f"{wanted.horizon_minutes} minutes ahead" if wanted.horizon_minutes else None]))
    return f"no forecast{' of ' + about if about else ''} has been made yet"
