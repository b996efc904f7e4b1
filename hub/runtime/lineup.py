"""From the configuration's sections to plugins that are ready to run, each loaded alone."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pluggy
import structlog

from hub.clock import Clock, FastClock
from hub.configuration import Configuration
from hub.errors import PermanentError, SettingsError
from hub.flow import Store
from hub.runtime.context import PluginHub
from hub.runtime.isolation import IsolatedPlugin
from hub.runtime.plugins import Declared, Offer, choose, declare, load, offers, settings_model, unknown_plugin
from hub.settings import PluginSettings

STORE_FILE = "tickerml.db"


@dataclass
class Member:
    """One plugin of the line-up: loaded, or failed with a reason."""

    name: str
    section: dict[str, Any]
    offer: Offer | None = None
    failure: str | None = None
    manager: pluggy.PluginManager | None = None
    settings: PluginSettings | None = None
    guest: IsolatedPlugin | None = None
    context: PluginHub | None = None
    declared: Declared = field(default_factory=Declared)

    def ready(self, clock: Clock, store: Store, configuration: Configuration) -> None:
        """Ask a plugin that runs in the hub's own process what it declares; a guest has already said it."""
        if self.manager is None or self.settings is None or self.failure:
            return
        self.context = PluginHub(
            self.name,
            section=self.settings,
            clock=clock,
            store=store,
            symbols=configuration.settings.symbols,
            data_dir=configuration.data_dir,
        )
        try:
            self.declared = declare(self.manager, self.context)
        except PermanentError as error:
            self.failure = str(error)

    async def leave(self) -> None:
        """Let go of what it holds."""
        if self.guest is not None:
            await self.guest.stop()
        if self.context is not None:
            await self.context.close()


async def line_up(configuration: Configuration, clock: Clock, names: Sequence[str] | None = None) -> list[Member]:
    """Load every plugin that has a section (or only `names`); problems with sections are noted in the configuration.

    A plugin that cannot be loaded is in the list with its failure: it is red, and the others go on.
    """
    known = offers(configuration.plugin_dir)
    members = []
    for name, section in configuration.sections.items():
        if names is not None and name not in names:
            continue
        if name not in known:
            configuration.problems.append(configuration.problem(("plugins", name), unknown_plugin(name, known)))
            continue
        member = Member(name, section)
        members.append(member)
        try:
            member.offer = choose(name, known)
            if not runs_isolated(member.offer, section):
                _load_here(member, configuration)
        except PermanentError as error:
            member.failure = str(error)
    guests = [member for member in members if member.offer and not member.manager and not member.failure]
    await asyncio.gather(*(_load_guest(member, configuration, clock) for member in guests))
    return members


def runs_isolated(offer: Offer, section: dict[str, Any]) -> bool:
    """Whether a plugin gets a process of its own: what did not come with the hub does, unless its section says otherwise."""
    wish = section.get("isolated")
    return wish if isinstance(wish, bool) else not offer.built_in


def _load_here(member: Member, configuration: Configuration) -> None:
    if member.offer is None:
        return
    member.manager = load(member.offer)
    member.settings = configuration.section(("plugins", member.name), member.section, settings_model(member.manager))


async def _load_guest(member: Member, configuration: Configuration, clock: Clock) -> None:
    if member.offer is None:
        return
    log = configuration.settings.log
    told = {"start": clock.start.isoformat(), "speed": clock.speed, "begun": clock.begun} if isinstance(clock, FastClock) else None
    briefing = {
        "section": member.section,
        "symbols": list(configuration.settings.symbols),
        "data_dir": str(configuration.data_dir.absolute()),
        "store": str(configuration.data_dir.absolute() / STORE_FILE),
        "clock": told,
        "log": {"level": log.level, "format": log.format},
    }
    member.guest = IsolatedPlugin(member.offer, briefing, structlog.get_logger().bind(plugin=member.name))
    try:
        member.declared = await member.guest.start()
    except SettingsError:
        path = ("plugins", member.name)
        configuration.problems += [configuration.problem(path + where, text) for where, text in member.guest.problems]
    except PermanentError as error:
        member.failure = str(error)
