"""The section `alerts` of the configuration: what is worth telling, when, and to whom."""

from datetime import time, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from hub.messages import Horizon, Name
from hub.settings import Duration, PluginSettings, SymbolName

HOUR = timedelta(hours=1)
Severity = Literal["info", "warning", "critical"]


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name | None = None
    """The alert's source; otherwise what the rule looks at."""
    cooldown: Annotated[Duration, Field(ge=timedelta(0))] = HOUR
    """The same thing is not told again before that."""


class ForecastRule(_Rule):
    """The live model is sure of a direction."""

    when: Literal["forecast"]
    confidence: Annotated[float, Field(ge=0.5, le=1)] = 0.6
    symbols: tuple[SymbolName, ...] = ()
    """None: all."""
    horizons: tuple[Horizon, ...] = ()
    direction: Literal["up", "down"] | None = None
    unproven: bool = False
    """Also of a model whose live skill is not above "nothing changes"."""
    severity: Severity = "info"


class ScoreRule(_Rule):
    """The live model has done worse than this, over enough forecasts."""

    when: Literal["score"]
    skill_below: float = 0.0
    least: Annotated[int, Field(ge=1)] = 500
    symbols: tuple[SymbolName, ...] = ()
    horizons: tuple[Horizon, ...] = ()
    cooldown: Annotated[Duration, Field(ge=timedelta(0))] = 24 * HOUR
    severity: Severity = "info"


class PluginRule(_Rule):
    """A plugin is not as it should be."""

    when: Literal["plugin"]
    states: tuple[Literal["retrying", "stale", "failed"], ...] = ("failed", "stale")
    plugins: tuple[Name, ...] = ()
    severity: Severity = "warning"


class GapRule(_Rule):
    """Minutes without bars."""

    when: Literal["gap"]
    minutes: Annotated[int, Field(ge=1)] = 10
    symbols: tuple[SymbolName, ...] = ()
    severity: Severity = "info"


class ModelRule(_Rule):
    """A model has changed its place."""

    when: Literal["model"]
    statuses: tuple[Literal["shadow", "live", "rejected", "rolled_back"], ...] = ("rolled_back", "live")
    severity: Severity = "warning"


Rule = Annotated[ForecastRule | ScoreRule | PluginRule | GapRule | ModelRule, Field(discriminator="when")]
USUAL: tuple[dict[str, Any], ...] = ({"when": "forecast"}, {"when": "plugin"}, {"when": "model"})


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("must be a time zone, such as Europe/Berlin") from error
    return name


class QuietHours(BaseModel):
    """While nobody is to be woken: alerts are still recorded, and not delivered unless they are critical."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    begin: time
    end: time
    zone: Annotated[str, AfterValidator(_zone)] = "UTC"


class AlertsSettings(PluginSettings):
    """Who is told what."""

    rules: tuple[Rule, ...] = Field(default=USUAL, validate_default=True)
    urls: tuple[SecretStr, ...] = ()
    """Apprise URLs: mailto://, json://, ntfy://, tgram:// and a hundred more."""
    quiet: QuietHours | None = None
    late: Annotated[Duration, Field(ge=timedelta(minutes=1))] = HOUR
    """What could not be delivered for so long is old news, and is left out."""
