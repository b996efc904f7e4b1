"""newsapi.org: one question for all assets, asked no oftener than the plan allows; the key goes into a header."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from hub import Hub, TransientError
from hub.download import Answer, download
from plugins.news.headline import Headline, headline_of
from plugins.news.quota import Quota
from plugins.news.settings import NewsApiSettings

PAGE = 100


class NewsApi:
    """The account behind one key."""

    def __init__(self, hub: Hub, settings: NewsApiSettings, words: Sequence[str]) -> None:
        """`words`: of which one must be in an article."""
        self._hub = hub
        self._settings = settings
        self._query = " OR ".join(f'"{word}"' if " " in word else word for word in words)[:500]
        self._quota = Quota(hub, settings.a_day)

    async def headlines(self) -> list[Headline]:
        """What is new; nothing where it is not time yet. TransientError with the reason, and never the key, where it refuses."""
        key = self._settings.api_key
        if key is None or not self._quota.may_ask():
            return []
        self._quota.asked()
        params: dict[str, str | int] = {"q": self._query, "language": self._settings.language, "sortBy": "publishedAt", "pageSize": PAGE}
        answer = await download(self._hub.http, f"{self._settings.base_url}/everything", params, {"X-Api-Key": key.get_secret_value()})
        told = self._read(answer)
        now = self._hub.clock.now()
        return [found for article in told if (found := _headline(article, now)) is not None]

    def remark(self) -> str | None:
        """Until when it is not asked, and why."""
        return self._quota.remark()

    def _read(self, answer: Answer) -> list[Any]:
        try:
            told = json.loads(answer.body)
        except (ValueError, RecursionError):
            told = None
        told = told if isinstance(told, dict) else {}
        code = str(told.get("code", ""))[:60]
        if answer.status == 429 or code in {"rateLimited", "apiKeyExhausted"}:
            self._quota.used_up()
            raise TransientError(f"NewsAPI: {self._quota.remark()}")
        if answer.status == 401 or code.startswith("apiKey"):
            self._quota.refused()
            raise TransientError(f"NewsAPI: {self._quota.remark()}")
        articles = told.get("articles")
        if answer.status != 200 or told.get("status") != "ok" or not isinstance(articles, list):
            said = f" ({code})" if code.isalnum() else ""
            raise TransientError(f"NewsAPI at {answer.host} answers with status {answer.status}{said}, and not with articles")
        return articles[:PAGE]


def _headline(article: Any, now: datetime) -> Headline | None:
    if not isinstance(article, dict):
        return None
    source = article.get("source")
    name = source.get("name") if isinstance(source, dict) else source
    return headline_of(article.get("title"), article.get("url"), name, _time(article.get("publishedAt")), now)


def _time(text: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is not None else None
