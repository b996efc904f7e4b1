"""How the hub is doing, as data: for `hub status`, and for whoever asks over MQTT."""

import shutil
from typing import TYPE_CHECKING, Any

from hub import __version__
from hub.market.interval import to_ms
from hub.runtime.store import SqliteStore

if TYPE_CHECKING:
    from hub.runtime.app import App


def health_of(app: "App") -> dict[str, Any]:
    """Everything that `hub status` shows of a running hub."""
    now = to_ms(app.clock.now())
    return {
        "running": True,
        "version": __version__,
        "started_at": app.started_at.isoformat().replace("+00:00", "Z"),
        "plugins": [watch.state.model_dump(mode="json") for _, watch in sorted(app.watches.items())],
        "broker": {
            "connected": app.bus.connected,
            "address": app.bus.address,
            "protocol": app.bus.protocol,
            "last_error": app.bus.last_error,
            "dropped": app.bus.dropped,
            "rejected": app.bus.rejected,
            "takeovers": app.bus.takeovers,
            "stuck": app.outbox.stuck,
        },
        **stored(app.recorder.store, now, app.recorder.failing),
    }


def stored(store: SqliteStore, now_ms: int | None = None, failing: str | None = None) -> dict[str, Any]:
    """What the store knows: the newest bar and the gaps of each symbol, how far behind each forwarder is, and how the disk does."""
    last = store.last_seq()
    symbols = []
    for symbol in store.symbols():
        bar = store.newest_bar(symbol)
        gaps = store.gaps(symbol)
        symbols.append(
            {
                "symbol": symbol,
                "last_bar": None if bar is None else bar.model_dump(mode="json", include={"open_time", "close", "source", "quality"}),
                "age_s": None if bar is None or now_ms is None else max(0, now_ms - to_ms(bar.close_time)) // 1000,
                "gaps": len(gaps),
                "minutes_missing": sum(gap.minutes for gap in gaps),
            }
        )
    return {
        "symbols": symbols,
        "forwarders": [{"name": name, "cursor": seq, "lag": last - seq} for name, seq in sorted(store.cursors().items())],
        "store": {
            "file": str(store.path),
            "last_seq": last,
            "wal_bytes": store.wal_bytes(),
            "free_bytes": shutil.disk_usage(store.path.parent).free,
            "problem": failing or store.damage,
        },
    }
