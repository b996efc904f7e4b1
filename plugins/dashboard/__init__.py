"""A page to look at: the station in a browser, live, on this machine or behind a password."""

from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

from hub import (
    Alert,
    Article,
    Bar,
    Check,
    Forecast,
    Hub,
    ModelState,
    PermanentError,
    PluginSettings,
    PluginState,
    Score,
    Sentiment,
    Service,
    Sink,
    hookimpl,
)
from plugins.dashboard.live import Pages
from plugins.dashboard.settings import DashboardSettings

if TYPE_CHECKING:
    import typer

    from hub.flow import Desk

SHOWN = (Alert, Article, Bar, Forecast, ModelState, PluginState, Score, Sentiment)


@hookimpl
def register_settings() -> type[PluginSettings]:
    return DashboardSettings


@hookimpl
def register_services(hub: Hub) -> list[Service]:
    if missing := [name for name in ("chartkick", "jinja2", "starlette", "uvicorn", "wsproto") if find_spec(name) is None]:
        raise PermanentError(f"needs {', '.join(missing)}: pip install 'tickerml[dashboard]'")

    async def serve(desk: "Desk") -> None:
        from plugins.dashboard.server import serve as serve_pages

        await serve_pages(hub, hub.settings_for(DashboardSettings), desk, _pages(cast("Any", hub)))

    return [Service("page", serve)]


@hookimpl
def register_sinks(hub: Hub) -> list[Sink]:
    return [Sink("live", _pages(cast("Any", hub)).write, consumes=SHOWN)]


@hookimpl
def register_checks(hub: Hub) -> list[Check]:
    from plugins.dashboard.examination import look

    return [Check("dashboard", lambda: look(hub, hub.settings_for(DashboardSettings)), needed=False)]


@hookimpl
def register_commands(cli: "typer.Typer", hub: Hub) -> None:
    from plugins.dashboard.commands import add

    add(cli, hub)


@lru_cache(maxsize=1)
def _pages(_hub: Any) -> Pages:
    """One for both hooks."""
    return Pages()
