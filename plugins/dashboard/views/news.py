"""What the news said of late, how it was judged and by whom, and the mood of each hour."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Any
from urllib.parse import urlsplit

from hub.flow import Store
from hub.headline.plain_text import plain_text
from hub.market.interval import to_ms
from hub.messages import Article, Sentiment

MOST = 60
HOURS = 48
BAND = 0.05
"""Closer to 0 is neither good nor bad."""


def articles(store: Store, assets: Sequence[str]) -> list[dict[str, Any]]:
    """The newest, all assets together: foreign text, cleaned, and an address only if it is one of the web."""
    found = [article for asset in assets for article in islice(store.newest_first(Article, asset=asset), MOST)]
    found.sort(key=lambda article: article.collected_at, reverse=True)
    return [
        {
            "asset": article.asset,
            "title": plain_text(article.title) or "(no title)",
            "url": article.url if is_web_address(article.url) else None,
            "source": plain_text(article.source, 60),
            "at": to_ms(article.published_at or article.collected_at),
            "collected": to_ms(article.collected_at),
            "score": article.score,
            "label": _label(article.score),
            "scorer": article.scorer,
        }
        for article in found[:MOST]
    ]


def moods(store: Store, assets: Sequence[str], now: datetime) -> list[dict[str, Any]]:
    """The last two days of each asset, hour by hour; an hour that was told again as it was told last."""
    since = now - timedelta(hours=HOURS)
    rows = []
    for asset in assets:
        hours: dict[int, Sentiment] = {}
        for mood in takewhile(lambda mood: mood.hour >= since, store.newest_first(Sentiment, asset=asset)):
            hours.setdefault(to_ms(mood.hour), mood)
        kept = sorted(hours.items())
        rows.append(
            {
                "asset": asset,
                "at": [at for at, _ in kept],
                "score": [mood.score for _, mood in kept],
                "articles": [mood.articles for _, mood in kept],
            }
        )
    return rows


def is_web_address(address: str) -> bool:
    """Whether a browser may be sent there."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _label(score: float | None) -> str:
    if score is None:
        return "not judged"
    return "good" if score > BAND else "bad" if score < -BAND else "neutral"
