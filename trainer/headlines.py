"""`trainer headlines`: learn how headlines sound, from a file of labelled ones; and how well that is known of others."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hub.errors import HubError
from hub.headline.features import BUCKETS, OPINION_FEATURES, opinion_features, text_features
from hub.headline.judge import LABELS, Judge, Weights, lexicon_says
from hub.headline.lexicon import opinion
from hub.headline.words import words

FOLDS = 5
STIFFNESS = 1.0
"""Inverse of the penalty on weights: of 1, 3 and 10 the best on the folds, and on headlines of another kind."""
FEWEST = 30
NEUTRAL_BAND = 0.25
"""Of the lexicon alone."""


@dataclass(frozen=True)
class Labelled:
    """Headlines and what people call them."""

    texts: list[str]
    labels: list[str]


@dataclass(frozen=True)
class Learnt:
    """Weights, and macro-F1 (mean of the classes' F1) of folds that were not learnt from."""

    weights: Weights
    figures: dict[str, Any]

    def told(self) -> str:
        """The figures as a table."""
        lines = [
            f"{self.figures['n']} headlines, {self.figures['folds']} folds: F1",
            f"{'':22}{'macro':>8}" + "".join(f"{x:>10}" for x in LABELS),
        ]
        for name, told in self.figures.items():
            if isinstance(told, dict):
                lines.append(f"{name:22}{told['macro_f1']:8.3f}" + "".join(f"{told[label]:10.3f}" for label in LABELS))
        return "\n".join(lines)


def read_labelled(file: Path) -> Labelled:
    """A CSV with the columns `text` and `label` (positive, neutral, negative). HubError with the line where it is not."""
    texts, labels = list[str](), list[str]()
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            if not {"text", "label"} <= set(reader.fieldnames or ()):
                raise HubError(f"{file}: its first line must name the columns text and label")
            for row in reader:
                if row["label"] not in LABELS:
                    raise HubError(f"{file}:{reader.line_num}: label {row['label']!r}; it is one of {', '.join(LABELS)}")
                texts.append(row["text"])
                labels.append(row["label"])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise HubError(f"{file}: cannot be read: {error}") from error
    if min(labels.count(label) for label in LABELS) < FEWEST:
        raise HubError(f"{file}: at least {FEWEST} headlines of each label are needed")
    return Labelled(texts, labels)


def learn(labelled: Labelled) -> Learnt:
    """From all of them; the figures from five folds of which each is judged by what the other four taught."""
    from sklearn.metrics import f1_score
    from sklearn.model_selection import StratifiedKFold

    labels = np.array(labelled.labels)
    seen, said = _features(labelled.texts)
    judged = {name: np.empty(len(labels), dtype="<U8") for name in ("lexicon and weights", "weights alone", "lexicon alone")}
    judged["lexicon alone"][:] = [_by_lexicon(text) for text in labelled.texts]
    for known, new in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(np.zeros(len(labels)), labels):
        found = _fitted(seen[known], said[known], labels[known])
        judge = Judge(found)
        judged["lexicon and weights"][new] = [each.label for each in judge.judge([labelled.texts[at] for at in new])]
        judged["weights alone"][new] = _by_weights(found, seen[new], said[new])
    figures: dict[str, Any] = {"n": len(labels), "folds": FOLDS}
    for name, told in judged.items():
        classes = f1_score(labels, told, average=None, labels=list(LABELS))
        figures[name] = {"macro_f1": float(np.mean(classes)), **dict(zip(LABELS, map(float, classes), strict=True))}
    return Learnt(_fitted(seen, said, labels), figures)


def _features(texts: Sequence[str]) -> tuple[Any, NDArray[np.float64]]:
    """Sparse [texts, BUCKETS] and dense [texts, OPINION_FEATURES + 3]: the lexicon's opinion and what it says by itself."""
    from scipy.sparse import csr_matrix

    columns, ends, values, said = list[int](), [0], list[float](), list[tuple[float, ...]]()
    for text in texts:
        found = words(text)
        buckets, opinion_now = text_features(found), opinion(text, found)
        columns += buckets
        values += [max(1, len(buckets)) ** -0.5] * len(buckets)
        ends.append(len(columns))
        said.append((*opinion_features(opinion_now, len(found)), *lexicon_says(opinion_now)))
    matrix = csr_matrix((values, columns, ends), (len(texts), BUCKETS))
    matrix.sum_duplicates()
    return matrix, np.array(said)


def _fitted(seen: Any, said: NDArray[np.float64], labels: NDArray[Any]) -> Weights:
    from scipy.sparse import csr_matrix, hstack
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=STIFFNESS, max_iter=2000, class_weight="balanced")
    model.fit(hstack([seen, csr_matrix(said[:, :OPINION_FEATURES])]).tocsr(), labels)
    order = [list(model.classes_).index(label) for label in LABELS]
    weights = model.coef_[order].T
    text = weights[:BUCKETS]
    unit = float(np.abs(text).max()) / 127.0
    return Weights(
        np.round(text / unit).astype(np.int8), unit, weights[BUCKETS:].astype(np.float32), model.intercept_[order].astype(np.float32)
    )


def _by_weights(weights: Weights, seen: Any, said: NDArray[np.float64]) -> list[str]:
    logits = seen @ (weights.text * weights.unit) + said[:, :OPINION_FEATURES] @ weights.opinion + weights.bias
    return [LABELS[place] for place in logits.argmax(axis=1)]


def _by_lexicon(text: str) -> str:
    score = opinion(text).score
    return "positive" if score > NEUTRAL_BAND else "negative" if score < -NEUTRAL_BAND else "neutral"
