"""A web server in memory that plays feeds, NewsAPI and Ollama, as they answer and as they misbehave."""

import json
from collections.abc import Callable, Sequence
from typing import Any
from xml.sax.saxutils import escape

import httpx

from hub.testing import FakeClock, FakeHub, MemoryStore

FEED = "http://feed.test/rss"
Obey = Callable[[str], float]


def rss(*titles: str, published: str = "Tue, 20 May 2025 00:00:00 +0000") -> str:
    """A feed of these titles."""
    items = "".join(
        f"<item><title>{escape(title)}</title><link>https://news.test/{number}</link><pubDate>{published}</pubDate></item>"
        for number, title in enumerate(titles)
    )
    return f'<?xml version="1.0"?><rss version="2.0"><channel><title>t</title>{items}</channel></rss>'


class News(httpx.AsyncBaseTransport):
    """What the plugin asks goes here; nothing else may be asked."""

    def __init__(self) -> None:
        self.feeds: dict[str, str | bytes | httpx.Response] = {}
        self.newsapi: httpx.Response | dict[str, Any] = {"status": "ok", "articles": []}
        self.gemma: Obey | None = None
        """Her opinion of a headline; None: Ollama is not there."""
        self.ollama: httpx.Response | None = None
        """Instead of her answer."""
        self.asked: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        url = str(request.url)
        if url in self.feeds:
            told = self.feeds[url]
            return told if isinstance(told, httpx.Response) else httpx.Response(200, content=told)
        if request.url.host == "newsapi.test":
            return self.newsapi if isinstance(self.newsapi, httpx.Response) else httpx.Response(200, json=self.newsapi)
        if request.url.host == "ollama.test" and (self.gemma or self.ollama):
            return self.ollama or self._judged(json.loads(request.content))
        raise httpx.ConnectError("nobody is here")

    def asked_of(self, host: str) -> list[httpx.Request]:
        return [request for request in self.asked if request.url.host == host]

    def _judged(self, body: dict[str, Any]) -> httpx.Response:
        assert body["options"]["temperature"] == 0
        assert body["format"]["properties"]["judgements"]
        listed = json.loads(body["messages"][-1]["content"])
        assert self.gemma is not None
        told = [{"id": each["id"], "score": self.gemma(each["headline"])} for each in listed]
        return httpx.Response(200, json={"message": {"role": "assistant", "content": json.dumps({"judgements": told})}})


def news_hub(news: News, *, clock: FakeClock | None = None, store: MemoryStore | None = None, **section: Any) -> FakeHub:
    """A hub whose sources are these."""
    usual: dict[str, Any] = {
        "feeds": list(news.feeds),
        "newsapi": {"base_url": "http://newsapi.test/v2"},
        "ollama": {"base_url": "http://ollama.test"},
    }
    return FakeHub({**usual, **section}, clock=clock, store=store, transport=news)


def article(title: str, url: str = "https://news.test/a", published: str = "2025-05-20T00:00:00Z") -> dict[str, Any]:
    """As NewsAPI tells it."""
    return {"source": {"id": None, "name": "News"}, "author": None, "title": title, "url": url, "publishedAt": published, "content": None}


def titles(messages: Sequence[Any]) -> list[str]:
    return [message.title for message in messages if hasattr(message, "title")]
