"""A foreign headline as one line of plain text, and what two tellings of one story have in common."""

import re
import unicodedata
from html import unescape

from hub.headline.words import stem, words

LONGEST = 300
READ_AT_MOST = 20_000
"""Characters; a title of a megabyte is cut before it is looked at."""
_TAG = re.compile(r"<!--.*?-->|<(script|style)\b.*?</\1\s*>|</?[a-zA-Z!][^<>]*>", re.DOTALL | re.IGNORECASE)
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?|\x9b[0-?]*[ -/]*[@-~]", re.DOTALL)
_LITTLE = frozenset(
    [
        "a",
        "an",
        "the",
        "of",
        "to",
        "in",
        "on",
        "for",
        "and",
        "or",
        "as",
        "at",
        "by",
        "with",
        "from",
        "is",
        "are",
        "be",
        "its",
        "it",
        "this",
        "that",
    ]
)


def plain_text(raw: str, longest: int = LONGEST) -> str:
    """Without markup, escape sequences, control and direction marks, invisible characters and halves of characters; NFKC, cut."""
    text = _TAG.sub(" ", unescape(_TAG.sub(" ", raw[:READ_AT_MOST])))
    text = unicodedata.normalize("NFKC", _ESCAPE.sub(" ", text))
    line = " ".join("".join(" " if unicodedata.category(letter) == "Cc" else letter for letter in text if _is_visible(letter)).split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "\u2026"


def _is_visible(letter: str) -> bool:
    return letter.isspace() or unicodedata.category(letter) not in {"Cf", "Cs", "Co", "Cn"}


def story_of(title: str) -> frozenset[str]:
    """The stems of a headline's telling words. Two stories are one where they share most of them."""
    return frozenset(stem(word) for word in words(plain_text(title)) if word not in _LITTLE) or frozenset({title.strip().lower()})


def is_same_story(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether seven of ten telling words are shared."""
    shared = len(one & other)
    return 10 * shared >= 7 * (len(one) + len(other) - shared)
