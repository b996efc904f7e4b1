"""Loads one plugin alone, and asks it what it declares."""

import importlib.util
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pluggy
import structlog

from hub import hookspecs
from hub.errors import PermanentError, SettingsError
from hub.flow import Answer, Check, Flow, Hub, Outlet, Service, Sink, Source, Transform
from hub.runtime.hosting import shapes
from hub.runtime.hosting.offers import Offer
from hub.runtime.words import describe, reason_of, shown
from hub.settings import PluginSettings

TRACED = "TICKERML_TRACE_HOOKS"
"""Set in the environment, every call of a hook is logged."""
FLOW_HOOKS: tuple[tuple[str, type[Flow]], ...] = (
    ("register_sources", Source),
    ("register_transforms", Transform),
    ("register_sinks", Sink),
    ("register_outlets", Outlet),
    ("register_services", Service),
)


@dataclass
class Declared:
    """What a plugin said it does."""

    flows: list[Flow] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)


def load(offer: Offer) -> pluggy.PluginManager:
    """Import one plugin and check its hooks. PermanentError with the reason, whatever the plugin does (but for hanging)."""
    manager = pluggy.PluginManager(hookspecs.NAMESPACE)
    manager.add_hookspecs(hookspecs)
    if os.environ.get(TRACED):
        trace(manager, offer.name)
    try:
        module = importlib.import_module(offer.target) if not offer.target.endswith(".py") else _import_file(offer)
        manager.register(module, offer.name)
        manager.check_pending()
    except (Exception, SystemExit) as error:
        raise PermanentError(f"cannot be loaded from {offer.origin}: {describe(error)}") from error
    if not manager.get_hookcallers(module):
        raise PermanentError(f"{offer.origin} has no hooks: decorate its register_... functions with @hookimpl")
    return manager


def trace(manager: pluggy.PluginManager, name: str) -> None:
    """Log every call of a hook: with what, and what came back."""
    log = structlog.get_logger().bind(plugin=name)

    def before(hook: str, _calls: Any, arguments: Mapping[str, Any]) -> None:
        log.info("hook is called", hook=hook, arguments=sorted(arguments))

    def after(outcome: Any, hook: str, _calls: Any, _arguments: Mapping[str, Any]) -> None:
        failed = outcome.exception
        log.info("hook has answered", hook=hook, answer=None if failed else shown(outcome.get_result()), error=failed and describe(failed))

    manager.add_hookcall_monitoring(before, after)


def settings_model(manager: pluggy.PluginManager) -> type[PluginSettings]:
    """The model of the plugin's section; PermanentError if it answers with something else."""
    for answer in ask(manager, "register_settings"):
        if not (isinstance(answer, type) and issubclass(answer, PluginSettings)):
            raise PermanentError(f"register_settings must return a subclass of PluginSettings, not {shown(answer)}")
        return answer
    return PluginSettings


def declare(manager: pluggy.PluginManager, hub: Hub) -> Declared:
    """Ask for flows, answers and checks, and look at every one.

    PermanentError for anything that is not what the hook promises; SettingsError where the plugin finds its section wrong.
    """
    declared = Declared()
    for hook, shape in FLOW_HOOKS:
        for answer in ask(manager, hook, hub=hub):
            declared.flows += shapes.flows(hook, answer, shape)
    for answer in ask(manager, "register_requests", hub=hub):
        declared.answers |= shapes.answers(answer)
    for answer in ask(manager, "register_checks", hub=hub):
        declared.checks += shapes.checks(answer)
    names = [flow.name for flow in declared.flows]
    if len(set(names)) < len(names):
        raise PermanentError(f"two of its flows have one name: {', '.join(sorted(names))}")
    return declared


def ask(manager: pluggy.PluginManager, hook: str, **arguments: Any) -> list[Any]:
    """Call one hook; no answer where the plugin does not have it. PermanentError, or the plugin's own SettingsError."""
    caller = getattr(manager.hook, hook)
    try:
        answers: list[Any] = caller(**arguments)
    except SettingsError:
        raise
    except PermanentError as error:
        raise PermanentError(reason_of(error)) from error
    except (Exception, SystemExit) as error:
        raise PermanentError(f"{hook} failed: {describe(error)}") from error
    if not answers and hook != "register_commands" and caller.get_hookimpls():
        raise PermanentError(f"{hook} returned nothing: return what the plugin declares")
    return answers


def _import_file(offer: Offer) -> ModuleType:
    name = f"custom_plugins.{offer.name}"
    spec = importlib.util.spec_from_file_location(name, offer.target)
    if spec is None or spec.loader is None:
        raise PermanentError(f"{offer.target} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
