"""The hub that runs, as it tells of itself: every plugin, the bars, those who forward facts, the broker."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hub import __version__
from hub.configuration import Configuration
from hub.runtime import control
from hub.runtime.doctor.finding import Finding, remark
from hub.runtime.hosting.backlog import STALE_AFTER

OLD_BAR_S = 300
"""A minute's bar is there seconds after its close."""


def look_at_hub(configuration: Configuration, health: dict[str, Any] | None) -> list[Finding]:
    """`health`: what it says of itself; None where it does not answer."""
    if health is None:
        return [_silent(configuration.data_dir)]
    return [
        *_itself(configuration, health),
        *_bars(configuration.settings.symbols, health),
        *_forwarders(health),
    ]


def state_of(name: str, health: dict[str, Any] | None) -> tuple[str, str] | None:
    """State and trouble of a plugin that runs and is not well."""
    for state in (health or {}).get("plugins", ()):
        if state["name"] == name and state["error"]:
            return state["state"], state["error"]
    return None


def _silent(data_dir: Path) -> Finding:
    if control.hub_runs(data_dir):
        return remark("hub", "runs, and does not answer; stop it, and look at its log")
    return Finding("hub", True, "does not run; `hub run` starts it", needed=False)


def _itself(configuration: Configuration, health: dict[str, Any]) -> Iterator[Finding]:
    broker, problem = health["broker"], health["store"]["problem"]
    since = f"runs since {health['started_at']}"
    troubles = []
    if trouble := broker["last_error"] or broker["stuck"]:
        troubles.append(f"runs, and says of the broker: {trouble}")
    if problem:
        troubles.append(f"runs, and says of the disk: {problem}")
    if broker["takeovers"]:
        troubles.append(
            "runs, and another program takes its place at the broker: two hubs with one mqtt.client_id? Set another in one of them"
        )
    if health["version"] != __version__:
        troubles.append(f"{since} as version {health['version']}, and {__version__} is installed: start it again")
    if (read := health.get("configuration_changed_ns")) is not None and read != configuration.changed_ns:
        troubles.append(f"{since}, and {configuration.config_file} was changed after it read it: send it SIGHUP, or start it again")
    yield from (remark("hub", trouble) for trouble in troubles)
    if not troubles:
        yield Finding("hub", True, since, needed=False)


def _bars(symbols: tuple[str, ...], health: dict[str, Any]) -> Iterator[Finding]:
    known = {row["symbol"]: row for row in health["symbols"]}
    late = [symbol for symbol in symbols if symbol not in known or known[symbol]["age_s"] is None or known[symbol]["age_s"] > OLD_BAR_S]
    missing = sum(row["minutes_missing"] for row in known.values())
    if late:
        ages = [f"{symbol.replace('-', '/')} {_age(known.get(symbol))}" for symbol in late]
        yield remark("bars", f"the newest are old: {', '.join(ages)}; the lines of exchange and plugin collector say why")
    elif missing:
        yield Finding("bars", True, f"they come; {missing} minutes of the past are missing: hub bars gaps", needed=False)
    else:
        yield Finding("bars", True, "they come, and none is missing", needed=False)


def _age(row: dict[str, Any] | None) -> str:
    return "has none" if row is None or row["age_s"] is None else f"is {row['age_s'] // 60} min old"


def _forwarders(health: dict[str, Any]) -> Iterator[Finding]:
    for each in health["forwarders"]:
        if each["lag_s"] is not None and each["lag_s"] > STALE_AFTER:
            plugin = each["name"].partition(".")[0]
            words = f"{each['lag']} facts and {each['lag_s'] / 3600:.1f} h behind; nothing is lost, the lines of {plugin} say why"
            yield remark(f"forwarder {each['name']}", words)
