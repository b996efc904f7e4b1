"""What each rule makes of a message: the words of an alert, or nothing."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from hub import Forecast, Gap, ModelState, PluginState, Score
from hub.messages import ModelAnswer
from plugins.alerts.settings import ForecastRule, GapRule, ModelRule, PluginRule, Rule, ScoreRule

HUB = "HUB-ALL"
"""Stands for the symbol where an alert is about the hub itself."""
ENOUGH = 100
"""Fewer forecasts prove nothing."""


class Told(NamedTuple):
    """What a rule has to say."""

    symbol: str
    subject: str
    """What it is about; the same subject is not told twice within the rule's cooldown."""
    text: str
    """After the subject."""


Scores = Mapping[tuple[str, int, str], Score]
"""The newest score by symbol, horizon and digest of the model."""


def is_proven(forecast: Forecast, scores: Scores) -> bool:
    """Whether the model's live skill, for this symbol and horizon, is above "nothing changes"."""
    score = scores.get((forecast.symbol, forecast.horizon_minutes, forecast.model.sha256))
    return score is not None and score.n >= ENOUGH and score.skill is not None and score.skill > 0.0


def told(rule: Rule, message: Any, scores: Scores) -> Told | None:
    """None where the rule does not look at such messages, or finds nothing in this one."""
    look = _LOOKS.get((type(rule), type(message)))
    return None if look is None else look(rule, message, scores)


def _forecast(rule: ForecastRule, forecast: Forecast, scores: Scores) -> Told | None:
    wanted = (
        forecast.role == "live"
        and forecast.confidence >= rule.confidence
        and (not rule.symbols or forecast.symbol in rule.symbols)
        and (not rule.horizons or forecast.horizon_minutes in rule.horizons)
        and rule.direction in {None, forecast.direction}
    )
    proven = is_proven(forecast, scores)
    if not wanted or not (proven or rule.unproven):
        return None
    doubt = "" if proven else "; the model is not proven to be better than 'nothing changes'"
    subject = f"{_name(forecast.symbol)} in {forecast.horizon_minutes} minutes"
    words = f"{forecast.direction} with {forecast.confidence:.0%}, to {forecast.price:,.2f} ({forecast.low:,.2f} to {forecast.high:,.2f})"
    return Told(forecast.symbol, subject, f"{words}{doubt}")


def _score(rule: ScoreRule, score: Score, _scores: Scores) -> Told | None:
    if score.role != "live" or score.n < rule.least or score.skill is None or score.skill >= rule.skill_below:
        return None
    if (rule.symbols and score.symbol not in rule.symbols) or (rule.horizons and score.horizon_minutes not in rule.horizons):
        return None
    subject = f"skill at {_name(score.symbol)}, {score.horizon_minutes} minutes"
    return Told(score.symbol, subject, f"{score.skill:+.2%} beside 'nothing changes' over {score.n} forecasts ({score.window})")


def _plugin(rule: PluginRule, state: PluginState, _scores: Scores) -> Told | None:
    if state.state not in rule.states or (rule.plugins and state.name not in rule.plugins) or state.name == "alerts":
        return None
    return Told(HUB, f"plugin {state.name}", f"{state.state}{f': {state.error}' if state.error else ''}"[:800])


def _gap(rule: GapRule, gap: Gap, _scores: Scores) -> Told | None:
    if gap.minutes < rule.minutes or (rule.symbols and gap.symbol not in rule.symbols):
        return None
    subject = f"gap of {_name(gap.symbol)} from {gap.first_open_time:%Y-%m-%d %H.%M}"
    return Told(gap.symbol, subject, f"{gap.minutes} minutes without bars: {gap.reason}"[:800])


def _model(rule: ModelRule, state: ModelState, _scores: Scores) -> Told | None:
    answer: ModelAnswer | None = state.answer
    if answer is None or answer.status not in rule.statuses:
        return None
    return Told(HUB, f"model {answer.model or answer.sha256[:12]} {answer.status.replace('_', ' ')}", answer.reason[:800] or answer.status)


def _name(symbol: str) -> str:
    return symbol.replace("-", "/")


_LOOKS: Mapping[tuple[type, type], Callable[[Any, Any, Scores], Told | None]] = {
    (ForecastRule, Forecast): _forecast,
    (ScoreRule, Score): _score,
    (PluginRule, PluginState): _plugin,
    (GapRule, Gap): _gap,
    (ModelRule, ModelState): _model,
}
