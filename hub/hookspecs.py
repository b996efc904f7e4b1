"""The hooks a plugin may implement. All are optional and synchronous, are called once, and only declare."""

from typing import TYPE_CHECKING

import pluggy

from hub.flow import Answer, Check, Hub, Outlet, Service, Sink, Source, Transform
from hub.settings import PluginSettings

if TYPE_CHECKING:
    import typer

NAMESPACE = "tickerml"
ENTRY_POINT_GROUP = "tickerml.plugins"

hookspec = pluggy.HookspecMarker(NAMESPACE)
hookimpl = pluggy.HookimplMarker(NAMESPACE)


@hookspec
def register_settings() -> type[PluginSettings]:  # type: ignore[empty-body]
    """The model of this plugin's section in config.yaml."""


@hookspec
def register_sources(hub: Hub) -> list[Source]:  # type: ignore[empty-body]
    """Streams brought in from outside."""


@hookspec
def register_transforms(hub: Hub) -> list[Transform]:  # type: ignore[empty-body]
    """Functions that turn one message into others."""


@hookspec
def register_sinks(hub: Hub) -> list[Sink]:  # type: ignore[empty-body]
    """Places where messages end."""


@hookspec
def register_outlets(hub: Hub) -> list[Outlet]:  # type: ignore[empty-body]
    """Places on the broker that belong to another program."""


@hookspec
def register_services(hub: Hub) -> list[Service]:  # type: ignore[empty-body]
    """What people or programs call from outside, such as a web page."""


@hookspec
def register_commands(cli: "typer.Typer", hub: Hub) -> None:
    """Subcommands of `hub`; asked only when a command is given that is not the hub's own."""


@hookspec
def register_requests(hub: Hub) -> dict[str, Answer]:  # type: ignore[empty-body]
    """Verbs answered on `<root>/hub/request/<verb>`."""


@hookspec
def register_checks(hub: Hub) -> list[Check]:  # type: ignore[empty-body]
    """What `hub doctor` looks at for this plugin."""
