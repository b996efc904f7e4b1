"""The demo: the same hub, a simulated exchange, and a clock in a hurry."""

from pathlib import Path
from typing import Any

from hub.clock import FastClock, SystemClock
from hub.errors import HubError
from hub.runtime.lineup import STORE_FILE
from hub.runtime.store import SqliteStore
from hub.settings import Configuration, load_configuration

DATA_DIR = Path("demo-data")
BACKFILL = "6h"


def demo_configuration(file: Path | None) -> Configuration:
    """The file's configuration, or the defaults, with the exchange simulated; without a file in a data folder of its own."""
    overrides: dict[str, Any] = {"TICKERML__PLUGINS__COLLECTOR__SOURCE": "simulated"}
    if file is None:
        overrides |= {"TICKERML__DATA_DIR": str(DATA_DIR.absolute()), "TICKERML__PLUGINS__COLLECTOR__BACKFILL": BACKFILL}
        return load_configuration(None, overrides, use_files=False)
    return load_configuration(file, overrides)


def demo_clock(configuration: Configuration, speed: float) -> FastClock:
    """Time that goes on where the last demo in this folder stopped, and otherwise begins now."""
    wanted = configuration.settings.clock
    start = (wanted and wanted.start) or SystemClock().now()
    file = configuration.data_dir / STORE_FILE
    if file.exists():
        try:
            store = SqliteStore.open(file, SystemClock(), read_only=True)
            newest = [bar for symbol in store.symbols() if (bar := store.newest_bar(symbol)) is not None]
            store.close()
        except HubError:
            newest = []
        if any(bar.source != "simulated" for bar in newest):
            raise HubError(f"{configuration.data_dir}: holds bars of a real exchange; give the demo a data_dir of its own")
        start = max([start, *(bar.close_time for bar in newest)])
    return FastClock(start, speed)
