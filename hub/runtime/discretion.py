"""Keeps the configuration's secrets out of every text that leaves the process, whoever wrote it: a library, a plugin, an exception."""

import json
import re
from collections.abc import Iterable
from urllib.parse import quote

SHORTEST = 6
"""Shorter secrets are not looked for: they would be found in innocent words."""
BLOT = "[secret]"
_spellings: set[str] = set()
_pattern: re.Pattern[str] | None = None


def keep_secret(values: Iterable[str]) -> None:
    """From now on these are blotted out; also as JSON and in a URL."""
    global _pattern  # noqa: PLW0603 - like logging, it serves the whole process
    for value in values:
        if len(value) >= SHORTEST:
            _spellings.update((value, json.dumps(value)[1:-1], quote(value, safe=""), repr(value)[1:-1]))
    if _spellings:
        _pattern = re.compile("|".join(map(re.escape, sorted(_spellings, key=len, reverse=True))))


def blotted(text: str) -> str:
    """`text` without secrets."""
    return text if _pattern is None else _pattern.sub(BLOT, text)
