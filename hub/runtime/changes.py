"""Changes to a hub that runs: a plugin started again, the configuration read again. One at a time, and each wholly or not at all."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hub.configuration import Configuration, load_configuration
from hub.errors import HubError, SettingsError
from hub.runtime.hosting.lineup import Member, line_up

if TYPE_CHECKING:
    from hub.runtime.app import App


async def restart(app: "App", name: str) -> dict[str, Any]:
    """Load one plugin anew and start it. HubError where there is none of that name, or its section no longer holds."""
    async with app.changing:
        if name not in app.members:
            raise HubError(f"no plugin {name!r} runs here; there are: {', '.join(sorted(app.members)) or 'none'}")
        fresh = replace(app.configuration, problems=[])
        [member] = await _prepared(app, fresh, [name])
        await app.stop(name)
        app.start(member)
        state = app.watches[name].state
        return {"name": name, "state": state.state, "error": state.error}


async def reload(app: "App") -> None:
    """Read the configuration again: all of it is right and counts, or none of it does."""
    async with app.changing:
        try:
            fresh = load_configuration(app.configuration.file)
            waiting = _keep_what_runs(fresh, app.configuration)
            changed = _to_start_anew(app, fresh)
            newcomers = await _prepared(app, fresh, sorted(changed))
        except HubError as error:
            app.log.error("configuration not reloaded; the old one goes on", problems=str(error).splitlines())
            return
        for name in [name for name in app.members if name in changed or name not in fresh.sections]:
            await app.stop(name)
        app.configuration = fresh
        for member in newcomers:
            app.start(member)
        app.introduce()
        app.log.info("configuration reloaded", started=sorted(changed))
        if waiting:
            app.log.warning("these keys count from the next start of the hub on", keys=waiting)


def _keep_what_runs(fresh: Configuration, old: Configuration) -> list[str]:
    """Broker, folders, clock and log stay as they are while the hub runs; returns the keys that would have changed."""
    kept = old.settings.model_copy(update={"symbols": fresh.settings.symbols, "plugins": fresh.settings.plugins})
    waiting = sorted(key for key in type(kept).model_fields if getattr(kept, key) != getattr(fresh.settings, key))
    fresh.settings = kept
    return waiting


def _to_start_anew(app: "App", fresh: Configuration) -> set[str]:
    """New plugins, those whose section has changed, and those that failed; all of them where the symbols are others."""
    old = app.configuration
    if fresh.settings.symbols != old.settings.symbols:
        return set(fresh.sections)
    failed = {name for name, watch in app.watches.items() if watch.state.state == "failed"}
    return {name for name, section in fresh.sections.items() if name in failed or old.sections.get(name) != section}


async def _prepared(app: "App", configuration: Configuration, names: list[str]) -> list[Member]:
    """The plugins, loaded and asked what they declare. SettingsError where a section will not do; nothing is left behind then."""
    members = await line_up(configuration, app.clock, names)
    for member in members:
        member.ready(app.clock, app.recorder.store, configuration)
    try:
        configuration.raise_problems()
    except SettingsError:
        for member in members:
            await member.leave()
        raise
    return members
