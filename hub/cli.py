"""The `hub` command: data on stdout, logs on stderr, and an exit code that says what happened.

Imports stand inside the commands, so that `hub --help` is there at once.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.main import get_group

from hub import backup_commands, broker_commands, dump_commands, forecast_commands, model_commands, plugin_commands, sentiment_commands
from hub.configured import configuration_of, set_up_logs, store_of
from hub.console import call, config_and_command, duration_given, symbol_named, time_given
from hub.errors import CheckFailed

if TYPE_CHECKING:
    from hub.configuration import Configuration

app = typer.Typer(
    name="hub",
    epilog="Plugins may add commands of their own: `hub plugins list` shows them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
bars = typer.Typer(no_args_is_help=True, help="Bars on disk: export, gaps, backfill.")
grafana = typer.Typer(no_args_is_help=True, help="Grafana: boards and alert rules.")
app.add_typer(bars, name="bars")
app.add_typer(plugin_commands.app, name="plugins")
app.add_typer(forecast_commands.app, name="forecasts")
app.add_typer(model_commands.app, name="models")
app.add_typer(broker_commands.app, name="broker")
app.add_typer(grafana, name="grafana")
app.command()(sentiment_commands.sentiment)
app.command()(dump_commands.dump)
app.command()(backup_commands.backup)
app.command()(backup_commands.restore)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
For = Annotated[str | None, typer.Option("--for", help="Stop after this long, such as 90s; otherwise run until stopped.")]


@app.callback()
def _hub(
    config: Annotated[Path | None, typer.Option("--config", "-c", help="Configuration (default: ./config.yaml, or the defaults).")] = None,
) -> None:
    """TickerML: a small forecasting station for crypto prices."""


@app.command()
def init(folder: Annotated[Path, typer.Argument(metavar="[DIR]")] = Path()) -> None:
    """Write a commented config.yaml and .env.example; what is there is left alone."""
    from hub.runtime.scaffold import scaffold

    for file in scaffold(folder):
        print(file)


@app.command()
def run(
    context: typer.Context,
    duration: For = None,
    only: Annotated[
        str | None,
        typer.Option(
            "--plugins", metavar="NAME,NAME", help="These alone, as a part of a station whose hub runs elsewhere on the same broker."
        ),
    ] = None,
) -> None:
    """Run the hub until SIGTERM or Ctrl-C."""
    import asyncio

    from hub.runtime.app import run_hub
    from hub.runtime.logs import prints_logged

    seconds, configuration = _seconds(duration), configuration_of(context, check=False)
    chosen = None if only is None else _chosen_plugins(only, configuration)
    with prints_logged():
        asyncio.run(run_hub(configuration, seconds=seconds, only=chosen))


@app.command()
def demo(
    context: typer.Context,
    speed: Annotated[float, typer.Option(help="Seconds of the market in one of yours.", min=0.1, max=100000)] = 60.0,
    duration: For = None,
) -> None:
    """Run the whole system on a simulated exchange: no account, no server, no network."""
    import asyncio

    from hub.runtime.app import run_hub
    from hub.runtime.demo import demo_clock, demo_configuration
    from hub.runtime.display import bars_on

    configuration = demo_configuration(context.find_root().params.get("config"))
    set_up_logs(configuration)
    asyncio.run(run_hub(configuration, seconds=_seconds(duration), clock=demo_clock(configuration, speed), beside=bars_on()))


@app.command()
def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Check configuration, disk, store, broker and exchange: one line each, with the fix."""
    import asyncio

    from hub.runtime.doctor import examine_now
    from hub.runtime.logs import prints_logged

    configuration = configuration_of(context, check=False)
    with prints_logged():
        findings = asyncio.run(examine_now(configuration))
    if as_json:
        print(json.dumps([vars(finding) for finding in findings]))
    else:
        for finding in findings:
            print(f"{'ok  ' if finding.ok else 'FAIL' if finding.needed else 'note'}  {finding.what}: {finding.text}")
    if any(finding.needed and not finding.ok for finding in findings):
        raise CheckFailed("something that the hub needs is missing")


@app.command()
def status(context: typer.Context, as_json: AsJson = False) -> None:
    """What runs, the newest bar of each symbol, gaps, and how far behind each forwarder is."""
    from hub.runtime import control
    from hub.runtime.health import stored
    from hub.runtime.status_text import status_text

    configuration = configuration_of(context)
    if control.hub_runs(configuration.data_dir):
        health = control.ask(configuration.data_dir, "health")
    else:
        health = {"running": False, **stored(store_of(configuration))}
    print(json.dumps(health) if as_json else status_text(health))


@app.command()
def graph(context: typer.Context, as_json: AsJson = False) -> None:
    """The flow as Mermaid text, from the code."""
    import asyncio

    from hub.clock import SystemClock
    from hub.runtime.graph import flow_rows, mermaid
    from hub.runtime.hosting.lineup import line_up
    from hub.runtime.logs import prints_logged
    from hub.testing import MemoryStore

    configuration = configuration_of(context, check=False)

    async def draw() -> str:
        members = await line_up(configuration, SystemClock())
        for member in members:
            member.ready(SystemClock(), MemoryStore(), configuration)
            await member.leave()
        configuration.raise_problems()
        for member in members:
            if member.failure:
                print(f"plugin {member.name}: {member.failure}", file=sys.stderr)
        return json.dumps(flow_rows(members)) if as_json else mermaid(members)

    with prints_logged():
        drawing = asyncio.run(draw())
    print(drawing)


@bars.command()
def export(
    context: typer.Context,
    symbol: Annotated[str, typer.Option(help="Such as BTC/USDT.")],
    start: Annotated[str | None, typer.Option("--from", help="First open time, such as 2025-05-20 or 2025-05-20T12:00:00Z.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Up to, but not including.")] = None,
    out: Annotated[Path | None, typer.Option(help="File to write instead of stdout.")] = None,
    as_json: AsJson = False,
) -> None:
    """Bars as CSV, numbers to the digit."""
    from hub.runtime.export import export_bars

    name, first, last = symbol_named(symbol), time_given(start, 0), time_given(end, 2**53) - 1
    export_bars(store_of(configuration_of(context)), name, first, last, out, as_json=as_json)


@bars.command()
def gaps(
    context: typer.Context, symbol: Annotated[str | None, typer.Option(help="Only this one.")] = None, as_json: AsJson = False
) -> None:
    """Every stretch without bars, and why."""
    from hub.runtime.health import every_gap

    name = symbol_named(symbol) if symbol else None
    found = every_gap(store_of(configuration_of(context)), name)
    if as_json:
        print(json.dumps(found))
        return
    for gap in found:
        first, last = (gap[key].removesuffix(":00Z").replace("T", " ") for key in ("first_open_time", "last_open_time"))
        print(f"{gap['symbol']}  {first} to {last}  {gap['minutes']} min  {gap['reason']}")
    if not found:
        print("none")


@bars.command()
def backfill(context: typer.Context, days: Annotated[int, typer.Option(min=1, max=5000, help="How far back.")]) -> None:
    """Fetch what is missing of the past, with a progress bar; also beside a running hub."""
    import asyncio

    from hub.runtime.backfill import backfill_now
    from hub.runtime.logs import prints_logged

    configuration = configuration_of(context, check=False)
    with prints_logged():
        asyncio.run(backfill_now(configuration, days))


@grafana.command("push")
def push_to_grafana(context: typer.Context) -> None:
    """Bring folder, data sources, boards, contact points and alert rules into a running Grafana; what is so already stays."""
    import os

    from hub.runtime.grafana_push import push

    changes = 0
    for pushed in push(configuration_of(context), os.environ):
        changes += pushed.did in {"created", "updated"}
        print(f"{pushed.did:<10} {pushed.kind:<14} {pushed.name:<28} {pushed.note}".rstrip(), flush=True)
    print(f"{changes} changed" if changes else "nothing to change")


def main() -> None:
    """The console script."""
    call(app, _add_plugin_command)


def _add_plugin_command(arguments: list[str]) -> None:
    """Where the command is not one of the hub's own, look for it among those of the configured plugins."""
    config, command = config_and_command(arguments)
    if command is None or command in (own := set(get_group(app).commands)):
        return
    from hub.configuration import load_configuration
    from hub.runtime.commands import add_commands, commands_of

    configuration = load_configuration(config)
    set_up_logs(configuration)
    offered = commands_of(configuration, own)
    for line in [f"configuration: {problem}" for problem in configuration.problems] + [
        f"plugin {each.plugin}: {each.trouble}" for each in offered if each.trouble
    ]:
        print(line, file=sys.stderr)
    for each in offered:
        if command in each.names:
            add_commands(app, configuration, each)
            configuration.raise_problems()
            return
        for name in each.names:
            app.command(name, hidden=True)(lambda: None)  # so that a wrong letter is answered with the right name


def _chosen_plugins(only: str, configuration: "Configuration") -> list[str]:
    """The names given. A usage error for one that has no section."""
    chosen = [name for name in only.replace(" ", "").split(",") if name]
    if missing := [name for name in chosen if name not in configuration.sections]:
        raise typer.BadParameter(f"{', '.join(missing)}: no such section under `plugins` in the configuration", param_hint="--plugins")
    if not chosen:
        raise typer.BadParameter("name a plugin, or leave it out", param_hint="--plugins")
    return chosen


def _seconds(duration: str | None) -> float | None:
    return None if duration is None else duration_given(duration, "--for").total_seconds()
