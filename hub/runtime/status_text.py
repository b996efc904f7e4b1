"""What `hub status` says of the hub's health to people: one line for each thing."""

from collections.abc import Iterator
from typing import Any


def status_text(health: dict[str, Any]) -> str:
    """`health`, as `hub.runtime.health` gives it, in lines."""
    return "\n".join(_lines(health))


def _lines(health: dict[str, Any]) -> Iterator[str]:
    yield f"hub runs since {health['started_at']}, version {health['version']}" if health["running"] else "hub does not run"
    if broker := health.get("broker"):
        yield f"broker    {broker['address']}  {broker['protocol'] if broker['connected'] else 'offline: ' + str(broker['last_error'])}"
    for state in health.get("plugins", []):
        yield f"plugin    {state['name']:<16} {state['state']:<9} since {state['since']}  {state['error'] or ''}".rstrip()
    for row in health["symbols"]:
        bar = row["last_bar"] or {}
        missing = f"{row['minutes_missing']} minutes missing in {row['gaps']} gaps"
        yield f"symbol    {row['symbol']:<16} last bar {bar.get('open_time')} close {bar.get('close')}; {missing}"
        if made := row["last_forecast"]:
            words = f"{made['direction']} to {made['price']} in {made['horizon_minutes']} minutes, made {made['made_at']}"
            yield f"forecast  {row['symbol']:<16} {words}"
    for row in health["forwarders"]:
        since = f" for {row['lag_s'] / 60:.0f} min" if row["lag_s"] else ""
        yield f"forwarder {row['name']:<16} {row['lag']} behind{since}"
    store = health["store"]
    sizes = f"write-ahead log {store['wal_bytes'] / 2**20:.1f} MiB, {store['free_bytes'] / 2**30:.1f} GiB free on its disk"
    yield f"store     {store['file']}  {sizes}"
    if store["problem"]:
        yield f"problem   {store['problem']}"
