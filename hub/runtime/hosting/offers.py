"""Finds the plugins that could be loaded, and imports none of them: a section in config.yaml is the permission."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from hub import __version__, hookspecs
from hub.errors import PermanentError

OUR_DISTRIBUTION = "tickerml"
OUR_PACKAGE = "plugins."
APART = {"dashboard"}
"""Of the plugins that came with the hub, those that get a process of their own all the same: browsers must not hold up bars."""


@dataclass(frozen=True)
class Offer:
    """A plugin that could be loaded: by a distribution's entry point, or from the drop-in folder."""

    name: str
    target: str
    """Module to import, or the drop-in's file."""
    origin: str
    """`built-in`, `name version` of a distribution, or the path of a drop-in."""
    version: str | None = None
    location: str = ""
    """The file or folder that it comes from."""

    @property
    def built_in(self) -> bool:
        return self.origin == "built-in"

    @property
    def apart(self) -> bool:
        """Whether it runs in a process of its own where its section does not say."""
        return not self.built_in or self.name in APART


def offers(plugin_dir: Path) -> dict[str, list[Offer]]:
    """Everything that could be loaded, by name; nothing is imported to find out."""
    found: dict[str, list[Offer]] = {}
    for offer in [*_installed(), *_dropped_in(plugin_dir)]:
        if offer not in found.setdefault(offer.name, []):
            found[offer.name].append(offer)
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
    hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(names)}."
    return f"no such plugin; {hint} A plugin of your own goes into plugin_dir as {name}.py"


def _installed() -> Iterable[Offer]:
    for entry in entry_points(group=hookspecs.ENTRY_POINT_GROUP):
        distribution = entry.dist.name if entry.dist else "unknown"
        folder = str(entry.dist.locate_file("")) if entry.dist else ""
        if distribution == OUR_DISTRIBUTION and entry.value.startswith(OUR_PACKAGE):
            yield Offer(entry.name, entry.value, "built-in", __version__, str(Path(__file__).parents[3]))
        else:
            version = entry.dist.version if entry.dist else None
            yield Offer(entry.name, entry.value, f"{distribution} {version or ''}".strip(), version, folder)


def _dropped_in(plugin_dir: Path) -> Iterable[Offer]:
    if not plugin_dir.is_dir():
        return
    for file in sorted([*plugin_dir.glob("*.py"), *plugin_dir.glob("*/__init__.py")]):
        name = file.parent.name if file.name == "__init__.py" else file.stem
        if not name.startswith(("_", ".", "test_")) and name != "conftest":
            yield Offer(name, str(file), str(file), None, str(file))
