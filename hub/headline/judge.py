"""How a headline sounds to those who hold coins, without a language model: a small linear model beside a readable lexicon.

P(negative, neutral, positive) = softmax(sum of the weights of the text's features / sqrt(their number) + weights of the lexicon's
opinion + bias + what the lexicon says by itself). The score is P(positive) - P(negative), the label the likeliest of the three.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import as_file, files
from math import exp, sqrt
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hub.headline.features import BUCKETS, OPINION_FEATURES, opinion_features, pair_feature, word_features
from hub.headline.injection import speaks_to_a_machine
from hub.headline.lexicon import Opinion, opinion
from hub.headline.words import words

Label = Literal["negative", "neutral", "positive"]
LABELS: tuple[Label, Label, Label] = ("negative", "neutral", "positive")
LEXICON_WEIGHT = 0.25
"""So much the lexicon's opinion counts by itself: on headlines of another kind than those that were learnt, it is the better judge."""
LEXICON_STEEPNESS = 3.0
CACHED = 50_000
Three = tuple[float, float, float]


@dataclass(frozen=True)
class Judgement:
    """What one judge says of one headline."""

    score: float
    """-1 (bad for holders) to 1 (good)."""
    label: Label
    scorer: str


@dataclass(frozen=True)
class Weights:
    """What was learnt."""

    text: NDArray[np.int8]
    """[BUCKETS, 3], in units of `unit`."""
    unit: float
    opinion: NDArray[np.float32]
    """[OPINION_FEATURES, 3]"""
    bias: NDArray[np.float32]
    """[3]"""

    def save(self, file: Path) -> None:
        """A hundred kilobytes, without a pickle."""
        np.savez_compressed(file, text=self.text, unit=np.float32(self.unit), opinion=self.opinion, bias=self.bias)

    @classmethod
    def load(cls, file: Path) -> "Weights":
        """ValueError where it is no such file."""
        with np.load(file, allow_pickle=False) as told:
            if told["text"].shape != (BUCKETS, 3) or told["opinion"].shape != (OPINION_FEATURES, 3) or told["bias"].shape != (3,):
                raise ValueError(f"{file}: its weights have another shape than this version reads")
            return cls(told["text"].astype(np.int8), float(told["unit"]), told["opinion"], told["bias"])


@lru_cache(maxsize=1)
def shipped() -> Weights:
    """Those that come with the hub; docs/sentiment.md says what they were learnt from."""
    with as_file(files("hub.headline").joinpath("weights.npz")) as file:
        return Weights.load(file)


def lexicon_says(found: Opinion) -> Three:
    """The lexicon's opinion as three logits."""
    return (
        LEXICON_STEEPNESS * max(0.0, -found.score),
        LEXICON_STEEPNESS * (0.5 - abs(found.score)),
        LEXICON_STEEPNESS * max(0.0, found.score),
    )


class Judge:
    """Judges by weights and lexicon; the same text always alike."""

    name = "lexicon"

    def __init__(self, weights: Weights | None = None) -> None:
        """`weights`: others than those that come with the hub."""
        told = weights or shipped()
        self._text = (told.text.astype(np.float32) * told.unit).tolist()
        self._opinion = [tuple(row) for row in told.opinion.tolist()]
        self._bias = tuple(told.bias.tolist())
        self._of_word = lru_cache(maxsize=CACHED)(self._word)
        self._of_pair = lru_cache(maxsize=CACHED)(self._pair)

    def judge(self, headlines: Sequence[str]) -> list[Judgement]:
        """One judgement a headline, of plain text."""
        return [self._one(headline) for headline in headlines]

    def _one(self, headline: str) -> Judgement:
        found = words(headline)
        if not found or speaks_to_a_machine(headline, found):
            return Judgement(0.0, "neutral", self.name)
        said = opinion(headline, found)
        negative, neutral, positive = self._probabilities(found, said)
        label = LABELS[max(range(3), key=(negative, neutral, positive).__getitem__)]
        return Judgement(round(positive - negative, 4), label, self.name)

    def _probabilities(self, found: Sequence[str], said: Opinion) -> Three:
        first = second = third = 0.0
        count = max(0, len(found) - 1)
        for low, mid, high, features in map(self._of_word, found):
            first, second, third, count = first + low, second + mid, third + high, count + features
        for low, mid, high in map(self._of_pair, found, found[1:]):
            first, second, third = first + low, second + mid, third + high
        scale = 1.0 / sqrt(max(1, count))
        logits = [total * scale + bias for total, bias in zip((first, second, third), self._bias, strict=True)]
        for value, weights in zip(opinion_features(said, len(found)), self._opinion, strict=True):
            for place in range(3):
                logits[place] += value * weights[place]
        for place, told in enumerate(lexicon_says(said)):
            logits[place] += LEXICON_WEIGHT * told
        most = max(logits)
        low, mid, high = (exp(logit - most) for logit in logits)
        whole = low + mid + high
        return low / whole, mid / whole, high / whole

    def _word(self, word: str) -> tuple[float, float, float, int]:
        rows = [self._text[bucket] for bucket in word_features(word)]
        return sum(row[0] for row in rows), sum(row[1] for row in rows), sum(row[2] for row in rows), len(rows)

    def _pair(self, first: str, second: str) -> Three:
        low, mid, high = self._text[pair_feature(first, second)]
        return low, mid, high
