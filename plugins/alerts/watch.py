"""Holds every message against the rules, and says nothing twice."""

from collections import OrderedDict
from collections.abc import AsyncIterator
from datetime import datetime
from itertools import takewhile
from typing import Any

from hub import Alert, Forecast, Hub, Score
from plugins.alerts.rules import Told, told
from plugins.alerts.settings import AlertsSettings, Rule

REMEMBERED = 2_000


class Watch:
    """What has been told, and when; over restarts, since alerts are on disk before anybody sees them."""

    def __init__(self, hub: Hub, settings: AlertsSettings) -> None:
        self._hub = hub
        self._rules = settings.rules
        self._longest = max((rule.cooldown for rule in settings.rules), default=None)
        self._last: OrderedDict[tuple[str, str, str], datetime] = OrderedDict()
        self._looked_back: set[str] = set()
        self._scores: dict[tuple[str, int, str], Score] | None = None

    async def apply(self, message: Any) -> AsyncIterator[Alert]:
        """The alerts that one message gives rise to."""
        if isinstance(message, Score):
            self._known_scores()[message.symbol, message.horizon_minutes, message.model.sha256] = message
        for rule in self._rules:
            found = told(rule, message, self._known_scores())
            if found is not None and self._is_news(rule, found):
                yield Alert(
                    symbol=found.symbol,
                    source=_source(rule),
                    text=f"{found.subject}: {found.text}"[:1000],
                    severity=rule.severity,
                    forecast=message if isinstance(message, Forecast) else None,
                    raised_at=self._hub.clock.now(),
                )

    def _is_news(self, rule: Rule, found: Told) -> bool:
        self._look_back(found.symbol)
        key, now = (_source(rule), found.symbol, found.subject), self._hub.clock.now()
        last = self._last.get(key)
        if last is not None and last <= now < last + rule.cooldown:
            return False
        self._last[key] = now
        self._last.move_to_end(key)
        if len(self._last) > REMEMBERED:
            self._last.popitem(last=False)
        return True

    def _look_back(self, symbol: str) -> None:
        """What was told before the start."""
        if symbol in self._looked_back or self._longest is None:
            return
        self._looked_back.add(symbol)
        since = self._hub.clock.now() - self._longest
        past = self._hub.store.newest_first(Alert, symbol=symbol)
        for alert in takewhile(lambda alert: alert.raised_at is not None and alert.raised_at >= since, past):
            key = alert.source, alert.symbol, alert.text.partition(": ")[0]
            if alert.raised_at is not None:
                self._last.setdefault(key, alert.raised_at)

    def _known_scores(self) -> dict[tuple[str, int, str], Score]:
        if self._scores is None:
            newest = self._hub.store.newest(Score)
            self._scores = {(score.symbol, score.horizon_minutes, score.model.sha256): score for score in newest if score.role == "live"}
        return self._scores


def _source(rule: Rule) -> str:
    return rule.name or rule.when
