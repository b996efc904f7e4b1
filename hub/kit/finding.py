"""One rule of the plugin checklist, and whether it is kept."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What was found about one rule."""

    rule: str
    ok: bool
    text: str
    """Where and what, when it is not kept."""
