"""One line of the doctor."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What was looked at, and how it is; where it is not well, with the fix."""

    what: str
    ok: bool
    text: str
    needed: bool = True
    """Whether the hub cannot do its work without."""


def remark(what: str, text: str) -> Finding:
    """Something that is not well, and that the hub can work with."""
    return Finding(what, False, text, needed=False)
