"""How often an account that counts its requests may be asked: spread over the day, remembered over restarts."""

import json
from contextlib import suppress
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from hub import Hub
from hub.whole_file import note_down

IN_RESERVE = 4
"""Requests of a day that are left for restarts, and for people."""
AFTER_REFUSAL = timedelta(hours=6)


class Quota:
    """One account's day, UTC."""

    def __init__(self, hub: Hub, a_day: int) -> None:
        self._hub = hub
        self._a_day = a_day
        self._between = timedelta(days=1) / max(1, a_day - IN_RESERVE)
        self._day: date | None = None
        self._count = 0
        self._last: datetime | None = None
        self._refused_until: datetime | None = None
        self._recall()

    def may_ask(self) -> bool:
        """Whether a request fits into the plan now."""
        now = self._hub.clock.now()
        self._turn(now)
        if self._refused_until is not None and now < self._refused_until:
            return False
        waited = self._last is None or now < self._last or now - self._last >= self._between - timedelta(seconds=30)
        return self._count < self._a_day and waited

    def asked(self) -> None:
        """One request is about to be made; on disk before that."""
        now = self._hub.clock.now()
        self._turn(now)
        self._count, self._last = self._count + 1, now
        self._note()

    def used_up(self) -> None:
        """The other side says that the day's requests are used."""
        self._turn(self._hub.clock.now())
        self._count = max(self._count, self._a_day)
        self._note()

    def refused(self) -> None:
        """The other side does not know the key."""
        self._refused_until = self._hub.clock.now() + AFTER_REFUSAL

    def remark(self) -> str | None:
        """Why it is not asked, for long."""
        now = self._hub.clock.now()
        if self._refused_until is not None and now < self._refused_until:
            return "its key is refused; look at plugins.news.newsapi.api_key"
        if self._day == now.date() and self._count >= self._a_day:
            return f"quota of {self._a_day} requests until 00:00 UTC"
        return None

    def _turn(self, now: datetime) -> None:
        if self._day != now.date():
            self._day, self._count = now.date(), 0

    @property
    def _file(self) -> Path:
        return self._hub.data_dir / "newsapi.json"

    def _recall(self) -> None:
        with suppress(OSError, ValueError, LookupError, TypeError):
            told: dict[str, Any] = json.loads(self._file.read_text(encoding="utf-8"))
            day, count, last = date.fromisoformat(told["day"]), int(told["count"]), datetime.fromisoformat(told["last"])
            if last.tzinfo is not None and count >= 0:
                self._day, self._count, self._last = day, count, last

    def _note(self) -> None:
        last = self._last or self._hub.clock.now()
        note_down(self._file, json.dumps({"day": str(self._day), "count": self._count, "last": last.isoformat()}))
