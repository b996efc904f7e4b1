"""Remembers, over restarts, how long a host asked us to leave it alone."""

import json
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from math import isfinite
from pathlib import Path
from typing import Any

from hub.clock import Clock
from hub.whole_file import write_whole

DEFAULT_S = 60.0
LONGEST_S = 3 * 86_400.0
JUMP_S = 2.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def wait_asked(headers: Mapping[str, str], now_s: float) -> float:
    """Seconds of a Retry-After header, in whichever form; the default where it is absent or absurd, never more than three days.

    `now_s`: seconds since the epoch, used for a date when the answer bears none of its own.
    """
    text = headers.get("retry-after", "").strip()
    seconds = _number(text)
    if seconds is None and (until := _http_date(text)) is not None:
        seconds = until - (_http_date(headers.get("date", "")) or now_s)
    if seconds is None or seconds <= 0:
        return DEFAULT_S
    return min(seconds, LONGEST_S)


def _number(text: str) -> float | None:
    if not re.fullmatch(r"[+-]?[0-9]{1,30}(\.[0-9]{1,9})?([eE][0-9]{1,3})?", text):
        return None
    return seconds if isfinite(seconds := float(text)) else LONGEST_S


def _http_date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


class Ban:
    """Until when one host must not be asked. Counted by the monotonic clock while we run, by the better of two after a restart.

    The wall clock alone will not do: a Raspberry Pi starts in the past and is corrected later. So the file also holds the
    monotonic time (which survives a restart of the hub), and is written again when the wall clock jumps.
    """

    def __init__(self, file: Path, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._until = clock.monotonic() + self._remembered()
        self._offset = self._wall() - clock.monotonic()
        if self.remaining() > 0:
            self._save()

    def begin(self, seconds: float) -> None:
        """No request for so long; on disk when this returns. A running ban is never shortened."""
        self._until = max(self._until, self._clock.monotonic() + min(seconds, LONGEST_S))
        self._save()

    def remaining(self) -> float:
        """Seconds that are left; 0 when the host may be asked."""
        remaining = max(0.0, self._until - self._clock.monotonic())
        if remaining and abs(self._wall() - self._clock.monotonic() - self._offset) > JUMP_S:
            self._save()
        return remaining

    def _wall(self) -> float:
        return self._clock.now().timestamp()

    def _save(self) -> None:
        monotonic = self._clock.monotonic()
        self._offset = self._wall() - monotonic
        note = {"wait_s": self._until - monotonic, "noted_at": self._wall(), "noted_monotonic": monotonic, "boot": _boot()}
        write_whole(self._file, json.dumps(note))

    def _remembered(self) -> float:
        try:
            note: dict[str, Any] = json.loads(self._file.read_text(encoding="utf-8"))
            wait, noted_at, noted_monotonic = (float(note[key]) for key in ("wait_s", "noted_at", "noted_monotonic"))
            same_boot = note["boot"] == _boot()
        except FileNotFoundError:
            return 0.0
        except (OSError, ValueError, KeyError, TypeError):
            return DEFAULT_S
        elapsed = self._wall() - noted_at
        since = self._clock.monotonic() - noted_monotonic
        if same_boot and since >= 0:
            elapsed = since
        wait -= max(0.0, elapsed)
        return min(max(0.0, wait), LONGEST_S) if isfinite(wait) else DEFAULT_S


def _boot() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
