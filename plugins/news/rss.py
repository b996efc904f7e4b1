"""Feeds, RSS or Atom, read by feedparser; a document that defines entities of its own is refused before that."""

import asyncio
import calendar
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from time import struct_time
from typing import Any

from hub import Hub, TransientError
from hub.download import Answer, download, host_of
from plugins.news.headline import Headline, headline_of

MOST_ENTRIES = 200
ACCEPT = {"accept": "application/rss+xml, application/atom+xml, application/xml;q=0.9, text/xml;q=0.8"}


async def headlines(hub: Hub, feed: str) -> list[Headline]:
    """What one feed holds now. TransientError, with its host, where it cannot be read."""
    answer = await download(hub.http, feed, {}, ACCEPT)
    if 300 <= answer.status < 400:
        raise TransientError(
            f"{answer.host} says that the feed has moved to {_shown(answer.headers.get('location', ''))}; name that in feeds"
        )
    if answer.status != 200:
        raise TransientError(f"{answer.host} answers the feed with status {answer.status}")
    entries = await asyncio.to_thread(_entries, answer)
    now = hub.clock.now()
    return [found for entry in entries if (found := _headline(entry, host_of(feed), now)) is not None]


def _entries(answer: Answer) -> Sequence[Any]:
    if b"<!ENTITY" in answer.body.replace(b"\0", b"").upper():
        raise TransientError(f"{answer.host}: the feed defines XML entities, as an attack would: refused")
    with warnings.catch_warnings(action="ignore"):  # its own use of parts of Python that grow old
        import feedparser  # a tenth of a second

        told = feedparser.parse(answer.body, sanitize_html=False, resolve_relative_uris=False)
    if not told.entries and (told.get("bozo") or not told.get("version")):
        raise TransientError(f"{answer.host}: what it sends is no feed")
    found: Sequence[Any] = told.entries[:MOST_ENTRIES]
    return found


def _headline(entry: Any, host: str, now: datetime) -> Headline | None:
    return headline_of(entry.get("title"), entry.get("link"), host.removeprefix("www."), _time(entry), now)


def _time(entry: Any) -> datetime | None:
    told = entry.get("published_parsed") or entry.get("updated_parsed")
    if not isinstance(told, struct_time):
        return None
    try:
        return datetime.fromtimestamp(calendar.timegm(told), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _shown(place: str) -> str:
    return "".join(letter for letter in place[:200] if letter.isprintable() and letter != " ") or "somewhere else"
