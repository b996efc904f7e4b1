"""`hub backup`, `hub restore`: a station in one file, and back."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hub.configured import configuration_of

if TYPE_CHECKING:
    from hub.configuration import Configuration


def backup(context: typer.Context, file: Annotated[Path, typer.Argument(metavar="FILE")]) -> None:
    """One archive of store, models and configuration (without secrets); also beside a running hub."""
    import asyncio

    from hub.clock import SystemClock
    from hub.runtime.backups.backup import back_up

    configuration = configuration_of(context)
    asyncio.run(_learn_secrets(configuration))
    made = back_up(configuration.data_dir, configuration.config_file, configuration.secrets, file, SystemClock().now())
    print(f"{file}: {len(made.parts)} files, {file.stat().st_size:,} bytes")


def restore(context: typer.Context, file: Annotated[Path, typer.Argument(metavar="FILE")]) -> None:
    """Take an archive of `hub backup` out into an empty data_dir, once all of it is found whole."""
    from hub.runtime import control
    from hub.runtime.backups.restore import configuration_in
    from hub.runtime.backups.restore import restore as take_out

    configuration = configuration_of(context)
    if not (config := configuration.config_file).exists():
        configuration = configuration_in(file, config) or configuration
    with control.only_hub(configuration.data_dir):
        made = take_out(file, configuration.data_dir, config)
    print(f"{configuration.data_dir}: as it was at {made.made_at}, {len(made.parts)} files")
    if made.secrets_left_out:
        print(f"{made.secrets_left_out} secrets were left out of it (null in the configuration): set them again; then `hub doctor`")


async def _learn_secrets(configuration: "Configuration") -> None:
    """Which values are secret, the plugins' models say."""
    import asyncio

    from hub.clock import SystemClock
    from hub.runtime.hosting.lineup import line_up

    members = await line_up(configuration, SystemClock())
    await asyncio.gather(*(member.leave() for member in members))
