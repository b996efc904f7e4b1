"""The news desk: asks the sources, knows what it has had, has the new judged, and tells each hour's mood."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from itertools import takewhile

from hub import Article, Hub, Message, Sentiment, TransientError
from hub.market.interval import from_ms, to_ms
from hub.market.mood import HOUR_MS
from plugins.news.assets import Assets
from plugins.news.headline import Headline, is_old
from plugins.news.judging import Judging
from plugins.news.mood import mood_of
from plugins.news.newsapi import NewsApi
from plugins.news.rss import headlines as feed_headlines
from plugins.news.settings import NewsSettings
from plugins.news.simulated import simulated_headlines

REMEMBERED = timedelta(days=4)
MOST_A_ROUND = 300
FIRST_WAIT_S = 5.0
Fetch = Callable[[], Awaitable[list[Headline]]]


class Desk:
    """One for each hub."""

    def __init__(self, hub: Hub, settings: NewsSettings) -> None:
        self._hub = hub
        self._settings = settings
        self._assets = Assets(hub.symbols, settings.names)
        self._judging = Judging(hub, settings.ollama)
        self._newsapi = NewsApi(hub, settings.newsapi, self._assets.words)
        self._seen: dict[str, datetime] = {}
        self._troubles: dict[str, str] = {}

    def remark(self) -> str | None:
        """What is not well although it works."""
        told = [*self._troubles.values(), f"NewsAPI: {words}" if (words := self._newsapi.remark()) else None, self._judging.remark()]
        return "; ".join(dict.fromkeys(filter(None, told))) or None

    async def stream(self) -> AsyncGenerator[Sequence[Message], None]:
        """Articles and moods, round by round, for ever."""
        await asyncio.to_thread(self._recall)
        await self._hub.clock.sleep(FIRST_WAIT_S)
        while True:
            yield await self._round()
            now = to_ms(self._hub.clock.now())
            every = self._settings.every // timedelta(milliseconds=1)
            await self._hub.clock.sleep((every - now % every) / 1000 + FIRST_WAIT_S)

    async def _round(self) -> list[Message]:
        fetched = await asyncio.gather(*(self._fetched(name, fetch) for name, fetch in self._sources().items()))
        new = self._new([headline for headlines in fetched for headline in headlines])
        verdicts = await self._judging.judge([headline.title for headline in new])
        now = self._hub.clock.now()
        articles = [
            Article(
                asset=asset,
                title=headline.title,
                url=headline.url,
                source=headline.source,
                published_at=headline.published_at,
                collected_at=now,
                score=None if verdict is None else verdict.score,
                scorer=None if verdict is None else verdict.scorer,
            )
            for headline, verdict in zip(new, verdicts, strict=True)
            for asset in self._assets.in_headline(headline.title)
        ]
        return [*articles, *await asyncio.to_thread(self._moods, articles, now)]

    def _sources(self) -> dict[str, Fetch]:
        if self._settings.simulated:
            return {"simulated": lambda: simulated_headlines(self._hub, self._assets.ours)}
        feeds: dict[str, Fetch] = {feed: lambda feed=feed: feed_headlines(self._hub, feed) for feed in self._settings.feeds}  # type: ignore[misc]
        return {**feeds, "newsapi": self._newsapi.headlines}

    async def _fetched(self, name: str, fetch: Fetch) -> list[Headline]:
        try:
            found = await fetch()
        except TransientError as error:
            if name not in self._troubles:
                self._hub.log.warning("a source of news does not answer", reason=str(error))
            self._troubles[name] = str(error)
            return []
        if self._troubles.pop(name, None) is not None:
            self._hub.log.info("a source of news is back", source=name)
        return found

    def _new(self, headlines: Sequence[Headline]) -> list[Headline]:
        """Those about our assets that we have not had, each title once, the newest at most."""
        now, found = self._hub.clock.now(), list[Headline]()
        self._seen = {key: at for key, at in self._seen.items() if now - at < REMEMBERED}
        for headline in headlines:
            key = _key(headline.title)
            if key not in self._seen and not is_old(headline, now) and self._assets.in_headline(headline.title):
                self._seen[key] = now
                found.append(headline)
        return found[:MOST_A_ROUND]

    def _moods(self, fresh: Sequence[Article], now: datetime) -> list[Message]:
        begin = from_ms(to_ms(now) - to_ms(now) % HOUR_MS)
        return [self._mood(asset, begin, [article for article in fresh if article.asset == asset]) for asset in self._assets.ours]

    def _mood(self, asset: str, hour: datetime, fresh: Sequence[Article]) -> Sentiment:
        """Of the running hour so far; its last word about the hour is the one that counts."""
        stored = takewhile(lambda article: article.collected_at >= hour, self._hub.store.newest_first(Article, asset=asset))
        score, count, scorer = mood_of([*fresh, *stored])
        return Sentiment(asset=asset, hour=hour, score=score, articles=count, scorer=scorer)

    def _recall(self) -> None:
        """What was had before the restart."""
        oldest = self._hub.clock.now() - REMEMBERED
        for asset in self._assets.ours:
            known = takewhile(lambda article: article.collected_at >= oldest, self._hub.store.newest_first(Article, asset=asset))
            self._seen |= {_key(article.title): article.collected_at for article in known}


def _key(title: str) -> str:
    """Two titles that differ in letters' size, spaces and punctuation alone are one."""
    return "".join(letter for letter in title.casefold() if letter.isalnum()) or title
