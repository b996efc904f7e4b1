"""The section `news` of the configuration: where headlines come from, and who judges them."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from hub.headline.gemma import ADDRESS, MODEL
from hub.settings import Duration, PluginSettings, SettingsModel, WebAddress

FEEDS = ("https://www.coindesk.com/arc/outboundfeeds/rss", "https://cointelegraph.com/rss", "https://decrypt.co/feed")


def _feed(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s#]*)?", value):
        raise ValueError("must be the web address of a feed, such as https://host/rss, without user and password")
    return value


FeedAddress = Annotated[str, AfterValidator(_feed)]
AssetName = Annotated[str, Field(pattern=r"^[A-Z0-9]{1,20}$")]


class NewsApiSettings(SettingsModel):
    """newsapi.org, for those who have a key."""

    base_url: WebAddress = "https://newsapi.org/v2"
    """Where its REST API is."""
    api_key: SecretStr | None = None
    """Without one it is not asked."""
    a_day: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    """Requests that the plan allows in a day, UTC; they are spread over it."""
    language: Annotated[str, Field(pattern=r"^[a-z]{2}$")] = "en"
    """What its articles are written in; the lexicon knows English."""


class OllamaSettings(SettingsModel):
    """Gemma, on this machine or another; where it is not, the lexicon judges."""

    base_url: WebAddress = ADDRESS
    """Where Ollama listens."""
    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}$")] = MODEL
    """gemma3:1b for a Pi with little memory."""
    enabled: bool = True
    """false: the lexicon alone."""


class NewsSettings(PluginSettings):
    """News and their mood."""

    every: Annotated[Duration, Field(ge=timedelta(minutes=1), le=timedelta(hours=1))] = timedelta(minutes=15)
    """How often the sources are asked."""
    newsapi: NewsApiSettings = NewsApiSettings()
    """See there."""
    feeds: Annotated[tuple[FeedAddress, ...], Field(max_length=50)] = FEEDS
    """RSS or Atom; none: []."""
    ollama: OllamaSettings = OllamaSettings()
    """See there."""
    names: dict[AssetName, tuple[Annotated[str, Field(min_length=2, max_length=50)], ...]] = Field(default_factory=dict)
    """How headlines call an asset that we do not know by ourselves, such as `{PEPE: [pepe]}`."""
    simulated: bool = False
    """Headlines made by chance instead of all sources, for demo and tests."""
