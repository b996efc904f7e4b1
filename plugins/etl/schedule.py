"""When the next dump is due."""

import re
from datetime import datetime, timedelta


def next_time(at: str, now: datetime) -> datetime:
    """The next moment after `now`, UTC, that `HH:MM` or a cron expression names."""
    if re.fullmatch(r"\d\d:\d\d", at):
        today = now.replace(hour=int(at[:2]), minute=int(at[3:]), second=0, microsecond=0)
        return today if today > now else today + timedelta(days=1)
    from cronsim import CronSim

    found: datetime = next(CronSim(at, now))
    return found
