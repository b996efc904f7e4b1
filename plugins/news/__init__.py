"""Reads the news every quarter of an hour, judges each headline, and tells every hour's mood."""

import asyncio
from functools import partial

from hub import Article, Hub, PluginSettings, Sentiment, Source, TransientError, hookimpl
from hub.errors import HubError
from hub.flow import Check
from hub.headline.gemma import Gemma
from plugins.news.desk import Desk
from plugins.news.rss import headlines
from plugins.news.settings import NewsSettings


@hookimpl
def register_settings() -> type[PluginSettings]:
    return NewsSettings


@hookimpl
def register_sources(hub: Hub) -> list[Source]:
    settings = hub.settings_for(NewsSettings)
    desk = Desk(hub, settings)
    return [Source("news", desk.stream, produces=(Article, Sentiment), stale_after=3 * settings.every, remark=desk.remark)]


@hookimpl
def register_checks(hub: Hub) -> list[Check]:
    settings = hub.settings_for(NewsSettings)
    if settings.simulated:
        return []
    looks = [Check("feeds", partial(_feeds, hub, settings), needed=False)] if settings.feeds else []
    if settings.ollama.enabled:
        looks.append(Check("ollama", Gemma(hub.http, settings.ollama.base_url, settings.ollama.model).look, needed=False))
    return looks


async def _feeds(hub: Hub, settings: NewsSettings) -> str:
    answers = await asyncio.gather(*(headlines(hub, feed) for feed in settings.feeds), return_exceptions=True)
    if troubles := [str(answer) for answer in answers if isinstance(answer, HubError)]:
        raise TransientError(f"{'; '.join(dict.fromkeys(troubles))} (news.feeds)")
    return f"{len(answers)} feeds, {sum(len(answer) for answer in answers if isinstance(answer, list))} headlines"
