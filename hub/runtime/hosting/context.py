"""What a plugin is given: the hub as seen from inside one plugin."""

import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import structlog

from hub import __version__
from hub.clock import Clock, FastClock, SystemClock
from hub.flow import SettingsT, Store
from hub.runtime.disk.ballast import TIGHT_BYTES
from hub.settings import ClockSettings, PluginSettings

USER_AGENT = f"TickerML/{__version__}"


class PluginHub:
    """One plugin's `Hub`."""

    def __init__(self, name: str, *, section: PluginSettings, clock: Clock, store: Store, symbols: Sequence[str], data_dir: Path) -> None:
        self.clock = clock
        self.store = store
        self.symbols = symbols
        self.log: Any = structlog.get_logger().bind(plugin=name)
        self._name = name
        self._section = section
        self._data_dir = data_dir

    @cached_property
    def data_dir(self) -> Path:
        folder = self._data_dir / self._name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def disk_is_tight(self) -> bool:
        return shutil.disk_usage(self._data_dir).free < TIGHT_BYTES

    @cached_property
    def http(self) -> Any:
        """Made when first used: most plugins need none, and importing it takes a tenth of a second."""
        import httpx

        return httpx.AsyncClient(
            headers={"accept-encoding": "identity", "user-agent": USER_AGENT},
            timeout=httpx.Timeout(10.0, connect=5.0),
            limits=httpx.Limits(max_connections=20, max_keepalive_connections=10),
            follow_redirects=False,
        )

    def settings_for(self, model: type[SettingsT]) -> SettingsT:
        if not isinstance(self._section, model):
            raise TypeError(f"the section of {self._name} is a {type(self._section).__name__}, as register_settings said")
        return self._section

    async def close(self) -> None:
        """Let go of connections."""
        if "http" in self.__dict__:
            await self.http.aclose()


def clock_for(settings: ClockSettings | None) -> Clock:
    """The machine's own time, unless the configuration sets another."""
    if settings is None:
        return SystemClock()
    return FastClock(settings.start or SystemClock().now(), settings.speed)
