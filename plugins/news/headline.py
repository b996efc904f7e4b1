"""One headline as a source brought it, before anybody has judged it. Its text is untrusted."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from hub.headline.plain_text import plain_text

LONGEST_URL = 2_000
FIRST_NEWS = datetime(2009, 1, 3, tzinfo=UTC)
"""Bitcoin's first day: what claims to be older has a wrong date."""


@dataclass(frozen=True)
class Headline:
    """Plain text; where and when it was published, as far as that can be."""

    title: str
    url: str
    source: str
    published_at: datetime | None


def headline_of(title: object, url: object, source: object, published_at: datetime | None, now: datetime) -> Headline | None:
    """What is left of foreign fields when they are cleaned; None where there is no title. A date in the future is now's."""
    if not isinstance(title, str) or not (text := plain_text(title)):
        return None
    if published_at is not None:
        published_at = None if published_at < FIRST_NEWS else min(published_at, now)
    return Headline(text, _address(url), plain_text(source, 200) if isinstance(source, str) else "", published_at)


def is_old(headline: Headline, now: datetime) -> bool:
    """Whether it was published more than two days ago: no news, although we see it first now."""
    return headline.published_at is not None and now - headline.published_at > timedelta(days=2)


def _address(url: object) -> str:
    """A link that may be shown, and is never followed: http and https only."""
    if not isinstance(url, str) or len(url) > LONGEST_URL or any(ord(letter) <= 32 or ord(letter) == 127 for letter in url):
        return ""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return url if parts.scheme in {"http", "https"} and parts.netloc and url.isprintable() else ""
