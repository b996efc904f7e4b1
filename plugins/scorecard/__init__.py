"""Scores every forecast when its time has come, beside persistence, which says that nothing changes."""

from hub import Bar, Hub, PluginSettings, Score, Transform, hookimpl
from plugins.scorecard.scoreboard import Scoreboard
from plugins.scorecard.settings import ScorecardSettings


@hookimpl
def register_settings() -> type[PluginSettings]:
    return ScorecardSettings


@hookimpl
def register_transforms(hub: Hub) -> list[Transform]:
    scoreboard = Scoreboard(hub, hub.settings_for(ScorecardSettings).window)
    return [Transform("scores", scoreboard.score, consumes=(Bar,), produces=(Score,))]
