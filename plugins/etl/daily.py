"""Day after day: dump what is over, what was missed and what has changed; bring it away; let go of what is old."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import date, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict

from hub import Dump, DumpedFile, Hub, Request
from hub.dumps import DumpManifest
from hub.errors import HubError
from hub.market.interval import from_ms, minutes_in, to_ms
from hub.whole_file import note_down
from plugins.etl.delivery import Delivery
from plugins.etl.folder import dump_day, manifest_in, remove_day
from plugins.etl.schedule import next_time
from plugins.etl.settings import EtlSettings
from plugins.etl.tables import Day

ONE_DAY = timedelta(days=1)
LOOKED_BACK = 7
"""Days that are dumped again where bars have come since."""
PATIENCE = timedelta(minutes=10)
"""How long the last minute of a day is waited for."""
LOOK_S = 5.0
AT_FIRST = 30
"""Days of the past, at most, that a first start dumps."""


class DumpWanted(BaseModel):
    """What `dump` may be asked: of which day; otherwise of yesterday."""

    model_config = ConfigDict(extra="ignore")

    day: date | None = None


class Daily:
    """All dumps of one hub."""

    def __init__(self, hub: Hub, settings: EtlSettings) -> None:
        self._hub = hub
        self._settings = settings
        self._folder = hub.data_dir
        self._delivery = Delivery(hub.data_dir, settings)
        self._lock = asyncio.Lock()
        self._announced: asyncio.Queue[Dump] = asyncio.Queue()

    async def stream(self) -> AsyncGenerator[Dump, None]:
        """Announces dumps, for ever. TransientError where one cannot be written or brought away: tried again, and nothing is left out."""
        await self._wait_for_bars(self._yesterday())
        while True:
            yesterday = self._yesterday()
            for day in await asyncio.to_thread(self._due, yesterday):
                yield await self._dumped(day)
            for manifest in await asyncio.to_thread(self._undelivered):
                yield await self._brought(manifest)
            await asyncio.to_thread(self._tidy, yesterday)
            due = next_time(self._settings.at, self._hub.clock.now())
            while (left := (due - self._hub.clock.now()).total_seconds()) > 0:
                if (asked := await self._asked(left)) is not None:
                    yield asked
            await self._wait_for_bars(self._yesterday())

    async def answer(self, request: Request) -> Any:
        """`dump`: a day's dump, made and brought away now."""
        day = DumpWanted.model_validate(request.model_dump()).day or self._yesterday()
        if day > self._yesterday():
            raise HubError(f"{day} is not over yet (days are UTC); the newest that can be dumped is {self._yesterday()}")
        if not await asyncio.to_thread(self._has_bars, day):
            raise HubError(f"there is no bar of {day} on disk")
        dump = await self._dumped(day)
        self._announced.put_nowait(dump)
        return {**dump.model_dump(mode="json"), "folder": str(self._folder / day.isoformat()), "target": self._settings.target}

    async def _dumped(self, day: date) -> Dump:
        async with self._lock:
            manifest = await asyncio.to_thread(dump_day, self._hub, self._folder, day)
            rows = sum(file.rows for file in manifest.files)
            self._hub.log.info("a day is dumped", day=day.isoformat(), rows=rows, minutes_missing=manifest.minutes_missing)
        return await self._brought(manifest)

    async def _brought(self, manifest: DumpManifest) -> Dump:
        async with self._lock:
            await asyncio.to_thread(self._delivery.deliver, manifest)
        return self._announcement(manifest)

    def _announcement(self, manifest: DumpManifest) -> Dump:
        files = tuple(
            DumpedFile(
                name=file.name, rows=file.rows, bytes=file.bytes, sha256=file.sha256, url=self._delivery.url_of(manifest.day, file.name)
            )
            for file in manifest.files
        )
        return Dump(day=manifest.day, files=files, revision=manifest.revision, minutes_missing=manifest.minutes_missing)

    async def _asked(self, seconds: float) -> Dump | None:
        """What was dumped by hand meanwhile, if something was, within so many seconds of the hub's time."""
        sleeping = asyncio.ensure_future(self._hub.clock.sleep(seconds))
        hearing = asyncio.ensure_future(self._announced.get())
        try:
            await asyncio.wait({sleeping, hearing}, return_when=asyncio.FIRST_COMPLETED)
            return hearing.result() if hearing.done() else None
        finally:
            sleeping.cancel()
            hearing.cancel()

    async def _wait_for_bars(self, day: date) -> None:
        """Until the day's last minute is here for every symbol, or does not come."""
        end = self._hub.clock.now() + PATIENCE
        while self._hub.clock.now() < end and not await asyncio.to_thread(self._is_whole, day):
            await self._hub.clock.sleep(LOOK_S)

    def _is_whole(self, day: date) -> bool:
        last = Day.of(day).minutes[1]
        newest = [self._hub.store.newest_bar(symbol) for symbol in self._hub.symbols]
        return all(bar is not None and to_ms(bar.open_time) >= last for bar in newest)

    def _yesterday(self) -> date:
        return (self._hub.clock.now() - ONE_DAY).date()

    # -- which days

    def _due(self, yesterday: date) -> list[date]:
        """Days that are over and have no dump, oldest first; and those of which more is there now."""
        (through, removed), finished = self._noted(), {manifest.day for manifest in self._finished()}
        first = through + ONE_DAY if through else self._first_day(yesterday)
        days = [first + ONE_DAY * number for number in range((yesterday - first).days + 1)] if first else []
        recent = [day for number in range(LOOKED_BACK) if (day := yesterday - ONE_DAY * number) > (removed or date.min)]
        wanted = {day for day in [*days, *recent] if day not in finished} | {day for day in recent if self._has_grown(day)}
        return sorted(day for day in wanted if self._has_bars(day))

    def _first_day(self, yesterday: date) -> date | None:
        known = [at for symbol in self._hub.symbols if (at := self._hub.store.oldest_open_time(symbol)) is not None]
        return max(from_ms(min(known)).date(), yesterday - ONE_DAY * (AT_FIRST - 1)) if known else None

    def _has_grown(self, day: date) -> bool:
        manifest = manifest_in(self._folder / day.isoformat())
        if manifest is None or not manifest.gaps:
            return False
        span = Day.of(day)
        return sum(minutes_in(gap) for symbol in self._hub.symbols for gap in self._hub.store.missing(symbol, *span.minutes)) < (
            manifest.minutes_missing
        )

    def _has_bars(self, day: date) -> bool:
        first, last = Day.of(day).minutes
        return any(self._hub.store.missing(symbol, first, last) != [(first, last)] for symbol in self._hub.symbols)

    def _finished(self) -> list[DumpManifest]:
        places = sorted(place for place in self._folder.iterdir() if place.is_dir() and _is_day(place.name))
        return [manifest for place in places if (manifest := manifest_in(place)) is not None]

    def _undelivered(self) -> list[DumpManifest]:
        return [manifest for manifest in self._finished() if not self._delivery.is_delivered(manifest)]

    def _noted(self) -> tuple[date | None, date | None]:
        """Up to which day nothing was missing (one dumped by hand says nothing of those before), and the newest whose dump was removed."""
        with suppress(OSError, ValueError, LookupError, TypeError):
            told = json.loads((self._folder / "etl.json").read_text(encoding="utf-8"))
            return date.fromisoformat(told["through"]), date.fromisoformat(told["removed"]) if told["removed"] else None
        return None, None

    def _tidy(self, through: date) -> None:
        """Note how far it has come, and remove dumps that are old and delivered."""
        keep = self._settings.keep
        if self._delivery.wanted and self._hub.disk_is_tight:  # they are there twice
            keep = min(keep, ONE_DAY * LOOKED_BACK)
        oldest = (self._hub.clock.now() - keep).date()
        old = [each.day for each in self._finished() if each.day < oldest and self._delivery.is_delivered(each)]
        removed = max([*old, *filter(None, [self._noted()[1]])], default=None)
        note_down(self._folder / "etl.json", json.dumps({"through": through.isoformat(), "removed": removed and removed.isoformat()}))
        for day in old:
            remove_day(self._folder / day.isoformat())


def _is_day(name: str) -> bool:
    with suppress(ValueError):
        return date.fromisoformat(name).isoformat() == name
    return False
