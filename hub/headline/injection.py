"""Headlines that speak to a machine instead of telling news: they are not judged, and weigh nothing."""

import re
import tomllib
from collections.abc import Sequence
from importlib.resources import files

_TOLD = tomllib.loads(files("hub.headline").joinpath("injection.toml").read_text(encoding="utf-8"))
_ADDRESSED = re.compile("|".join(f"(?:{each})" for each in _TOLD["patterns"]), re.IGNORECASE)
_ENCODED = re.compile(r"\b[A-Za-z0-9+/]{32,}={0,2}(?=\s|$)")
_HINTS, _MARKS = frozenset(_TOLD["hints"].split()), frozenset(_TOLD["marks"])
_LONG_WORD = 32


def speaks_to_a_machine(text: str, found: Sequence[str]) -> bool:
    """Whether this is no headline, but an order to whoever judges it. Plain text, and its words."""
    if _HINTS.isdisjoint(found) and _MARKS.isdisjoint(text) and not any(len(word) >= _LONG_WORD for word in text.split()):
        return False
    return _ADDRESSED.search(text) is not None or _ENCODED.search(text) is not None
