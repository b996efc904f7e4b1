"""The demo: the same hub, a simulated exchange, and a clock in a hurry."""

import os
from pathlib import Path

from hub.clock import FastClock, SystemClock
from hub.configuration import Configuration, load_configuration
from hub.errors import HubError
from hub.runtime.disk.store import SqliteStore
from hub.runtime.hosting.lineup import STORE_FILE

CONFIG = Path("demo-data") / "config.yaml"
TEXT = """\
# Written by `hub demo`; look at what it collects with `hub -c demo-data/config.yaml status`.
data_dir: .
plugins:
  collector: {source: simulated, backfill: 26h}
  inference: {patience: 4m}  # a minute of this market is a second of yours
  scorecard: {window: 1d}
  news: {simulated: true, ollama: {enabled: false}}
  dashboard: {}  # http://127.0.0.1:8787
  alerts: {rules: [{when: forecast, confidence: 0.55, unproven: true}, {when: plugin}, {when: model}]}
"""


def demo_configuration(file: Path | None) -> Configuration:
    """The file's configuration with the exchange simulated; without a file, that of the demo's own folder."""
    if file is None:
        file = CONFIG
        if not file.exists():
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(TEXT, encoding="utf-8")
            except OSError as error:
                raise HubError(f"{file}: cannot be written: {error.strerror}; run the demo in a folder of yours") from error
    return load_configuration(file, os.environ | {"TICKERML__PLUGINS__COLLECTOR__SOURCE": "simulated"})


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
