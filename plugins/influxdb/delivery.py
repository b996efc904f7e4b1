"""Brings points to InfluxDB until they are stored: makes what is missing there, and finds the few points that it will never take."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property

from hub import Forgotten, Hub, TransientError
from plugins.influxdb.answers import PAUSE_S, BucketMissing, MayNot, PointsRefused, TooLarge
from plugins.influxdb.connect import connect
from plugins.influxdb.database import Database
from plugins.influxdb.destination import Destination
from plugins.influxdb.set_aside import SetAside
from plugins.influxdb.settings import InfluxSettings

SMALL = 1024
"""A point of fewer bytes is never too large by itself: then something on the way is set wrongly."""


class Delivery:
    """The way to both buckets."""

    def __init__(self, hub: Hub, settings: InfluxSettings) -> None:
        self._hub = hub
        self._settings = settings
        self._database: Database | None = None
        self._ready = False
        self._begun = False
        self._preparing = asyncio.Lock()
        self._advice: dict[str, str] = {}
        self._most = 1_000_000
        """Points in one request; as few as once proved necessary."""

    @cached_property
    def set_aside(self) -> SetAside:
        """Not before it is needed: a plugin that only declares leaves no folder behind."""
        return SetAside(self._hub)

    @cached_property
    def _destination(self) -> Destination:
        return Destination(self._hub.data_dir, f"{self._settings.url} {self._settings.bucket} {self._settings.long}\n")

    async def begin(self) -> None:
        """Make ready for facts. Forgotten, once, where this database has not been sent everything from the oldest fact on."""
        await self._prepare()
        if not self._begun and not self._destination.known:
            self._begun = True
            raise Forgotten(f"{self._settings.url} has not yet all of it in {self._settings.bucket} and {self._settings.long}")

    def began(self) -> None:
        """Facts were delivered since `begin`: if they were the oldest ones, it has everything from now on."""
        if self._begun:
            self._destination.note()
            self._begun = False

    async def bring(self, bucket: str, lines: Sequence[str]) -> None:
        """Returns when every line is stored, or set aside for good."""
        waiting = [line for line in lines if not self.set_aside.holds(line)]
        refused: list[tuple[str, str]] = []
        try:
            parts: list[Sequence[str]] = [waiting] if waiting else []
            while parts:
                parts += await self._write(bucket, parts.pop(), refused)
        finally:
            self.set_aside.put(bucket, refused)

    async def _write(self, bucket: str, part: Sequence[str], refused: list[tuple[str, str]]) -> list[Sequence[str]]:
        """Write a part. What is left to write of it, the later half first; single points that will not be taken go to `refused`."""
        if len(part) > self._most:
            return _cut(part, self._most)
        database = await self._prepare()
        try:
            await database.write(bucket, part)
        except BucketMissing as error:
            self._ready = False
            if bucket in self._advice:
                raise MayNot(self._advice[bucket], retry_after=PAUSE_S) from error
            raise TransientError(f"{self._settings.url}: {error}; it is made again") from error
        except TooLarge as error:
            if len(part) == 1:
                if len(part[0]) < SMALL:
                    raise TransientError(
                        f"{self._settings.url} takes not even {len(part[0])} bytes: {error}", retry_after=PAUSE_S
                    ) from error
                refused.append((part[0], f"too large: {error}"))
                return []
            self._most = max(1, len(part) // 2)
            return _cut(part, self._most)
        except PointsRefused as error:
            if len(part) > 1:
                return _cut(part, (len(part) + 1) // 2)
            refused.append((part[0], str(error)))
        return []

    async def _prepare(self) -> Database:
        """The database, with both buckets in it as the settings want them."""
        async with self._preparing:
            if self._database is None:
                self._database = await connect(self._hub, self._settings)
            if not self._ready:
                for name, keep in ((self._settings.bucket, self._settings.retention), (self._settings.long, None)):
                    await self._have(self._database, name, keep)
                self._ready = True
            return self._database

    async def _have(self, database: Database, name: str, keep: timedelta | None) -> None:
        found = await database.look(name)
        kept = f"{keep.total_seconds() / 86_400:g} days" if keep else "for ever"
        self._advice.pop(name, None)
        try:
            if found is None:
                self._destination.doubt()
                await database.make(name, keep)
                self._hub.log.info("made in InfluxDB", bucket=name, kept=kept)
            elif found.known and found.keep != keep:
                await database.change(found, keep)
                self._hub.log.warning("InfluxDB keeps things for another time from now on", bucket=name, kept=kept)
        except MayNot as error:
            if found is None:
                self._destination.believe()
                self._advice[name] = str(error)  # a token that may only write sees no bucket: a write will say if there is none
            else:
                self._hub.log.warning("InfluxDB keeps things as long as before", bucket=name, wanted=kept, reason=str(error))


def _cut(part: Sequence[str], size: int) -> list[Sequence[str]]:
    """Pieces of at most `size`, the last one first."""
    return [part[first : first + size] for first in range(0, len(part), size)][::-1]
