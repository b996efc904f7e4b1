"""`hub dashboard password`: another password for the page."""

import secrets
from typing import TYPE_CHECKING

import typer

from hub.errors import HubError
from plugins.dashboard.password import FIRST, Password
from plugins.dashboard.settings import DashboardSettings

if TYPE_CHECKING:
    from hub import Hub


def add(cli: typer.Typer, hub: "Hub") -> None:
    """Add the command group."""
    group = typer.Typer(no_args_is_help=True, help="The page: its password.")

    @group.callback()
    def _group() -> None: ...

    @group.command()
    def password() -> None:
        """Make another password, and print it; whoever has signed in must do so again."""
        if hub.settings_for(DashboardSettings).password is not None:
            raise HubError("the configuration sets plugins.dashboard.password; change it there")
        made = secrets.token_urlsafe(15)
        kept = Password(hub.data_dir, None)
        kept.change(made)
        (hub.data_dir / FIRST).unlink(missing_ok=True)
        typer.echo(made)

    cli.add_typer(group, name="dashboard")
