"""`hub backup`, `hub restore`: a station in one file, and back."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hub.configured import configuration_of

if TYPE_CHECKING:
    from hub.configuration import Configuration
    from hub.runtime.backup import Manifest

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def backup(context: typer.Context, file: Annotated[Path, typer.Argument(metavar="FILE")], as_json: AsJson = False) -> None:
    """One archive of store, models and configuration (without secrets); also beside a running hub."""
    import asyncio

    from hub.clock import SystemClock
    from hub.runtime.backup import back_up

    configuration = configuration_of(context, check=False)
    asyncio.run(_learn_secrets(configuration))
    made = back_up(configuration.data_dir, _config(configuration), configuration.secrets, file, SystemClock().now())
    _tell(made, f"{file}: {file.stat().st_size:,} bytes", as_json=as_json)


def restore(context: typer.Context, file: Annotated[Path, typer.Argument(metavar="FILE")], as_json: AsJson = False) -> None:
    """Take an archive of `hub backup` out into an empty data_dir, once all of it is found whole."""
    from hub.runtime import control
    from hub.runtime.backup import restore as take_out

    configuration = configuration_of(context)
    with control.only_hub(configuration.data_dir):
        made = take_out(file, configuration.data_dir, _config(configuration))
    _tell(made, f"{configuration.data_dir}: restored from {made.made_at}", as_json=as_json)
    if made.secrets_left_out and not as_json:
        print(f"{made.secrets_left_out} secrets were left out of it (null in the configuration): set them again; then `hub doctor`")


def _config(configuration: "Configuration") -> Path:
    return configuration.file or configuration.folder / "config.yaml"


async def _learn_secrets(configuration: "Configuration") -> None:
    """Which values are secret, the plugins' models say."""
    import asyncio

    from hub.clock import SystemClock
    from hub.runtime.lineup import line_up

    members = await line_up(configuration, SystemClock())
    await asyncio.gather(*(member.leave() for member in members))


def _tell(made: "Manifest", words: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(made)))
    else:
        print(f"{words}, {len(made.parts)} files")
