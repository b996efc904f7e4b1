"""Tells Home Assistant what there is: at the start, when something has changed, and when Home Assistant says that it has begun."""

import asyncio
import json
import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from hub import Hub, HubInfo
from hub.flow import Outside
from hub.whole_file import note_down
from plugins.homeassistant.discovery import devices

BIRTH = "status"
AFTER_BIRTH_S = (0.5, 3.0)
"""Real homes have several programs that answer a birth at once."""
BEFORE_STATES_S = 1.0
"""Home Assistant subscribes to what it has just discovered; states that come before that are missed."""


class Announcing:
    """All of one hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._plugins: tuple[str, ...] | None = None
        self._changed = asyncio.Event()
        self._note = hub.data_dir / "announced.json"

    async def introduced(self, messages: Sequence[HubInfo]) -> None:
        """The hub says which plugins it has."""
        self._plugins = messages[-1].plugins
        self._changed.set()

    async def run(self, outside: Outside) -> None:
        """For ever."""
        births = asyncio.create_task(self._births(outside))
        try:
            while not births.done():
                waiting = asyncio.create_task(self._changed.wait())
                await asyncio.wait({waiting, births}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if self._changed.is_set():
                    self._changed.clear()
                    self.announce(outside)
            births.result()
        finally:
            births.cancel()

    def announce(self, outside: Outside) -> None:
        """What there is now; and what there was, and is no more, is taken back."""
        if self._plugins is None:
            return
        found, before = devices(outside.root, self._hub.symbols, self._plugins), self._remembered()
        now = {device: {key: each["platform"] for key, each in payload["components"].items()} for device, payload in found.items()}
        self._remember({device: before.get(device, {}) | now.get(device, {}) for device in before | now})  # so a cut here forgets none
        for device in before.keys() - found.keys():
            outside.announce(f"device/{device}/config", b"")
        for device, payload in found.items():  # a component with nothing but its platform is removed; the next time it is left out
            gone = {key: {"platform": platform} for key, platform in before.get(device, {}).items() if key not in payload["components"]}
            outside.announce(f"device/{device}/config", _json({**payload, "components": {**payload["components"], **gone}}))
        self._remember(now)

    async def _births(self, outside: Outside) -> None:
        async for _, payload, retained in outside.hear(BIRTH):
            if payload != b"online" or retained:
                continue
            await self._hub.clock.sleep(random.uniform(*AFTER_BIRTH_S))  # noqa: S311 - spreads load, guards nothing
            self._hub.log.info("Home Assistant has begun: it is told everything again")
            self.announce(outside)
            await self._hub.clock.sleep(BEFORE_STATES_S)
            outside.restate()

    def _remembered(self) -> dict[str, dict[str, str]]:
        """Platforms by key, by device."""
        with suppress(OSError, ValueError, TypeError, AttributeError):
            told = json.loads(self._note.read_text(encoding="utf-8"))
            return {str(device): {str(key): str(each) for key, each in keys.items()} for device, keys in told.items()}
        return {}

    def _remember(self, told: dict[str, dict[str, str]]) -> None:
        note_down(self._note, json.dumps(told))


def _json(payload: dict[str, Any]) -> bytes:
    return json.dumps(payload, separators=(",", ":")).encode()
