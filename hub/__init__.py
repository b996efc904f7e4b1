"""What a plugin author imports: `from hub import Alert, Bar, Hub, PluginSettings, Transform, hookimpl`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hub.errors import Forgotten, PermanentError, SettingsError, TransientError
    from hub.flow import Check, Hub, Outlet, Service, Sink, Source, Transform
    from hub.hookspecs import hookimpl
    from hub.messages import (
        Alert,
        Article,
        Bar,
        Dump,
        DumpedFile,
        Forecast,
        Gap,
        HubHealth,
        HubInfo,
        Message,
        ModelAnswer,
        ModelChunk,
        ModelId,
        ModelManifest,
        ModelState,
        ModelWant,
        PluginState,
        Request,
        Response,
        Score,
        Sentiment,
        ServedModel,
    )
    from hub.settings import PluginSettings

__version__ = "0.1.0"
_HOMES = {
    "hub.errors": ("Forgotten", "PermanentError", "SettingsError", "TransientError"),
    "hub.flow": ("Check", "Hub", "Outlet", "Service", "Sink", "Source", "Transform"),
    "hub.hookspecs": ("hookimpl",),
    "hub.messages": (
        *("Alert", "Article", "Bar", "Dump", "DumpedFile", "Forecast", "Gap", "HubHealth", "HubInfo", "Message"),
        *("ModelAnswer", "ModelChunk", "ModelId", "ModelManifest", "ModelState", "ModelWant"),
        *("PluginState", "Request", "Response", "Score", "Sentiment", "ServedModel"),
    ),
    "hub.settings": ("PluginSettings",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
__all__ = [
    "Alert",
    "Article",
    "Bar",
    "Check",
    "Dump",
    "DumpedFile",
    "Forecast",
    "Forgotten",
    "Gap",
    "Hub",
    "HubHealth",
    "HubInfo",
    "Message",
    "ModelAnswer",
    "ModelChunk",
    "ModelId",
    "ModelManifest",
    "ModelState",
    "ModelWant",
    "Outlet",
    "PermanentError",
    "PluginSettings",
    "PluginState",
    "Request",
    "Response",
    "Score",
    "Sentiment",
    "ServedModel",
    "Service",
    "SettingsError",
    "Sink",
    "Source",
    "Transform",
    "TransientError",
    "hookimpl",
]


def __getattr__(name: str) -> Any:
    """Loads a name when it is first used, so that `hub --help` stays quick."""
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'hub' has no attribute {name!r}")
