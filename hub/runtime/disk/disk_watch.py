"""Looks after the disk that everything stands on, and says once when it gets tight, and once when it is well again."""

import asyncio
from collections.abc import Callable
from typing import Any

from hub.clock import Clock, SystemClock
from hub.runtime.disk.ballast import MIB, Ballast
from hub.runtime.disk.store import SqliteStore

EVERY_S = 60.0
SHED_EVERY_S = 3600.0
LOW_BYTES = 1024 * MIB
LONG_LOG_BYTES = 64 * MIB
"""A write-ahead log of this size means that a reader holds it back: it is emptied every 200 pages otherwise."""


class DiskWatch:
    """Free space, the length of the write-ahead log, rows that a bad disk has spoilt; keeps the ballast reserved."""

    def __init__(
        self,
        store: SqliteStore,
        ballast: Ballast,
        log: Any,
        *,
        low: int = LOW_BYTES,
        long_log: int = LONG_LOG_BYTES,
        shed: Callable[[], None] = lambda: None,
        network: Clock | None = None,
    ) -> None:
        """`shed` lets go of what can be had again: called once an hour while the disk is nearly full.

        `network` times the waits: real seconds, unless a test hurries them.
        """
        self._store = store
        self._ballast = ballast
        self._log = log
        self._low = low
        self._long_log = long_log
        self._shed = shed
        self._shed_at: float | None = None
        self._clock = network or SystemClock()
        self._told: set[str] = set()

    async def run(self) -> None:
        """Look for ever, on a thread: a dying disk answers late."""
        while True:
            await asyncio.to_thread(self.look)
            await self._clock.sleep(EVERY_S)

    def look(self) -> None:
        """Look once."""
        self._ballast.reserve()
        free, log = self._ballast.free, self._store.bytes_on_disk()[1]
        folder = self._store.path.parent
        self._tell(
            "disk",
            f"only {free // MIB} MiB are free on the disk of {folder}; free some space" if free < self._low else None,
            free_bytes=free,
        )
        self._tell(
            "write-ahead log",
            f"the write-ahead log has grown to {log // MIB} MiB: a long reader (a sqlite3 shell, a backup?) holds it back; end that one"
            if log > self._long_log
            else None,
            wal_bytes=log,
        )
        self._tell("store", self._store.damage)
        self._tell(
            "room",
            f"so little of the disk of {folder} is free that nothing but bars is recorded; free some space"
            if self._ballast.bars_only
            else None,
        )
        if self._ballast.is_tight and (self._shed_at is None or self._clock.monotonic() - self._shed_at >= SHED_EVERY_S):
            self._shed_at = self._clock.monotonic()
            self._shed()

    def _tell(self, about: str, trouble: str | None, **values: int) -> None:
        if trouble and about not in self._told:
            self._told.add(about)
            self._log.warning(trouble, **values)
        elif not trouble and about in self._told:
            self._told.remove(about)
            self._log.info(f"{about}: well again", **values)
