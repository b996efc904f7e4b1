"""Finds plugins, loads the ones the configuration names, each alone, and asks each what it declares.

Nothing is imported because it is installed: a section in config.yaml is the permission.
"""

import difflib
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from hub import hookspecs
from hub.errors import PermanentError
from hub.flow import Answer, Flow, Hub, Sink, Source, Transform
from hub.messages import Message
from hub.settings import PluginSettings

OUR_DISTRIBUTION = "tickerml"


@dataclass(frozen=True)
class Offer:
    """A plugin that could be loaded: by a distribution's entry point, or from the drop-in folder."""

    name: str
    target: str
    """Module to import, or the drop-in's file."""
    origin: str
    """`built-in`, `name version` of a distribution, or the path of a drop-in."""

    @property
    def built_in(self) -> bool:
        return self.origin == "built-in"


@dataclass
class Declared:
    """What a plugin said it does."""

    flows: list[Flow] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)


def offers(plugin_dir: Path) -> dict[str, list[Offer]]:
    """Everything that could be loaded, by name; nothing is imported to find out."""
    found: dict[str, list[Offer]] = {}
    for entry in entry_points(group=hookspecs.ENTRY_POINT_GROUP):
        distribution = entry.dist.name if entry.dist else "unknown"
        version = entry.dist.version if entry.dist else ""
        origin = "built-in" if distribution == OUR_DISTRIBUTION else f"{distribution} {version}"
        offer = Offer(entry.name, entry.value, origin)
        if offer not in found.setdefault(entry.name, []):
            found[entry.name].append(offer)
    if plugin_dir.is_dir():
        for file in sorted([*plugin_dir.glob("*.py"), *plugin_dir.glob("*/__init__.py")]):
            name = file.parent.name if file.name == "__init__.py" else file.stem
            if not name.startswith(("_", ".")) and not name.startswith("test_"):
                found.setdefault(name, []).append(Offer(name, str(file), str(file)))
    return found


def choose(name: str, found: Mapping[str, list[Offer]]) -> Offer:
    """The offer that `name` means: the hub's own before any other. PermanentError where two others compete."""
    candidates = sorted(found[name], key=lambda offer: not offer.built_in)
    if candidates[0].built_in or len(candidates) == 1:
        return candidates[0]
    raise PermanentError(f"more than one plugin is called {name}: {'; '.join(offer.origin for offer in candidates)}; remove all but one")


def unknown_plugin(name: str, known: Iterable[str]) -> str:
    """What to say of a section that no plugin answers to."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(names)}"
    return f"no such plugin; {hint} A plugin of your own goes into plugin_dir as {name}.py"


def load(offer: Offer) -> pluggy.PluginManager:
    """Import one plugin and check its hooks. PermanentError with the reason, whatever the plugin does (but for hanging)."""
    manager = pluggy.PluginManager(hookspecs.NAMESPACE)
    manager.add_hookspecs(hookspecs)
    try:
        module = importlib.import_module(offer.target) if not offer.target.endswith(".py") else _import_file(offer)
        manager.register(module, offer.name)
        manager.check_pending()
    except (Exception, SystemExit) as error:
        raise PermanentError(f"cannot be loaded from {offer.origin}: {describe(error)}") from error
    if not manager.get_hookcallers(module):
        raise PermanentError(f"{offer.origin} has no hooks: decorate its register_... functions with @hookimpl")
    return manager


def settings_model(manager: pluggy.PluginManager) -> type[PluginSettings]:
    """The model of the plugin's section; PermanentError if it answers with something else."""
    answers = _ask(manager, "register_settings", {})
    if not answers:
        return PluginSettings
    if not (isinstance(answers[0], type) and issubclass(answers[0], PluginSettings)):
        raise PermanentError(f"register_settings must return a subclass of PluginSettings, not {answers[0]!r}")
    return answers[0]


def declare(manager: pluggy.PluginManager, hub: Hub) -> Declared:
    """Ask for flows and answers, and check every one. PermanentError for anything that is not what the hook promises."""
    declared = Declared()
    hooks: tuple[tuple[str, type[Flow]], ...] = (("register_sources", Source), ("register_transforms", Transform), ("register_sinks", Sink))
    for hook, shape in hooks:
        for answer in _ask(manager, hook, {"hub": hub}):
            declared.flows += _checked(hook, answer, shape)
    for answer in _ask(manager, "register_requests", {"hub": hub}):
        if not isinstance(answer, dict) or not all(isinstance(verb, str) and callable(call) for verb, call in answer.items()):
            raise PermanentError(f"register_requests must return a dict of verb to coroutine function, not {answer!r:.200}")
        declared.answers |= answer
    names = [flow.name for flow in declared.flows]
    if len(set(names)) < len(names):
        raise PermanentError(f"two of its flows have one name: {', '.join(sorted(names))}")
    return declared


def describe(error: BaseException) -> str:
    """An error in one line, with the place in the plugin where it rose."""
    place, traceback = "", error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if "importlib" not in code.co_filename:
            place = f" ({Path(code.co_filename).name}, line {traceback.tb_lineno})"
        traceback = traceback.tb_next
    return f"{type(error).__name__}: {error}{place}"[:500]


def _import_file(offer: Offer) -> ModuleType:
    name = f"custom_plugins.{offer.name}"
    spec = importlib.util.spec_from_file_location(name, offer.target)
    if spec is None or spec.loader is None:
        raise PermanentError(f"{offer.target} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _ask(manager: pluggy.PluginManager, hook: str, arguments: dict[str, Any]) -> list[Any]:
    try:
        answers: list[Any] = getattr(manager.hook, hook)(**arguments)
    except PermanentError:
        raise
    except (Exception, SystemExit) as error:
        raise PermanentError(f"{hook} failed: {describe(error)}") from error
    return answers


def _checked(hook: str, answer: Any, shape: type[Flow]) -> list[Flow]:
    if not isinstance(answer, list) or not all(isinstance(flow, shape) for flow in answer):
        raise PermanentError(f"{hook} must return a list of {shape.__name__}, not {answer!r:.200}")
    for flow in answer:
        kinds = (*getattr(flow, "consumes", ()), *getattr(flow, "produces", ()))
        if not kinds or not all(isinstance(kind, type) and issubclass(kind, Message) for kind in kinds):
            raise PermanentError(
                f"{shape.__name__} {flow.name!r} must name the messages it consumes or produces as a tuple, such as (Bar,)"
            )
    return answer
