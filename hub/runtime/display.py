"""What `hub demo` shows on stdout: every bar, forecast, score and alert as it comes back from the broker."""

import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta

from hub.messages import Alert, Bar, Forecast, Message, Score
from hub.runtime.app import App
from hub.score_words import verdict_of

FRESH = timedelta(minutes=10)
"""Older bars are history, and not shown."""


def bars_on(show: Callable[[str], None] = print) -> Callable[[App], Awaitable[None]]:
    """Runs beside the hub and shows what anybody who subscribes would see."""

    async def follow(app: App) -> None:
        async for message in app.bus.subscribe((Bar, Forecast, Score, Alert)):
            if isinstance(message, Bar) and app.clock.now() - message.close_time > FRESH:
                continue  # the past is being filled in: a progress bar says so
            show(line(message))
            sys.stdout.flush()

    return follow


def line(message: Message) -> str:
    """One message as one line."""
    if isinstance(message, Bar):
        change = message.close / message.open - 1
        volume = "        -" if message.volume is None else f"{message.volume:9.3f}"
        return (
            f"{message.open_time:%Y-%m-%d %H:%M}  bar    {message.symbol:<9} {message.close:>12,.2f}  {change:+.2%}"
            f"  volume {volume}  {message.source}{'' if message.quality == 'exact' else ' (fallback)'}"
        )
    if isinstance(message, Forecast):
        return (
            f"{message.made_at:%Y-%m-%d %H:%M}  says   {message.symbol:<9} {message.price:>12,.2f}  in {message.horizon_minutes:>2} min"
            f" ({message.low:,.2f} to {message.high:,.2f}), {message.direction} with {message.confidence:.1%}"
        )
    if isinstance(message, Score):
        return _score_line(message)
    if isinstance(message, Alert):
        return f"{message.raised_at:%Y-%m-%d %H:%M}  alert  {message.symbol:<9} {message.text}"
    return message.model_dump_json()


def _score_line(score: Score) -> str:
    came = "" if score.last_outcome is None else f"{score.last_outcome:+.2%}"
    skill = "" if score.skill is None else f" (skill {score.skill:+.2%})"
    return (
        f"{score.scored_at:%Y-%m-%d %H:%M}  came   {score.symbol:<9} {came:>12}  in {score.horizon_minutes:>2} min;"
        f" of {score.n} forecasts: {verdict_of(score)}{skill}"
    )
