"""The readable half of the judge: words with weights, and the little grammar that turns them round."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise
from math import sqrt
from typing import NamedTuple

from hub.headline.words import stem, words

SOFTENING = 4.0
"""So much weight, squared, is half of an opinion."""
NEGATION_REACH, RELIEF_REACH, SUBJECT_REACH = 3, 5, 4
JOINTS = frozenset({"as", "after", "while", "amid", "on", "despit", "but", "with", "following"})
MOST_PERCENT = 20.0
_NUMBER = re.compile(r"^([+-]?)(\d[\d,]*\.?\d*)%$")


class Found(NamedTuple):
    """A word that weighs something."""

    place: int
    words: str
    weight: float
    moves: bool
    """Whether it only says which way something goes."""


@dataclass(frozen=True)
class Opinion:
    """What the words say."""

    score: float
    """-1 to 1."""
    good: float
    bad: float
    """How much was found on each side; both 0: nothing known was said."""


@dataclass(frozen=True)
class Vocabulary:
    """The word lists, by stems."""

    weights: Mapping[tuple[str, ...], tuple[float, bool]]
    lengths: Mapping[str, tuple[int, ...]]
    """Of the phrases that begin with a stem, the longest first."""
    unwelcome: frozenset[str]
    relief: frozenset[str]
    no: frozenset[str]
    despite: frozenset[str]
    more: frozenset[str]
    less: frozenset[str]


@lru_cache(maxsize=1)
def vocabulary() -> Vocabulary:
    """As it stands in lexicon.toml."""
    told = tomllib.loads(files("hub.headline").joinpath("lexicon.toml").read_text(encoding="utf-8"))
    weights: dict[tuple[str, ...], tuple[float, bool]] = {}
    for section, sign, moves in (("good", 1.0, False), ("bad", -1.0, False), ("up", 1.0, True), ("down", -1.0, True)):
        for weight, listed in told[section].items():
            for each in listed:
                weights[_stems(each)] = (sign * float(weight), moves)
    lists = {name: frozenset(_joined(each) for each in told[name]["words"]) for name in ("unwelcome", "relief", "no", "despite")}
    degrees = {name: frozenset(_joined(each) for each in told["degree"][name]) for name in ("more", "less")}
    first = {stems[0] for stems in weights}
    lengths = {word: tuple(sorted({len(stems) for stems in weights if stems[0] == word}, reverse=True)) for word in first}
    return Vocabulary(weights, lengths, **lists, **degrees)


def _stems(phrase: str) -> tuple[str, ...]:
    return tuple(stem(word) for word in words(phrase))


def _joined(phrase: str) -> str:
    return " ".join(_stems(phrase))


def opinion(headline: str, found_words: Sequence[str] | None = None) -> Opinion:
    """What the words of a headline say, negation, degrees and percentages minded."""
    known, spelt = vocabulary(), found_words if found_words is not None else words(headline)
    stems = [stem(word) for word in spelt]
    found = _weighed(stems, known)
    found += _percentages(spelt, found)
    if not found:
        return Opinion(0.0, 0.0, 0.0)
    good = bad = 0.0
    background = next((at for at, word in enumerate(stems) if word in known.despite and at > 0), len(stems))
    for each in found:
        weight = _in_context(each, stems, known, found)
        if each.place > background:
            weight *= 0.35
        if weight > 0:
            good += weight
        else:
            bad -= weight
    total = (good - bad) * (0.5 if headline.rstrip().endswith("?") else 1.0)
    return Opinion(total / sqrt(total * total + SOFTENING), good, bad)


def _weighed(stems: Sequence[str], known: Vocabulary) -> list[Found]:
    found, place = list[Found](), 0
    while place < len(stems):
        for length in known.lengths.get(stems[place], ()):
            phrase = tuple(stems[place : place + length])
            if phrase in known.weights:
                weight, moves = known.weights[phrase]
                found.append(Found(place, " ".join(phrase), weight, moves))
                place += length
                break
        else:
            place += 1
    return found


def _percentages(spelt: Sequence[str], found: Sequence[Found]) -> list[Found]:
    """A signed percentage says which way by itself; any other makes the movement beside it greater."""
    more = []
    for place, word in enumerate(spelt):
        if (match := _NUMBER.match(word)) is None:
            continue
        size = min(float(match[2].replace(",", "").rstrip(".") or 0), MOST_PERCENT) / MOST_PERCENT
        if match[1]:
            more.append(Found(place, word, 1.5 * (1.0 + size) * (1 if match[1] == "+" else -1), True))
            continue
        for each in found:
            if each.moves and abs(each.place - place) <= 3:
                more.append(Found(each.place, each.words, each.weight * size, True))
                break
    return more


def _clause(stems: Sequence[str], place: int) -> list[str]:
    """What stands near a word, and on its side of every `as` or `after`."""
    before = list(stems[max(0, place - SUBJECT_REACH) : place])
    after = list(stems[place + 1 : place + SUBJECT_REACH])
    for at, word in enumerate(before):
        if word in JOINTS:
            before[: at + 1] = [""] * (at + 1)
    end = next((at for at, word in enumerate(after) if word in JOINTS), len(after))
    return [*before, "", *after[:end]]


def _is_unwelcome(near: Sequence[str], known: Vocabulary) -> bool:
    return any(word in known.unwelcome or f"{word} {following}" in known.unwelcome for word, following in pairwise([*near, ""]))


def _in_context(each: Found, stems: Sequence[str], known: Vocabulary, found: Sequence[Found]) -> float:
    weight, place = each.weight, each.place
    before, around = stems[max(0, place - NEGATION_REACH) : place], stems[max(0, place - 2) : place + 3]
    if any(word in known.more for word in around):
        weight *= 1.4
    if any(word in known.less for word in before):
        weight *= 0.6
    if each.moves:
        if _is_unwelcome(_clause(stems, place), known):
            weight = -weight
        relieved = each.words in known.relief and any(
            other.weight < 0 and not other.moves and 0 < other.place - place <= RELIEF_REACH for other in found
        )
        if relieved:
            return 1.0
    elif weight < 0:
        near = [*stems[max(0, place - RELIEF_REACH) : place], *stems[place + 1 : place + RELIEF_REACH]]
        if any(word in known.relief and word != each.words for word in near):
            return -0.5 * weight
    if any(word in known.no for word in before if word != each.words):
        return -0.7 * weight
    return weight
