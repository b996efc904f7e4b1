"""A backup every night, and the last few of them kept; one that was missed is made up for."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from hub.clock import FastClock
from hub.configuration import Configuration
from hub.errors import HubError
from hub.runtime.backups.backup import back_up

if TYPE_CHECKING:
    from hub.runtime.app import App

LOOKED_EVERY_S = 600.0
NAME = "tickerml-%Y-%m-%dT%H%MZ.tar.gz"
LATE = timedelta(days=3)


def folder_of(configuration: Configuration) -> Path:
    """Where the nightly archives lie."""
    given = configuration.settings.backup.folder
    return configuration.data_dir / "backups" if given is None else configuration.folder / given


def archives(folder: Path) -> list[tuple[datetime, Path]]:
    """Every nightly archive with its time, the oldest first; other files there are left alone."""
    found = []
    for file in folder.glob("tickerml-*.tar.gz"):
        try:
            found.append((datetime.strptime(file.name, NAME).replace(tzinfo=UTC), file))
        except ValueError:
            continue
    return sorted(found)


def due(configuration: Configuration, now: datetime) -> bool:
    """Whether the last night's is missing."""
    if (at := configuration.settings.backup.at) is None:
        return False
    hour, minute = map(int, at.split(":"))
    last = now.astimezone(UTC).replace(hour=hour, minute=minute, second=0, microsecond=0)
    last -= timedelta(days=last > now)
    return not any(made >= last for made, _ in archives(folder_of(configuration)))


def back_up_tonight(configuration: Configuration, now: datetime) -> str:
    """Make one, remove what is more than is kept, and say what was done. HubError where it cannot be."""
    folder, keep = folder_of(configuration), configuration.settings.backup.keep
    file = folder / f"{now.astimezone(UTC):{NAME}}"
    made = back_up(configuration.data_dir, configuration.config_file, configuration.secrets, file, now)
    for _, old in archives(folder)[:-keep]:
        old.unlink(missing_ok=True)
    return f"{file}: {len(made.parts)} files, {file.stat().st_size:,} bytes"


async def back_up_nightly(app: "App") -> None:
    """For ever; a hub that lives in another time than this machine makes none."""
    log = app.log.bind(part="backup")
    while True:
        await app.clock.sleep(LOOKED_EVERY_S)
        if isinstance(app.clock, FastClock) or not due(app.configuration, app.clock.now()):
            continue
        try:
            log.info("backed up", what=await asyncio.to_thread(back_up_tonight, app.configuration, app.clock.now()))
        except (HubError, OSError, ValueError) as error:  # whatever it is, bars go on
            log.error("no backup tonight", reason=str(error))
            await app.clock.sleep(3600.0)


def told(configuration: Configuration, now: datetime) -> tuple[bool, str]:
    """How it stands, for the doctor."""
    settings, found = configuration.settings.backup, archives(folder_of(configuration))
    if settings.at is None:
        return True, "nightly backups are switched off (backup.at)"
    if not found:
        return True, f"none yet; every night at {settings.at} UTC into {folder_of(configuration)}; `hub backup FILE` makes one now"
    newest, file = found[-1]
    words = f"{len(found)} kept, the newest {file}"
    late = now - newest > LATE
    return not late, f"{words}, {(now - newest).days} days old: does the hub run, and is there room on the disk?" if late else words
