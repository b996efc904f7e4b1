"""Headlines judged without a language model, beside the usual way: TF-IDF of words and pieces of words, and logistic regression."""

import csv
import random
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union

from bench.row import Row, interleaved
from hub.headline.judge import Judge

COUNT = 10_000
LABELLED = Path(__file__).parents[1] / "tests" / "hub" / "headlines.csv"


def rows(rounds: int = 5) -> list[Row]:
    """Ten thousand headlines, no two alike, made of two halves of others."""
    with LABELLED.open(encoding="utf-8") as stream:
        known = [(row["text"], row["label"]) for row in csv.DictReader(stream)]
    chance = random.Random(1)
    halves = [text.split() for text, _ in known]
    made = [" ".join([*chance.choice(halves)[:6], str(number), *chance.choice(halves)[-5:]]) for number in range(COUNT)]
    pieces = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5))
    usual = make_pipeline(make_union(TfidfVectorizer(ngram_range=(1, 2)), pieces), LogisticRegression(max_iter=1000))
    usual.fit([text for text, _ in known], [label for _, label in known])
    measured = interleaved(rounds, _seconds(lambda: Judge().judge(made)), _seconds(lambda: usual.predict(made)))
    ours, theirs = (median(column) for column in zip(*measured, strict=True))
    return [
        Row(
            "headlines",
            ours,
            "s for 10,000",
            theirs,
            "scikit-learn's TF-IDF and logistic regression",
            median(other / mine for mine, other in measured),
            at_most=1.0,
            note="with loading; negation, degrees, orders to a machine looked for",
        )
    ]


def _seconds(work: Callable[[], object]) -> Callable[[], float]:
    def measure() -> float:
        begun = time.perf_counter()
        work()
        return time.perf_counter() - begun

    return measure
