"""Subcommands that plugins add to `hub`.

Each plugin is first asked in a child process, where an import that hangs or kills hurts nobody; only the plugin whose command was
typed is loaded in the command's own process.
"""

import multiprocessing
import os
from collections.abc import Collection
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import typer
from typer.main import get_command_name
from typer.models import CommandInfo, TyperInfo

from hub.configuration import Configuration
from hub.errors import HubError, SettingsError
from hub.runtime.disk.store import SqliteStore
from hub.runtime.hosting.context import clock_for
from hub.runtime.hosting.lineup import STORE_FILE, Member, load_here, note_told
from hub.runtime.hosting.offers import choose, offers
from hub.runtime.hosting.plugins import ask
from hub.runtime.hosting.process import LOAD_S
from hub.runtime.logs import prints_logged
from hub.runtime.words import reason_of


@dataclass(frozen=True)
class Commands:
    """What one configured plugin adds, and why that is not all, or nothing."""

    plugin: str
    names: tuple[str, ...] = ()
    trouble: str | None = None


def commands_of(configuration: Configuration, own: Collection[str]) -> list[Commands]:
    """The commands of every plugin that the configuration names, all asked at the same time. `own`: the hub's, which nobody may take."""
    known = offers(configuration.plugin_dir)
    fork = multiprocessing.get_context("fork")  # what is imported already need not be imported again
    asked = []
    for name in configuration.sections:
        if name in known:
            hears, speaks = fork.Pipe(duplex=False)
            child = fork.Process(target=_answer, args=(speaks, configuration, name), daemon=True)
            child.start()
            speaks.close()
            asked.append((name, child, hears))
    return [_without(_heard(*each), own) for each in asked]


def add_commands(app: typer.Typer, configuration: Configuration, commands: Commands) -> None:
    """Load one plugin, and add its commands to `app`. PermanentError where it cannot be loaded; problems of its section are noted."""
    with prints_logged():
        cli = _registered(configuration, commands.plugin)
    app.registered_commands += [each for each in cli.registered_commands if _name(each) in commands.names]
    app.registered_groups += [each for each in cli.registered_groups if _name(each) in commands.names]


def _name(added: CommandInfo | TyperInfo) -> str | None:
    inner = added.typer_instance.info if isinstance(added, TyperInfo) and added.typer_instance else added
    given = next((name for name in (added.name, inner.name) if isinstance(name, str)), None)  # else typer's own mark for "not given"
    return given or (get_command_name(added.callback.__name__) if isinstance(added, CommandInfo) and added.callback else None)


def _names(cli: typer.Typer) -> list[str]:
    added: list[CommandInfo | TyperInfo] = [*cli.registered_commands, *cli.registered_groups]
    return [name for each in added if (name := _name(each))]


def _without(commands: Commands, own: Collection[str]) -> Commands:
    if taken := [name for name in commands.names if name in own]:
        names = tuple(name for name in commands.names if name not in own)
        return Commands(commands.plugin, names, f"{', '.join(taken)}: the hub has a command of that name")
    return commands


def _registered(configuration: Configuration, name: str) -> typer.Typer:
    cli = typer.Typer()
    member = Member(name, configuration.sections[name], choose(name, offers(configuration.plugin_dir)))
    load_here(member, configuration)
    if member.manager is not None and member.manager.hook.register_commands.get_hookimpls():
        clock = clock_for(configuration.settings.clock)
        store = SqliteStore.reader(configuration.data_dir / STORE_FILE, clock)
        try:
            ask(member.manager, "register_commands", cli=cli, hub=member.enter(clock, store, configuration))
        except SettingsError as error:
            if not configuration.problems:
                note_told(configuration, name, error.problems)
    return cli


def _answer(speaks: Connection, configuration: Configuration, name: str) -> None:
    """In the child: say what the plugin registers. What it prints meanwhile is nobody's."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    configuration.problems = []
    try:
        names = _names(_registered(configuration, name))
        speaks.send((names, "; ".join(configuration.problems) or None))
    except HubError as error:
        speaks.send(((), reason_of(error)))


def _heard(name: str, child: Any, hears: Connection) -> Commands:
    try:
        if not hears.poll(LOAD_S):
            child.kill()
            return Commands(name, trouble=f"did not finish loading within {LOAD_S:g} s")
        names, trouble = hears.recv()
        return Commands(name, tuple(names), trouble)
    except EOFError:
        child.join()
        return Commands(name, trouble=f"its process ended while it was loaded (exit code {child.exitcode})")
    finally:
        hears.close()
        child.join(1.0)
