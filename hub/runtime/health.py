"""How the hub is doing, as data: for `hub status`, and for whoever asks over MQTT."""

import shutil
from typing import TYPE_CHECKING, Any

from hub import __version__
from hub.flow import Kinds, Sink
from hub.market.interval import to_ms
from hub.messages import Forecast
from hub.runtime.disk.store import SqliteStore
from hub.runtime.mqtt.outbox import CURSOR, DURABLE
from hub.topics import is_shadow

if TYPE_CHECKING:
    from hub.runtime.app import App


def health_of(app: "App") -> dict[str, Any]:
    """Everything that `hub status` shows of a running hub."""
    now = to_ms(app.clock.now())
    return {
        "running": True,
        "version": __version__,
        "started_at": app.started_at.isoformat().replace("+00:00", "Z"),
        "configuration_changed_ns": app.configuration.changed_ns,
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
        **stored(app.recorder.store, now, app.recorder.trouble),
        "forwarders": _forwarders(app),
    }


def _forwarders(app: "App") -> list[dict[str, Any]]:
    """Everybody who reads the store, those too who have not come anywhere yet."""
    store, cursors = app.recorder.store, app.recorder.store.cursors()
    readers: dict[str, tuple[Kinds, float | None]] = {CURSOR: (DURABLE, None)}
    for name, member in list(app.members.items()):  # plugins may come and go meanwhile: this runs in a thread
        late = watch.lags if (watch := app.watches.get(name)) else {}
        for flow in member.declared.flows:
            if isinstance(flow, Sink) and flow.durable:
                readers[f"{name}.{flow.name}"] = flow.consumes, round(late[flow.name].seconds, 1) if flow.name in late else None
    return [
        {"name": name, "cursor": cursors.get(name, 0), "lag": store.waiting(cursors.get(name, 0), kinds), "lag_s": seconds}
        for name, (kinds, seconds) in sorted(readers.items())
    ]


def newest_forecasts(store: SqliteStore) -> dict[str, dict[str, Any]]:
    """What was forecast last, by symbol."""
    found = [fact for fact in store.newest(Forecast) if not is_shadow(fact)]
    shown = {"made_at", "horizon_minutes", "price", "direction", "p_up"}
    return {
        fact.symbol: fact.model_dump(mode="json", include=shown) | {"model": fact.model.name}
        for fact in sorted(found, key=lambda fact: (fact.made_at, -fact.horizon_minutes))
    }


def every_gap(store: SqliteStore, symbol: str | None) -> list[dict[str, Any]]:
    """Every stretch without bars of one symbol, or of all: those too that have no bar at all."""
    symbols = [symbol] if symbol else sorted({*store.symbols(), *(gap.symbol for gap in store.gaps())})
    found = [gap for name in symbols for gap in store.gap_report(name)]
    return [gap.model_dump(mode="json") | {"minutes": gap.minutes} for gap in found]


def stored(store: SqliteStore, now_ms: int | None = None, failing: str | None = None) -> dict[str, Any]:
    """What the store knows: the newest bar and the gaps of each symbol, how far behind each forwarder is, and how the disk does."""
    symbols, forecasts = [], newest_forecasts(store)
    for symbol in store.symbols():
        bar = store.newest_bar(symbol)
        gaps = store.gaps(symbol)
        symbols.append(
            {
                "symbol": symbol,
                "last_bar": None if bar is None else bar.model_dump(mode="json", include={"open_time", "close", "source", "quality"}),
                "age_s": None if bar is None or now_ms is None else max(0, now_ms - to_ms(bar.close_time)) // 1000,
                "last_forecast": forecasts.get(symbol),
                "gaps": len(gaps),
                "minutes_missing": sum(gap.minutes for gap in gaps),
            }
        )
    return {
        "symbols": symbols,
        "forwarders": [
            {"name": name, "cursor": seq, "lag": store.waiting(seq, DURABLE), "lag_s": None}
            for name, seq in sorted(store.cursors().items())
        ],
        "store": {
            "file": str(store.path),
            "last_seq": store.last_seq(),
            "wal_bytes": store.bytes_on_disk()[1],
            "free_bytes": shutil.disk_usage(store.path.parent).free,
            "problem": failing or store.damage,
        },
    }
