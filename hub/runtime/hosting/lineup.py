"""From the configuration's sections to plugins that are ready to run, each loaded alone."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pluggy
import structlog
from pydantic import TypeAdapter, ValidationError

from hub.clock import Clock, FastClock
from hub.configuration import Configuration
from hub.errors import PermanentError, SettingsError
from hub.flow import Store
from hub.runtime.discretion import keep_secret
from hub.runtime.hosting.context import PluginHub
from hub.runtime.hosting.isolation import IsolatedPlugin
from hub.runtime.hosting.offers import Offer, choose, offers, unknown_plugin
from hub.runtime.hosting.plugins import Declared, declare, load, settings_model
from hub.runtime.words import describe
from hub.settings import PluginSettings

STORE_FILE = "tickerml.db"


@dataclass
class Member:
    """One plugin of the line-up: loaded, or failed with a reason."""

    name: str
    section: dict[str, Any] = field(repr=False)
    offer: Offer | None = None
    failure: str | None = None
    manager: pluggy.PluginManager | None = None
    settings: PluginSettings | None = None
    guest: IsolatedPlugin | None = None
    context: PluginHub | None = None
    declared: Declared = field(default_factory=Declared)

    def enter(self, clock: Clock, store: Store, configuration: Configuration) -> PluginHub:
        """The hub as this plugin sees it. SettingsError where its section will not do."""
        if self.settings is None:
            raise SettingsError(configuration.problems)
        self.context = PluginHub(
            self.name,
            section=self.settings,
            clock=clock,
            store=store,
            symbols=configuration.settings.symbols,
            data_dir=configuration.data_dir,
        )
        return self.context

    def ready(self, clock: Clock, store: Store, configuration: Configuration) -> None:
        """Ask a plugin that runs in the hub's own process what it declares; a guest has already said it.

        Where it finds its section wrong, that is noted in the configuration.
        """
        if self.manager is None or self.settings is None or self.failure:
            return
        try:
            self.declared = declare(self.manager, self.enter(clock, store, configuration))
        except SettingsError as error:
            note_told(configuration, self.name, error.problems)
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
                load_here(member, configuration)
        except PermanentError as error:
            member.failure = str(error)
    guests = [member for member in members if member.offer and not member.manager and not member.failure]
    await asyncio.gather(*(_load_guest(member, configuration, clock) for member in guests))
    return members


def runs_isolated(offer: Offer, section: dict[str, Any]) -> bool:
    """Whether a plugin gets a process of its own: as its section says, or as is usual for it."""
    try:
        wish = TypeAdapter(bool | None).validate_python(section.get("isolated"))
    except ValidationError:
        wish = None  # its own check of the section says so
    return offer.apart if wish is None else wish


def load_here(member: Member, configuration: Configuration) -> None:
    """Import a plugin into this process and check its section. PermanentError where that cannot be; problems are noted."""
    if member.offer is None:
        return
    manager = load(member.offer)
    model = settings_model(manager)
    try:
        member.settings = configuration.section(("plugins", member.name), member.section, model)
    except Exception as error:
        raise PermanentError(f"its settings cannot be checked: {describe(error)}") from error
    member.manager = manager
    keep_secret(configuration.secrets)


async def _load_guest(member: Member, configuration: Configuration, clock: Clock) -> None:
    if member.offer is None:
        return
    log = configuration.settings.log
    told = {"start": clock.start.isoformat(), "speed": clock.speed, "begun": clock.begun} if isinstance(clock, FastClock) else None
    briefing = {
        "section": member.section,
        **configuration.context,
        "symbols": list(configuration.settings.symbols),
        "data_dir": str(configuration.data_dir.absolute()),
        "store": str(configuration.data_dir.absolute() / STORE_FILE),
        "clock": told,
        "log": {"level": log.level, "format": log.format},
    }
    path = ("plugins", member.name)
    member.guest = IsolatedPlugin(member.offer, briefing, structlog.get_logger().bind(plugin=member.name))
    try:
        member.declared = await member.guest.start()
    except SettingsError:
        configuration.note(path, [(where, text) for where, text in member.guest.problems if where])
        note_told(configuration, member.name, [text for where, text in member.guest.problems if not where])
    except PermanentError as error:
        member.failure = str(error)
    except (OSError, ValueError, LookupError, TypeError) as error:  # no process to be had, or it said what we do not understand
        member.failure = f"its process cannot be used: {describe(error)}"
    configuration.note_secrets(path, member.guest.secrets)
    keep_secret(configuration.secrets)


def note_told(configuration: Configuration, name: str, problems: Sequence[str]) -> None:
    """Problems that a plugin found by itself; some begin with the key."""
    for problem in problems:
        key, _, text = problem.partition(": ")
        if text and key.startswith(f"plugins.{name}."):
            configuration.note(tuple(key.split(".")), [((), text)])
        else:
            configuration.note(("plugins", name), [((), problem)])
