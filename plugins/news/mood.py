"""An hour's mood: good against bad, whatever else was written; no source and no story counts more than its share."""

from collections import defaultdict
from collections.abc import Sequence
from math import sqrt

from hub import Article
from hub.headline.plain_text import is_same_story, story_of

DOUBT = 2.0
"""As if so much more, half of it good and half bad, had been written: one headline alone is no mood."""
FULL_VOICES = 10
"""Articles of one source that count whole; more of them share what comes on top by its root."""


def mood_of(articles: Sequence[Article]) -> tuple[float, int, str]:
    """Score (-1 to 1), how many stories it is made of, and who judged; 0, none and the lexicon where nothing was judged.

    (good - bad) / (good + bad + 2), each article by the size of its score: what is neutral neither helps nor dilutes.
    """
    told = _stories([article for article in articles if article.score is not None])
    by_source: dict[str, list[float]] = defaultdict(list)
    for article in told:
        by_source[article.source].append(article.score or 0.0)
    good = bad = 0.0
    for scores in by_source.values():
        share = _share(len(scores))
        good += share * sum(score for score in scores if score > 0)
        bad -= share * sum(score for score in scores if score < 0)
    scorers = {article.scorer for article in told if article.scorer} or {"lexicon"}
    return round((good - bad) / (good + bad + DOUBT), 4), len(told), scorers.pop() if len(scorers) == 1 else "mixed"


def _share(count: int) -> float:
    return 1.0 if count <= FULL_VOICES else (FULL_VOICES + sqrt(count - FULL_VOICES)) / count


def _stories(articles: Sequence[Article]) -> list[Article]:
    """One article a story: the first that told it."""
    found: list[Article] = []
    seen: list[frozenset[str]] = []
    for article in sorted(articles, key=lambda each: each.collected_at):
        story = story_of(article.title)
        if not any(is_same_story(story, other) for other in seen):
            found.append(article)
            seen.append(story)
    return found
