"""The page at work without a hub: a real server on a free port, a store in memory, and a desk that says what a test wants."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from hub.testing import FakeDesk, FakeHub, MemoryStore
from plugins.dashboard.live import Pages
from plugins.dashboard.server import serve
from plugins.dashboard.settings import DashboardSettings
from tests.brokers import free_port, wait_for_port

HEALTH: dict[str, Any] = {
    "running": True,
    "version": "0.1.0",
    "started_at": "2025-05-20T00:00:00Z",
    "plugins": [{"name": "collector", "state": "retrying", "since": "2025-05-20T00:00:00Z", "error": "<b>away</b>", "restarts": 2}],
    "broker": {"connected": False, "address": "localhost:1883", "protocol": "5", "last_error": "refused", "dropped": 0, "rejected": 1},
    "symbols": [],
    "forwarders": [{"name": "influxdb.influxdb", "cursor": 5, "lag": 8640, "lag_s": 259200.0}],
    "store": {"file": "tickerml.db", "last_seq": 9, "wal_bytes": 2048, "free_bytes": 5 * 2**30, "problem": None},
}
LOG = [{"at": "2025-05-20T00:00:00Z", "level": "warning", "text": "trying again <script>alert(6)</script>"}]
DOCTOR = [{"what": "disk", "ok": False, "needed": True, "text": "full: remove something"}]


class Served:
    """Where it is, and what it is made of."""

    def __init__(self, folder: Path, store: Any, settings: dict[str, Any]) -> None:
        self.port = free_port()
        self.hub = FakeHub({"port": self.port} | settings, store=store, data_dir=folder)
        self.desk = FakeDesk(
            {"health": HEALTH, "log": LOG, "doctor": DOCTOR, "model/promote": {}, "model/rollback": {}, "plugin/restart": {}}
        )
        self.pages = Pages()
        self.http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=20)

    @property
    def password(self) -> str:
        """The first one, as its owner reads it."""
        return (self.hub.data_dir / "first-password").read_text(encoding="ascii").strip()

    async def sign_in(self, password: str | None = None) -> httpx.Response:
        return await self.http.post("/sign-in", data={"password": self.password if password is None else password})

    async def token(self) -> str:
        """That a form on the page carries."""
        return (await self.http.get("/models")).text.partition('name="token" value="')[2].partition('"')[0]


@asynccontextmanager
async def served(folder: Path, store: Any = None, **settings: Any) -> AsyncIterator[Served]:
    """A page until the end of the block. `settings`: the section's."""
    page = Served(folder, MemoryStore() if store is None else store, settings)
    running = asyncio.create_task(serve(page.hub, page.hub.settings_for(DashboardSettings), page.desk, page.pages))
    try:
        await asyncio.to_thread(wait_for_port, page.port)
        yield page
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await page.http.aclose()
        await page.hub.http.aclose()
