"""What `hub plugins list` shows: every plugin that could run, where it comes from, and what becomes of it."""

from collections.abc import Collection
from typing import Any

from hub.configuration import Configuration
from hub.errors import HubError, PermanentError
from hub.runtime import control
from hub.runtime.commands import commands_of
from hub.runtime.hosting.lineup import runs_isolated
from hub.runtime.hosting.offers import Offer, choose, offers


def plugin_rows(configuration: Configuration, own: Collection[str]) -> list[dict[str, Any]]:
    """One row an offer; only what the configuration names is loaded, in processes of its own. `own`: the hub's commands."""
    known = offers(configuration.plugin_dir)
    states = _states(configuration)
    added = {offered.plugin: offered for offered in commands_of(configuration, own)}
    rows = []
    for name, candidates in sorted(known.items()):
        for offer in candidates:
            configured = name in configuration.sections and _is_chosen(offer, known)
            offered = added.get(name) if configured else None
            rows.append(
                {
                    "name": name,
                    "from": offer.origin,
                    "version": offer.version,
                    "location": offer.location,
                    "configured": configured,
                    "isolated": runs_isolated(offer, configuration.sections[name] if configured else {}),
                    "state": states.get(name) if configured else None,
                    "commands": list(offered.names) if offered else [],
                    "trouble": offered.trouble if offered else None,
                }
            )
    return rows


def row_text(row: dict[str, Any]) -> str:
    """One row for people."""
    where = "-" if not row["configured"] else "own process" if row["isolated"] else "in the hub"
    state = row["state"] or ("configured" if row["configured"] else "-")
    text = f"{row['name']:<20} {state:<10} {where:<11}  {row['from']}"
    if row["location"] not in row["from"]:
        text += f"  {row['location']}"
    if row["commands"]:
        text += f"  (adds: {', '.join(f'hub {name}' for name in row['commands'])})"
    return f"{text}  {row['trouble']}" if row["trouble"] else text


def _states(configuration: Configuration) -> dict[str, str]:
    """What a running hub says of its plugins."""
    if not control.hub_runs(configuration.data_dir):
        return {}
    try:
        return {plugin["name"]: plugin["state"] for plugin in control.ask(configuration.data_dir, "health")["plugins"]}
    except HubError:
        return {}


def _is_chosen(offer: Offer, known: dict[str, list[Offer]]) -> bool:
    try:
        return choose(offer.name, known) == offer
    except PermanentError:
        return True
