"""Reads the news every quarter of an hour, judges each headline, and tells every hour's mood."""

from hub import Article, Hub, PluginSettings, Sentiment, Source, hookimpl
from hub.flow import Check
from hub.headline.gemma import Gemma
from plugins.news.desk import Desk
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
    if settings.simulated or not settings.ollama.enabled:
        return []
    return [Check("ollama", Gemma(hub.http, settings.ollama.base_url, settings.ollama.model).look, needed=False)]
