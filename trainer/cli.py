"""The `trainer` command: data on stdout, progress on stderr, and an exit code that says what happened.

Imports stand inside the commands, so that `trainer --help` is there at once.
"""

from pathlib import Path
from typing import Annotated

import typer

from hub.console import call

app = typer.Typer(name="trainer", no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
_chosen: dict[str, Path] = {}


@app.callback()
def _trainer(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="The hub's configuration (default: ./config.yaml, or the defaults).")
    ] = None,
) -> None:
    """TickerML's trainer: learns from what the hub collected, and offers it better models."""
    if config is not None:
        _chosen["config"] = config


@app.command()
def keygen(out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write the pair.")] = Path()) -> None:
    """Make the pair of keys that models are signed with."""
    from trainer.keygen import make_keys

    pair = make_keys(out)
    print(f"key id   {pair.id}")
    print(f"private  {pair.private}  signs models: keep it here, and to yourself")
    print(f"public   {pair.public}")
    print(f"next     copy {pair.public.name} to the hub, and say there: hub models trust {pair.public.name}")


def main() -> None:
    """The console script."""
    call(app)
