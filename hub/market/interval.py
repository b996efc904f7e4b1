"""The minute grid: where bars open, which minutes are missing, and what an exchange's time stamp means.

Times on the grid are integers, milliseconds since the Unix epoch, UTC; so neither a time zone nor a leap second can move them.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

MINUTE_MS = 60_000
INTERVAL = "1m"
EARLIEST_MS = 1_483_228_800_000  # 2017-01-01: no exchange we read is older
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Range = tuple[int, int]
"""First and last open time of a stretch of minutes, both included."""


def to_ms(at: datetime) -> int:
    """Milliseconds since the epoch, exact (no float in between)."""
    since = at - _EPOCH
    return since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000


def from_ms(ms: int) -> datetime:
    """The UTC time that lies `ms` milliseconds after the epoch."""
    return _EPOCH + timedelta(milliseconds=ms)


def floor_minute(ms: int) -> int:
    """Open time of the bar that `ms` falls into."""
    return ms - ms % MINUTE_MS


def last_closed(now_ms: int) -> int:
    """Open time of the newest bar that is over at `now_ms`."""
    return floor_minute(now_ms) - MINUTE_MS


def minutes_in(stretch: Range) -> int:
    """How many bars a stretch holds."""
    return (stretch[1] - stretch[0]) // MINUTE_MS + 1


def epoch_ms(stamp: int) -> int:
    """Milliseconds from a stamp in seconds, milliseconds or microseconds, told apart by magnitude.

    Binance's dumps changed from milliseconds to microseconds on 2025-01-01. Raises ValueError where no unit gives a plausible time.
    """
    for scale_up, scale_down in ((1000, 1), (1, 1), (1, 1000)):
        ms = stamp * scale_up // scale_down
        if EARLIEST_MS <= ms < 10 * EARLIEST_MS:
            return ms
    raise ValueError(f"time stamp {stamp} is neither seconds, milliseconds nor microseconds since 1970 after 2017")


def open_time_ms(stamp: int, now_ms: int) -> int:
    """A bar's open time from an exchange's stamp: on the minute grid, and not in the future.

    Raises ValueError otherwise, in words.
    """
    ms = epoch_ms(stamp)
    if ms % MINUTE_MS:
        raise ValueError(f"open time {stamp} is not on a whole minute")
    if ms > now_ms + MINUTE_MS:
        raise ValueError(f"open time {stamp} lies in the future")
    return ms


def missing_ranges(present: Iterable[int], first: int, last: int) -> Iterator[Range]:
    """Stretches of [first, last] that the ascending open times `present` leave out."""
    expected = first
    for open_time in present:
        if open_time < expected:
            continue
        if open_time > last:
            break
        if open_time > expected:
            yield expected, open_time - MINUTE_MS
        expected = open_time + MINUTE_MS
    if expected <= last:
        yield expected, last
