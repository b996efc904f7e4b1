"""The `trainer` command: data on stdout, progress on stderr, and an exit code that says what happened.

Imports stand inside the commands, so that `trainer --help` is there at once.
"""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hub.console import call, symbol_named
from hub.errors import HubError

if TYPE_CHECKING:
    from trainer.intake import Intake

app = typer.Typer(name="trainer", no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Data = Annotated[Path, typer.Option(metavar="DIR", help="Where the trainer keeps its bars.")]
_chosen: dict[str, Path] = {}


class Market(StrEnum):
    """Markets that have prices of their own."""

    spot = "spot"
    perp = "perp"
    any = "any"


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


@app.command()
def ingest(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files (.csv, .csv.gz, .zip), or folders of them.")],
    data: Data,
    symbol: Annotated[str | None, typer.Option(help="Such as BTC/USDT; otherwise from each file's name.")] = None,
    market: Annotated[Market, typer.Option(help="Which market the files are of; any mixes them.")] = Market.spot,
    as_json: AsJson = False,
) -> None:
    """Take in bars: the hub's exports and dumps, Binance's public dumps, plain CSV."""
    from hub.clock import SystemClock
    from hub.market.interval import to_ms
    from trainer.ingest import ingest as take_in

    wanted = None if symbol is None else symbol_named(symbol)
    _say(take_in(paths, data, wanted, market.value, to_ms(SystemClock().now())), as_json=as_json)


@app.command()
def fetch(
    symbol: Annotated[list[str], typer.Option(help="Such as BTC/USDT; more than once for more.")],
    days: Annotated[int, typer.Option(min=1, max=5000, help="How far back.")],
    data: Data,
    as_json: AsJson = False,
) -> None:
    """Fetch history straight from the exchange, with a progress bar; again, and only what is missing is asked for."""
    import asyncio

    from hub.configuration import load_configuration
    from trainer.fetch import fetch as bring

    configuration = load_configuration(_chosen.get("config"))
    wanted = list(dict.fromkeys(map(symbol_named, symbol)))
    _say(asyncio.run(bring(configuration, data, wanted, days)), as_json=as_json)


def main() -> None:
    """The console script."""
    call(app)


def _say(intake: "Intake", *, as_json: bool) -> None:
    """The report on stdout; and an error with every file that could not be used."""
    print(json.dumps(intake.as_dict()) if as_json else "\n".join(intake.lines()))
    if intake.errors:
        raise HubError("\n".join(intake.errors))
