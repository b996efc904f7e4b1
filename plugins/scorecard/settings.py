"""The section `scorecard` of the configuration."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from hub.settings import Duration, PluginSettings


class ScorecardSettings(PluginSettings):
    """What the scoreboard looks back on."""

    window: Annotated[Duration, Field(ge=timedelta(hours=1), le=timedelta(days=366))] = timedelta(days=7)
    """Scores are of the forecasts of this last stretch of time."""
