"""The configuration that a command was given, its log set up as that says, and the store it names.

Imports stand inside, so that `hub --help` is there at once.
"""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from hub.configuration import Configuration
    from hub.runtime.disk.store import SqliteStore


def configuration_of(context: typer.Context, *, check: bool = True) -> "Configuration":
    """`check`: refuse it here (SettingsError); a command that runs plugins lets them add their problems first."""
    from hub.configuration import load_configuration

    configuration = load_configuration(context.find_root().params.get("config"))
    set_up_logs(configuration)
    if check:
        configuration.raise_problems()
    return configuration


def set_up_logs(configuration: "Configuration") -> None:
    """Level and format as configured; its secrets never appear in a line."""
    from hub.runtime.discretion import keep_secret
    from hub.runtime.logs import configure_logs

    keep_secret(configuration.secrets)
    configure_logs(configuration.settings.log.level, configuration.settings.log.format)


def store_of(configuration: "Configuration") -> "SqliteStore":
    """What is on disk, to read only, whether the hub runs or not."""
    from hub.clock import SystemClock
    from hub.runtime.disk.store import SqliteStore
    from hub.runtime.hosting.lineup import STORE_FILE

    return SqliteStore.open(configuration.data_dir / STORE_FILE, SystemClock(), read_only=True)
