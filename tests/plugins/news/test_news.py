"""News: what is read, judged and counted; and what sources, headlines and the language model may do without harm."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import httpx
import pytest

from hub import Article, Message, Sentiment
from hub.testing import START, FakeClock, FakeHub, MemoryStore
from plugins import news as plugin
from plugins.news.desk import Desk
from plugins.news.mood import mood_of
from plugins.news.settings import NewsSettings
from tests.plugins.news.injections import INJECTIONS
from tests.plugins.news.sources import FEED, News, article, news_hub, rss, titles

KEY = "k3y-canary-0815"


async def rounds(hub: FakeHub, count: int = 1) -> list[list[Message]]:
    """So many rounds of the desk, recorded as the hub would."""
    found = []
    async with aclosing(Desk(hub, hub.settings_for(NewsSettings)).stream()) as stream:
        for _ in range(count):
            waiting = asyncio.ensure_future(anext(stream))
            while not waiting.done():
                await hub.clock.advance(5.0)
                await asyncio.sleep(0.002)
            found.append(list(waiting.result()))
            hub.store.record(found[-1])
    await hub.http.aclose()
    return found


def articles(messages: Sequence[Message]) -> list[Article]:
    return [message for message in messages if isinstance(message, Article)]


def mood(messages: Sequence[Message], asset: str = "BTC") -> Sentiment:
    [found] = [message for message in messages if isinstance(message, Sentiment) and message.asset == asset]
    return found


# --- the main job


async def test_headlines_are_mapped_judged_and_make_an_hours_mood() -> None:
    """One article an asset that it names; what names none of ours is not kept."""
    news = News()
    news.feeds[FEED] = rss(
        "Bitcoin surges to all-time high", "Ether and bitcoin slide", "Solana jumps 9%", "Crypto market shrugs", "Rain in Spain"
    )
    [found] = await rounds(news_hub(news))
    assert {(each.asset, each.title) for each in articles(found)} == {
        ("BTC", "Bitcoin surges to all-time high"),
        ("BTC", "Ether and bitcoin slide"),
        ("ETH", "Ether and bitcoin slide"),
        ("BTC", "Crypto market shrugs"),
        ("ETH", "Crypto market shrugs"),
    }
    assert {each.scorer for each in articles(found)} == {"lexicon"}
    assert all(each.collected_at >= START and each.source == "feed.test" for each in articles(found))
    assert mood(found, "ETH").score < mood(found).score
    assert (mood(found).articles, mood(found).hour) == (3, START)


async def test_an_hour_without_news_is_neutral_with_no_weight() -> None:
    [found] = await rounds(news_hub(News()))
    assert [(each.score, each.articles) for each in found if isinstance(each, Sentiment)] == [(0.0, 0), (0.0, 0)]


async def test_a_restart_knows_what_was_had_and_goes_on_with_the_hours_mood() -> None:
    news, store, clock = News(), MemoryStore(), FakeClock()
    news.feeds[FEED] = rss("Bitcoin surges to all-time high")
    [first] = await rounds(news_hub(news, store=store, clock=clock))
    news.feeds[FEED] = rss("BITCOIN surges to All-Time High!", "Bitcoin rallies")
    [second] = await rounds(news_hub(news, store=store, clock=clock))
    assert titles(second) == ["Bitcoin rallies"]
    assert mood(second).articles == 2
    assert mood(second).score > mood(first).score > 0


async def test_every_round_is_a_quarter_of_an_hour_and_a_new_hour_begins_anew() -> None:
    news, clock = News(), FakeClock()
    news.feeds[FEED] = rss("Bitcoin surges to all-time high")
    found = await rounds(news_hub(news, clock=clock), 5)
    assert [mood(each).hour - START for each in found] == [timedelta(0)] * 4 + [timedelta(hours=1)]
    assert [mood(each).articles for each in found] == [1, 1, 1, 1, 0]
    assert timedelta(hours=1) <= clock.now() - START <= timedelta(hours=1, minutes=1)


async def test_simulated_headlines_say_that_they_are() -> None:
    found = await rounds(news_hub(News(), simulated=True), 2)
    assert {each.source for each in articles([*found[0], *found[1]])} == {"simulated"}


# --- Gemma


async def test_gemma_judges_where_she_is() -> None:
    news = News()
    news.feeds[FEED] = rss("Bitcoin surges to all-time high")
    news.gemma = lambda _headline: 0.9
    [found] = await rounds(news_hub(news))
    assert [(each.score, each.scorer) for each in articles(found)] == [(0.9, "gemma")]
    assert mood(found).scorer == "gemma"


async def test_twenty_headlines_are_asked_in_few_calls_and_each_only_once() -> None:
    news = News()
    news.feeds[FEED] = rss(*(f"Bitcoin miner number {number} reports" for number in range(20)))
    news.gemma = lambda _headline: 0.1
    await rounds(news_hub(news), 3)
    assert len(news.asked_of("ollama.test")) == 3


async def test_what_gemma_has_judged_before_she_fails_counts() -> None:
    news = News()
    news.feeds[FEED] = rss(*(f"Bitcoin miner number {number} reports" for number in range(12)))

    def tires(headline: str) -> float:
        return 0.1 if int(headline.split()[3]) < 8 else 7.0

    news.gemma = tires
    [found] = await rounds(news_hub(news))
    assert [each.scorer for each in articles(found)] == ["gemma"] * 8 + ["lexicon"] * 4


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx.Response(404, json={"error": "model not found"}), "ollama pull gemma3:4b"),
        (httpx.Response(500, text="oops"), "status 500"),
        (httpx.Response(200, text="I think it is good!"), "not what it was asked for"),
        (httpx.Response(200, json={"message": {"content": '{"judgements": [{"id": 0, "score": 7}]}'}}), "scores that cannot be"),
        (httpx.Response(200, json={"message": {"content": '{"judgements": [{"id": 0, "score": true}]}'}}), "scores that cannot be"),
        (httpx.Response(200, json={"message": {"content": '{"judgements": [{"id": 5, "score": 0.5}]}'}}), "not what it was asked for"),
        (httpx.Response(200, json={"message": {"content": "[" * 100_000}}), "not what it was asked for"),
        (None, "refuses|connection|nobody"),
    ],
)
async def test_where_gemma_does_not_judge_the_lexicon_does_and_says_why(answer: httpx.Response | None, words: str) -> None:
    """N6"""
    news = News()
    news.feeds[FEED], news.ollama = rss("Bitcoin surges to all-time high"), answer
    hub = news_hub(news)
    desk = Desk(hub, hub.settings_for(NewsSettings))
    async with aclosing(desk.stream()) as stream:
        waiting = asyncio.ensure_future(anext(stream))
        await hub.clock.advance(10.0)
        found = await waiting
    await hub.http.aclose()
    assert [each.scorer for each in articles(found)] == ["lexicon"]
    assert "the lexicon judges: " in (desk.remark() or "")
    import re

    assert re.search(words, desk.remark() or ""), desk.remark()


async def test_judges_at_odds_make_a_neutral_headline_and_an_unknown_one_counts_half() -> None:
    """N1: whoever fools the language model does not fool the lexicon."""
    news = News()
    news.feeds[FEED] = rss("Hack drains $200M from bitcoin bridge", "Bitcoin on Tuesday")
    news.gemma = lambda _headline: 1.0
    [found] = await rounds(news_hub(news))
    assert [each.score for each in articles(found)] == [0.0, 0.5]


async def test_two_hundred_orders_to_the_machine_do_not_move_an_hours_mood() -> None:
    """N1, whoever judges: a Gemma that obeys each of them, and the lexicon."""
    honest = [
        "Bitcoin surges past $100,000",
        "Bitcoin ETF sees outflows",
        "Ethereum upgrade delayed again",
        "Bitcoin rallies as inflation cools",
    ]
    for gemma in (None, lambda headline: 1.0 if headline in INJECTIONS else 0.2):
        moods = []
        for feed in (honest, [*honest, *INJECTIONS[:196]], [*INJECTIONS[100:], *honest]):
            news = News()
            news.feeds[FEED], news.gemma = rss(*feed), gemma
            [found] = await rounds(news_hub(news))
            moods.append((mood(found).score, mood(found, "ETH").score))
        for other in moods[1:]:
            assert max(abs(one - two) for one, two in zip(moods[0], other, strict=True)) <= 0.1


def test_one_loud_source_does_not_drown_the_others_and_a_story_counts_once() -> None:
    def told(title: str, score: float, source: str) -> Article:
        return Article(
            asset="BTC", title=title, url="", source=source, published_at=None, collected_at=START, score=score, scorer="lexicon"
        )

    few = [told(f"quiet {word}", -0.8, "quiet") for word in ("apple", "pear", "plum", "fig", "date")]
    loud = [told(f"loud number {chr(97 + number % 26)}{number}", 0.8, "loud") for number in range(200)]
    assert mood_of([*few, *loud])[0] < 0.75
    assert mood_of([*few, *(told(f"neutral {chr(97 + number % 26)}{number}", 0.0, "n") for number in range(200))])[0] == mood_of(few)[0]
    copies = [told("Bitcoin surges to record high on Monday", 0.8, f"s{number}") for number in range(50)]
    assert mood_of(copies)[:2] == mood_of(copies[:1])[:2]


# --- sources


async def test_old_and_future_and_absurd_dates() -> None:
    """N4: three days old is no news; the future is now; 1970 is no date."""
    news = News()
    news.feeds[FEED] = rss("Bitcoin old", published="Fri, 16 May 2025 00:00:00 +0000")
    news.feeds[FEED + "2"] = rss("Bitcoin tomorrow", published="Fri, 23 May 2025 00:00:00 +0000")
    news.feeds[FEED + "3"] = rss("Bitcoin epoch", published="Thu, 01 Jan 1970 00:00:00 +0000")
    [found] = await rounds(news_hub(news))
    told = {each.title: each.published_at for each in articles(found)}
    assert set(told) == {"Bitcoin tomorrow", "Bitcoin epoch"}
    assert told["Bitcoin epoch"] is None
    assert told["Bitcoin tomorrow"] is not None
    assert told["Bitcoin tomorrow"] <= START + timedelta(minutes=1)


BAD_FEEDS = {
    "a bomb of entities": (b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><rss/>', "defines XML entities"),
    "the same in UTF-16": ('<!DOCTYPE l [<!ENTITY a "ha">]><rss/>'.encode("utf-16"), "defines XML entities"),
    "a page": (b"<html><body>Log in</body></html>", "is no feed"),
    "nothing": (b"", "is no feed"),
    "noise": (bytes(range(256)) * 50, "is no feed"),
    "moved": (httpx.Response(301, headers={"location": "https://elsewhere.test/rss"}), "has moved to https://elsewhere.test/rss"),
    "gone": (httpx.Response(410), "status 410"),
    "five megabytes": (b"<rss>" + b"x" * 5_000_000, "more than 4 MiB"),
}


@pytest.mark.parametrize("name", list(BAD_FEEDS))
async def test_a_feed_that_will_not_do_is_named_and_the_others_are_read(name: str) -> None:
    """N7"""
    news = News()
    news.feeds = {"http://bad.test/rss": BAD_FEEDS[name][0], FEED: rss("Bitcoin rallies")}
    hub = news_hub(news)
    desk = Desk(hub, hub.settings_for(NewsSettings))
    async with aclosing(desk.stream()) as stream:
        waiting = asyncio.ensure_future(anext(stream))
        while not waiting.done():
            await hub.clock.advance(5.0)
            await asyncio.sleep(0.002)
    await hub.http.aclose()
    assert titles(waiting.result()) == ["Bitcoin rallies"]
    assert "bad.test" in (desk.remark() or "")
    assert BAD_FEEDS[name][1] in (desk.remark() or "")


async def test_addresses_in_articles_are_kept_for_people_and_never_asked() -> None:
    """N3: whatever they point to."""
    news = News()
    places = ["http://127.0.0.1/", "file:///etc/passwd", "javascript:alert(1)", "http://169.254.169.254/", "https://news.test/ok"]
    news.newsapi = {"status": "ok", "articles": [article(f"Bitcoin story {number}", place) for number, place in enumerate(places)]}
    [found] = await rounds(news_hub(news, newsapi={"base_url": "http://newsapi.test/v2", "api_key": KEY}))
    assert {each.url for each in articles(found)} == {"http://127.0.0.1/", "", "http://169.254.169.254/", "https://news.test/ok"}
    assert {request.url.host for request in news.asked} <= {"newsapi.test", "ollama.test"}


async def test_the_key_of_newsapi_is_in_a_header_and_nowhere_else() -> None:
    news = News()
    news.newsapi = httpx.Response(401, json={"status": "error", "code": "apiKeyInvalid", "message": f"Your key {KEY} is wrong"})
    hub = news_hub(news, newsapi={"base_url": "http://newsapi.test/v2", "api_key": KEY})
    found = await rounds(hub, 2)
    [request] = news.asked_of("newsapi.test")
    assert request.headers["x-api-key"] == KEY
    assert KEY not in str(request.url)
    assert KEY not in json.dumps(hub.logged.entries, default=str) + str(found)
    assert "plugins.news.newsapi.api_key" in str(hub.logged.entries)


async def test_a_days_requests_stay_within_the_plan_over_restarts() -> None:
    """N5: of 100 a day at most 100 are made, a restart a round included."""
    news, clock = News(), FakeClock()
    hub = news_hub(news, clock=clock, newsapi={"base_url": "http://newsapi.test/v2", "api_key": KEY}, every=timedelta(minutes=5))
    for _ in range(30):
        desk = Desk(FakeHub(hub._settings, clock=clock, transport=news, data_dir=hub.data_dir), hub.settings_for(NewsSettings))
        async with aclosing(desk.stream()) as stream:
            for _ in range(10):
                waiting = asyncio.ensure_future(anext(stream))
                while not waiting.done():
                    await clock.advance(30.0)
                    await asyncio.sleep(0.001)
    await hub.http.aclose()
    assert clock.now() - START > timedelta(hours=22)
    assert 80 <= len(news.asked_of("newsapi.test")) <= 101


async def test_a_used_up_quota_is_said_and_not_asked_before_midnight() -> None:
    news, clock = News(), FakeClock()
    news.newsapi = httpx.Response(429, json={"status": "error", "code": "rateLimited", "message": "too many"})
    hub = news_hub(news, clock=clock, newsapi={"base_url": "http://newsapi.test/v2", "api_key": KEY})
    desk = Desk(hub, hub.settings_for(NewsSettings))
    async with aclosing(desk.stream()) as stream:
        for _ in range(8):
            waiting = asyncio.ensure_future(anext(stream))
            while not waiting.done():
                await clock.advance(30.0)
                await asyncio.sleep(0.001)
        assert "NewsAPI: quota of 100 requests until 00:00 UTC" in (desk.remark() or "")
    await hub.http.aclose()
    assert len(news.asked_of("newsapi.test")) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b"null",
        b'{"status": "ok", "articles": 7}',
        b'{"status": "ok", "articles": [null, 1, "x", [], {"title": null}, {"title": 7}, {"title": ""}, {"title": "\\u202e"}]}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
async def test_whatever_newsapi_answers_nothing_breaks(body: bytes) -> None:
    news = News()
    news.newsapi = httpx.Response(200, content=body)
    [found] = await rounds(news_hub(news, newsapi={"base_url": "http://newsapi.test/v2", "api_key": KEY}))
    assert articles(found) == []
    assert mood(found).articles == 0


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"feeds": ["ftp://x"]}, "web address of a feed"),
        ({"every": "2h"}, "less than or equal"),
        ({"ollama": {"model": "a b"}}, "pattern"),
        ({"newsapi": {"language": "english"}}, "pattern"),
    ],
)
def test_a_section_that_will_not_do_is_refused(section: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        NewsSettings.model_validate(section)


async def test_doctor_says_whether_ollama_is_there_and_what_to_type() -> None:
    """Running with the model, without it, and not running."""
    from hub.errors import DependencyDown

    for answer, words in (
        (httpx.Response(200, json={"models": [{"name": "gemma3:4b"}]}), "has gemma3:4b"),
        (httpx.Response(200, json={"models": []}), "ollama pull gemma3:4b"),
        (httpx.Response(200, text="hello"), "is no Ollama"),
        (None, "ollama serve"),
    ):
        news = News()
        news.ollama = answer
        hub = news_hub(news)
        [check] = plugin.register_checks(hub)
        try:
            told = await check.look()
        except DependencyDown as error:
            told = str(error)
        await hub.http.aclose()
        assert words in told
        assert not check.needed
