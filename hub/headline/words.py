"""A headline's words, and the stem by which the forms of one word are known."""

import re
from functools import lru_cache

_WORD = re.compile(r"n't\b|[+-]?\$?\d[\d,.]*(?:%|[kmb]n?\b)?|[a-z]+(?:[-'][a-z]+)*", re.IGNORECASE)
LONGEST_WORD = 40
"""Letters; what is longer is noise."""
_APOSTROPHES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u2013": "-", "\u2014": " "})


def words(headline: str) -> list[str]:
    """Lower-case words and numbers, in order."""
    found = []
    for word in _WORD.findall(headline.translate(_APOSTROPHES).lower()):
        if len(word) > LONGEST_WORD:
            continue
        if word.endswith("n't") and len(word) > 3:
            found += [word[:-3], "n't"]
        else:
            found.append(word.removesuffix("'s").removesuffix("'"))
    return found


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """What is left of a word without its ending: `plung` of plunge, plunges, plunged and plunging. Crude, and enough for headlines."""
    if len(word) <= 3 or not word.isalpha():
        return word
    for ending in ("ing", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith(("ss", "us", "is")[: 3 if ending == "s" else 0]):
            word = word[: -len(ending)]
            break
    if word.endswith("i") and len(word) > 3:
        word = word[:-1] + "y"
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "sl" else word
