"""Brings alerts to people: through Apprise, which knows a hundred ways. The only file that knows Apprise."""

import asyncio
import warnings
from collections.abc import Sequence
from datetime import datetime, time
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from hub import Alert, Hub, SettingsError, TransientError
from plugins.alerts.settings import AlertsSettings, QuietHours

MOST_REMEMBERED = 1_000


class Notifier:
    """A durable sink: an alert counts as delivered when every target has taken it."""

    def __init__(self, hub: Hub, settings: AlertsSettings) -> None:
        self._hub = hub
        self._settings = settings
        self._targets: list[Any] | None = None
        self._taken: set[tuple[int, str]] = set()
        """Targets that have had an alert which others still lack."""
        self._left_out = 0

    def remark(self) -> str | None:
        """What nobody was told."""
        if not self._left_out:
            return None
        return f"{self._left_out} alerts could not be delivered within {self._settings.late.total_seconds() / 60:g} min and were left out"

    async def write(self, alerts: Sequence[Alert]) -> None:
        """Deliver what is not old news. TransientError, without any secret, where a target does not take it."""
        for alert in alerts:
            if self._is_due(alert):
                await self._deliver(alert)
        self._taken.clear()

    def _is_due(self, alert: Alert) -> bool:
        now, raised = self._hub.clock.now(), alert.raised_at or self._hub.clock.now()
        if now - raised > self._settings.late:
            if self._settings.urls:
                self._left_out += 1
                self._hub.log.warning("an alert is too old to be delivered", text=alert.text, raised_at=raised.isoformat())
            return False
        return alert.severity == "critical" or not is_quiet(self._settings.quiet, raised)

    async def _deliver(self, alert: Alert) -> None:
        failed = []
        for number, target in enumerate(self._loaded()):
            key = number, f"{alert.raised_at} {alert.source} {alert.text}"
            if key in self._taken:
                continue
            if await asyncio.to_thread(_tell, target, alert):
                self._taken.add(key)
            else:
                failed.append(f"{number + 1} ({_scheme(self._settings.urls[number].get_secret_value())})")
        if failed:
            raise TransientError(f"alerts are not taken by target {', '.join(failed)} of plugins.alerts.urls; it is tried again")

    def _loaded(self) -> list[Any]:
        if self._targets is None:
            with warnings.catch_warnings(action="ignore"):  # its modules use parts of Python that grow old
                import apprise  # 20 MB: only where somebody is told

                self._targets = [
                    apprise.Apprise.instantiate(url.get_secret_value(), suppress_exceptions=True) for url in self._settings.urls
                ]
        if None in self._targets:
            place = f"plugins.alerts.urls.{self._targets.index(None)}"
            raise SettingsError(f"{place}: is no URL that Apprise knows; see github.com/caronc/apprise for how each looks")
        return self._targets


def is_quiet(hours: QuietHours | None, at: datetime) -> bool:
    """Whether that moment lies in the quiet hours, by the wall clocks of their zone; they may reach over midnight."""
    if hours is None:
        return False
    clock: time = at.astimezone(ZoneInfo(hours.zone)).time()
    if hours.begin <= hours.end:
        return hours.begin <= clock < hours.end
    return clock >= hours.begin or clock < hours.end


def _tell(target: Any, alert: Alert) -> bool:
    kind = {"info": "info", "warning": "warning", "critical": "failure"}[alert.severity]
    try:
        return bool(target.notify(body=alert.text, title=f"TickerML: {alert.source}", notify_type=kind))
    except Exception:  # noqa: BLE001 - a hundred plugins of Apprise's own; and their words may hold the URL
        return False


def _scheme(url: str) -> str:
    return urlsplit(url).scheme or "?"
