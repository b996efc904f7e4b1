"""The `trainer` command: data on stdout, progress on stderr, and an exit code that says what happened.

Imports stand inside the commands, so that `trainer --help` is there at once.
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.console import call, symbol_named, time_given
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


@app.command()
def train(
    data: Data,
    run: Annotated[str, typer.Option(metavar="NAME", help="The run, kept in runs/NAME; again, and it goes on where it was.")],
    spec: Annotated[Path | None, typer.Option(metavar="FILE", help="runs/x.toml; otherwise the shipped default.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the spec's.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Walk forward over the newest stretches, then train on everything, with a progress bar."""
    from trainer.bar import progress_bar
    from trainer.dataset import build_dataset
    from trainer.run import Run
    from trainer.series import load
    from trainer.spec import RUNS, load_spec
    from trainer.train import train as fit

    chosen = load_spec(spec or RUNS / "default.toml")
    if epochs is not None:
        chosen = chosen.model_copy(update={"epochs": epochs})
    with progress_bar() as tell:
        fit(Run.named(run), chosen, build_dataset(load(data), chosen.window), device=device, tell=tell)


@app.command()
def evaluate(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A run, a model file, or `starter`, which came with the hub.")],
    data: Data,
    start: Annotated[str | None, typer.Option("--from", help="First open time, such as 2025-05-20.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Up to, but not including.")] = None,
    as_json: AsJson = False,
) -> None:
    """Judge a model out of sample, beside the baselines; the report with plots goes beside the model."""
    from trainer.dataset import build_dataset
    from trainer.evaluate import FAR, STARTER, evaluate_file, evaluate_run, starter, window_of
    from trainer.report import report, summary
    from trainer.run import Run, write_text
    from trainer.series import load

    first, last = time_given(start, 0), time_given(end, FAR)
    if (file := starter() if name == STARTER else Path(name)).suffix == ".onnx":
        dataset = build_dataset(load(data), window_of(file))
        found, page = evaluate_file(file, dataset, first, last), Path(f"{file.stem}.html") if name == STARTER else file.with_suffix(".html")
    else:
        run = Run.named(name)
        dataset = build_dataset(load(data), run.spec().window)
        found, page = evaluate_run(run, dataset, first, last), run.report
        run.write("evaluation.json", found.table)
    write_text(page, report(dataset, found))
    print(json.dumps(found.table) if as_json else summary(found.table, page))


@app.command()
def export(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A finished run.")],
    data: Data,
    as_json: AsJson = False,
) -> None:
    """Make runs/NAME/model.onnx, INT8, and say what the conversion cost."""
    from hub.clock import SystemClock
    from trainer.dataset import build_dataset
    from trainer.export import export as convert
    from trainer.run import Run
    from trainer.series import load

    run = Run.named(name)
    parity = convert(run, build_dataset(load(data), run.spec().window), SystemClock().now())
    if as_json:
        print(json.dumps(parity))
    else:
        _say_export(run.model, parity)


@app.command()
def pipeline(
    data: Data,
    run: Annotated[str, typer.Option(metavar="NAME", help="The run, kept in runs/NAME; again, and it goes on where it was.")],
    spec: Annotated[Path | None, typer.Option(metavar="FILE", help="runs/x.toml; otherwise the shipped default.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A rehearsal in a few minutes; its model is not worth trusting.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: AsJson = False,
) -> None:
    """All of it: train, evaluate, export; the report with plots and the model file are in runs/NAME."""
    from hub.clock import SystemClock
    from trainer.bar import progress_bar
    from trainer.dataset import build_dataset
    from trainer.pipeline import pipeline as whole
    from trainer.pipeline import rehearsal
    from trainer.report import summary
    from trainer.run import Run
    from trainer.series import load
    from trainer.spec import RUNS, load_spec

    chosen = load_spec(spec or RUNS / "default.toml")
    chosen = rehearsal(chosen) if quick else chosen
    target = Run.named(run)
    with progress_bar() as tell:
        table, parity = whole(target, chosen, build_dataset(load(data), chosen.window), device, tell, SystemClock().now())
    if as_json:
        print(json.dumps({"evaluation": table, "export": parity}))
    else:
        print(summary(table, target.report))
        _say_export(target.model, parity)


def _say_export(file: Path, parity: Mapping[str, Any]) -> None:
    print(f"model: {file}  {parity['bytes']['int8']} bytes, {parity['bytes']['ratio']:.2f} of FP32; INT8 is {parity['chosen']}")


def main() -> None:
    """The console script."""
    call(app)


def _say(intake: "Intake", *, as_json: bool) -> None:
    """The report on stdout; and an error with every file that could not be used."""
    print(json.dumps(intake.as_dict()) if as_json else "\n".join(intake.lines()))
    if intake.errors:
        raise HubError("\n".join(intake.errors))
