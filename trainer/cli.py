"""The `trainer` command: data on stdout, progress on stderr, and an exit code that says what happened.

Imports stand inside the commands, so that `trainer --help` is there at once.
"""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hub.console import call, duration_given, symbol_named, time_given
from hub.errors import HubError

if TYPE_CHECKING:
    from trainer.intake import Intake

app = typer.Typer(name="trainer", no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Data = Annotated[Path, typer.Option(metavar="DIR", help="Where the trainer keeps its bars.")]
KnownData = Annotated[Path | None, typer.Option("--data", metavar="DIR", help="Its bars, if not those that the run was trained on.")]
NewRun = Annotated[str, typer.Option("--run", metavar="NAME", help="The run, kept in runs/NAME; again, and it goes on where it was.")]
SpecFile = Annotated[Path | None, typer.Option("--spec", metavar="FILE", help="runs/x.toml; otherwise the shipped default.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
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
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...", help="Files (.csv, .csv.gz, .zip), folders of them, or dumps elsewhere: sftp://user@host/folder."
        ),
    ],
    data: Data,
    symbol: Annotated[str | None, typer.Option(help="Such as BTC/USDT; otherwise from each file's name.")] = None,
    market: Annotated[Market, typer.Option(help="Which market the files are of; any mixes them.")] = Market.spot,
    key_file: Annotated[Path | None, typer.Option(metavar="FILE", help="For sftp; otherwise the keys of ~/.ssh.")] = None,
    known_hosts: Annotated[Path | None, typer.Option(metavar="FILE", help="For sftp; otherwise ~/.ssh/known_hosts.")] = None,
    as_json: AsJson = False,
) -> None:
    """Take in bars: the hub's exports and dumps, Binance's public dumps, plain CSV."""
    from hub.clock import SystemClock
    from hub.market.interval import to_ms
    from hub.remote import Login
    from trainer.ingest import ingest as take_in

    wanted, login = None if symbol is None else symbol_named(symbol), Login(None, key_file, known_hosts)
    _say(take_in(paths, data, wanted, market.value, to_ms(SystemClock().now()), login), as_json=as_json)


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


@app.command()
def train(
    data: Data,
    run: NewRun,
    spec: SpecFile = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the spec's.")] = None,
    device: Device = "auto",
) -> None:
    """Walk forward over the newest stretches, then train on everything, with a progress bar."""
    from trainer.bar import progress_bar
    from trainer.dataset import build_dataset
    from trainer.run import Run
    from trainer.series import load
    from trainer.spec import chosen
    from trainer.train import train as fit

    wanted = chosen(spec, epochs)
    with progress_bar() as tell:
        fit(Run.named(run), wanted, build_dataset(load(data), wanted.window), data, device=device, tell=tell)


@app.command()
def evaluate(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A run, a model file, or `starter`, the one that comes with the hub.")],
    data: KnownData = None,
    start: Annotated[str | None, typer.Option("--from", help="First open time, such as 2025-05-20.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Up to, but not including.")] = None,
    as_json: AsJson = False,
) -> None:
    """Judge a model out of sample, beside the baselines; the report with plots goes beside the model."""
    from trainer.evaluate import FAR
    from trainer.report import reported, summary

    found, page = reported(name, data, time_given(start, 0), time_given(end, FAR))
    print(json.dumps(found.table) if as_json else summary(found.table, page))


@app.command()
def export(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A finished run.")],
    data: KnownData = None,
    as_json: AsJson = False,
) -> None:
    """Make runs/NAME/model.onnx, INT8, and say what the conversion cost."""
    from hub.clock import SystemClock
    from trainer.dataset import build_dataset
    from trainer.export import export as convert
    from trainer.export import told_of
    from trainer.run import Run
    from trainer.series import load

    run = Run.named(name)
    parity = convert(run, build_dataset(load(data or run.data), run.spec().window), SystemClock().now())
    print(json.dumps(parity) if as_json else told_of(run, parity))


@app.command()
def publish(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An exported run.")],
    wait: Annotated[str, typer.Option(help="How long to wait for the hub's answer, such as 90s or 10m.")] = "10m",
    key: Annotated[Path, typer.Option(metavar="FILE", help="The private key that the hub trusts.")] = Path("tickerml.key"),
    as_json: AsJson = False,
) -> None:
    """Offer the model to the hub, hand it over, and wait for the hub's answer; again, and it goes on where it was."""
    import asyncio

    from hub.clock import SystemClock
    from hub.configuration import load_configuration
    from trainer.publish import offer_of
    from trainer.publish import publish as offer_it
    from trainer.run import Run

    configuration = load_configuration(_chosen.get("config"))
    configuration.raise_problems()
    patience, mqtt = duration_given(wait, "--wait"), configuration.settings.mqtt
    content, offer = offer_of(Run.named(name), SystemClock())
    answer = asyncio.run(offer_it(mqtt, content, offer, key, patience, lambda words: print(words, file=sys.stderr)))
    print(answer.model_dump_json() if as_json else f"accepted: {answer.status}: {answer.reason}")


@app.command()
def pipeline(
    data: Data,
    run: NewRun,
    spec: SpecFile = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small part of it all, to see that it works: nothing to rely on.")] = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """All of it: train, evaluate, export; again, and it goes on where it was."""
    from hub.clock import SystemClock
    from trainer.bar import progress_bar
    from trainer.export import told_of
    from trainer.pipeline import pipeline as go
    from trainer.report import summary
    from trainer.run import Run
    from trainer.spec import chosen

    with progress_bar() as tell:
        made = go(Run.named(run), chosen(spec), data, SystemClock().now(), quick=quick, device=device, tell=tell)
    told = f"{summary(made.table, made.page)}\n{told_of(Run.named(run), made.parity)}"
    print(json.dumps({"evaluation": made.table, "export": made.parity}) if as_json else told)


@app.command()
def headlines(
    labelled: Annotated[Path, typer.Argument(metavar="LABELLED.csv", help="Columns text and label: positive, neutral or negative.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write the weights.")] = Path("weights.npz"),
    as_json: AsJson = False,
) -> None:
    """Learn how headlines sound, for the judge that needs no language model; with figures of folds that were not learnt from."""
    from trainer.headlines import learn, read_labelled

    learnt = learn(read_labelled(labelled))
    try:
        learnt.weights.save(out)
    except OSError as error:
        raise HubError(f"{out}: cannot be written: {error.strerror}") from error
    print(json.dumps(learnt.figures) if as_json else f"{learnt.told()}\n{out}")


def main() -> None:
    """The console script."""
    call(app)


def _say(intake: "Intake", *, as_json: bool) -> None:
    """The report on stdout; and an error with every file that could not be used."""
    print(json.dumps(intake.as_dict()) if as_json else "\n".join(intake.lines()))
    if intake.errors:
        raise HubError("\n".join(intake.errors))
