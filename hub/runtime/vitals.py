"""The hub's own vital signs, announced once a minute on `hub/health`."""

import asyncio
import os
import resource
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hub.errors import TransientError
from hub.messages import HubHealth
from hub.runtime.mqtt.outbox import CURSOR, DURABLE
from hub.topics import encode, topic_of

if TYPE_CHECKING:
    from hub.runtime.app import App

EVERY = 60.0


def measured(app: "App") -> HubHealth:
    """How the hub is doing now. TransientError if the store cannot be read."""
    store, bus = app.recorder.store, app.bus
    store_bytes, wal_bytes = store.bytes_on_disk()
    return HubHealth(
        at=app.clock.now(),
        memory_bytes=resident_bytes(),
        disk_free_bytes=shutil.disk_usage(store.path.parent).free,
        store_bytes=store_bytes,
        wal_bytes=wal_bytes,
        minutes_missing=sum(gap.minutes for gap in store.gaps()),
        mqtt_lag=store.waiting(store.cursor(CURSOR), DURABLE),
        dropped=bus.dropped,
        rejected=bus.rejected,
        broker_connected=bus.connected,
        bars=app.recorder.bars,
    )


async def announce_vitals(app: "App") -> None:
    """Measure and announce, for ever; what cannot be measured now is measured a minute later."""
    while True:
        with suppress(TransientError, OSError):
            health = await asyncio.to_thread(measured, app)
            app.bus.announce(topic_of(health), encode(health))
        await app.clock.sleep(EVERY)


def resident_bytes() -> int:
    """Memory this process holds now; where the system does not say, the most it ever held."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
