"""What the linear half of the judge sees of a headline: its words, pairs of words and pieces of words, hashed; and the lexicon's opinion.

The same formula where weights are learnt and where they are used.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from zlib import crc32

from hub.headline.lexicon import Opinion
from hub.headline.words import stem

BUCKETS = 2**15
OPINION_FEATURES = 5
PIECES = (3, 4, 5)
"""Lengths of the pieces of words, in characters."""


@lru_cache(maxsize=50_000)
def word_features(word: str) -> tuple[int, ...]:
    """Buckets of a word itself, its stem and its pieces; numbers are all alike but for what they count."""
    shape = _shape(word)
    edged = f"<{shape}>"
    pieces = [edged[at : at + length] for length in PIECES for at in range(len(edged) - length + 1)]
    return tuple(crc32(piece.encode()) % BUCKETS for piece in [f"w {shape}", f"s {stem(shape)}", *pieces])


@lru_cache(maxsize=50_000)
def pair_feature(first: str, second: str) -> int:
    """Bucket of two neighbours, by their stems."""
    return crc32(f"p {stem(_shape(first))} {stem(_shape(second))}".encode()) % BUCKETS


def opinion_features(opinion: Opinion, count: int) -> tuple[float, ...]:
    """The lexicon's opinion as numbers; `count`: of words."""
    return opinion.score, max(0.0, opinion.score), abs(opinion.score), float(opinion.good + opinion.bad == 0.0), min(count, 20) / 20.0


def text_features(found: Sequence[str]) -> list[int]:
    """All buckets of a headline's words, repeated as they occur."""
    buckets = [bucket for word in found for bucket in word_features(word)]
    return buckets + [pair_feature(first, second) for first, second in pairwise(found)]


def _shape(word: str) -> str:
    if not any(letter.isdigit() for letter in word):
        return word
    return (
        ("+" if word[0] == "+" else "-" if word[0] == "-" else "") + ("$" if "$" in word else "") + "0" + ("%" if word[-1] == "%" else "")
    )
