"""`hub broker`: what a real Mosquitto needs."""

from pathlib import Path
from typing import Annotated

import typer

from hub.configured import configuration_of

app = typer.Typer(no_args_is_help=True, help="The broker: users, passwords, certificates for a Mosquitto.")


@app.callback()
def _broker() -> None: ...


@app.command()
def setup(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Where the files are made.")] = Path("broker"),
    names: Annotated[
        list[str] | None, typer.Option("--name", help="By which others reach this machine, beside those it knows; may be repeated.")
    ] = None,
    renew: Annotated[list[str] | None, typer.Option(metavar="ROLE", help="Make this role another password; may be repeated.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where the broker will find them (default: /etc/mosquitto/tickerml).")] = None,
    socket: Annotated[Path | None, typer.Option(help="For this machine alone (default: /run/tickerml/mqtt.sock).")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="For this machine alone.")] = 1883,
    tls_port: Annotated[int, typer.Option(min=1, max=65535, help="For the others in the house.")] = 8883,
) -> None:
    """Make users, passwords, ACL, certificates and configuration, and say what to type then. What is there stays."""
    import sys

    from hub.clock import SystemClock
    from hub.runtime.mqtt.broker_setup import FOLDER, ROLES, SOCKET, Wanted, next_steps, own_names, set_up

    if unknown := [role for role in renew or () if role not in ROLES]:
        raise typer.BadParameter(f"{', '.join(unknown)}: there are {', '.join(ROLES)}", param_hint="--renew")
    configuration = configuration_of(context)
    told = configuration.sections.get("homeassistant") or {}
    every = tuple(dict.fromkeys([*(names or ()), *own_names()]))
    discovery = str(told.get("discovery_prefix", "homeassistant"))
    wanted = Wanted(every, configuration.settings.mqtt.root, discovery, folder or FOLDER, socket or SOCKET, port, tls_port)
    for line in set_up(out, wanted, SystemClock().now(), renew or ()):
        print(line)
    print(f"\n{next_steps(out, wanted)}", file=sys.stderr)
