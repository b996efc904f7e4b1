"""The `hub` command: data on stdout, logs on stderr, and an exit code that says what happened.

Imports stand inside the commands, so that `hub --help` is there at once.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.errors import CheckFailed, HubError, SettingsError

if TYPE_CHECKING:
    from hub.runtime.store import SqliteStore
    from hub.settings import Configuration

app = typer.Typer(name="hub", no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
bars = typer.Typer(no_args_is_help=True, help="Bars on disk: export, gaps, backfill.")
plugins = typer.Typer(no_args_is_help=True, help="Plugins: what is there.")
app.add_typer(bars, name="bars")
app.add_typer(plugins, name="plugins")

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
For = Annotated[str | None, typer.Option("--for", help="Stop after this long, such as 90s; otherwise run until stopped.")]
_chosen: dict[str, Path] = {}


@app.callback()
def _hub(
    config: Annotated[Path | None, typer.Option("--config", "-c", help="Configuration (default: ./config.yaml, or the defaults).")] = None,
) -> None:
    """TickerML: a small forecasting station for crypto prices."""
    if config is not None:
        _chosen["config"] = config


@app.command()
def init(folder: Annotated[Path, typer.Argument(metavar="[DIR]")] = Path()) -> None:
    """Write a commented config.yaml and .env.example; what is there is left alone."""
    from hub.runtime.scaffold import scaffold

    for file in scaffold(folder):
        print(file)


@app.command()
def run(duration: For = None) -> None:
    """Run the hub until SIGTERM or Ctrl-C."""
    import asyncio

    from hub.runtime.app import run_hub

    asyncio.run(run_hub(_configuration(logs=True), seconds=_seconds(duration)))


@app.command()
def demo(
    speed: Annotated[float, typer.Option(help="Seconds of the market in one of yours.", min=0.1, max=100000)] = 60.0, duration: For = None
) -> None:
    """Run the whole system on a simulated exchange: no account, no server, no network."""
    import asyncio

    from hub.runtime.app import run_hub
    from hub.runtime.demo import demo_clock, demo_configuration
    from hub.runtime.display import bars_on

    configuration = demo_configuration(_chosen.get("config"))
    _logs(configuration)
    asyncio.run(run_hub(configuration, seconds=_seconds(duration), clock=demo_clock(configuration, speed), beside=bars_on()))


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check configuration, disk, store, broker and exchange: one line each, with the fix."""
    import asyncio

    from hub.runtime.doctor import examine

    findings = asyncio.run(examine(_configuration()))
    if as_json:
        print(json.dumps([vars(finding) for finding in findings]))
    else:
        for finding in findings:
            print(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.what}: {finding.text}")
    if any(finding.needed and not finding.ok for finding in findings):
        raise CheckFailed("something that the hub needs is missing")


@app.command()
def status(as_json: AsJson = False) -> None:
    """What runs, the newest bar of each symbol, gaps, and how far behind each forwarder is."""
    from hub.runtime import control
    from hub.runtime.health import stored

    configuration = _configuration()
    if control.hub_runs(configuration.data_dir):
        health = control.ask(configuration.data_dir, "health")
    else:
        health = {"running": False, **stored(_store(configuration))}
    print(json.dumps(health) if as_json else _status_text(health))


@app.command()
def graph() -> None:
    """The flow as Mermaid text, from the code."""
    import asyncio

    from hub.clock import SystemClock
    from hub.runtime.graph import mermaid
    from hub.runtime.lineup import line_up
    from hub.testing import MemoryStore

    async def draw() -> str:
        configuration = _configuration()
        members = await line_up(configuration, SystemClock())
        configuration.raise_problems()
        for member in members:
            member.ready(SystemClock(), MemoryStore(), configuration)
            await member.leave()
        return mermaid(members)

    print(asyncio.run(draw()))


@plugins.command("list")
def list_plugins(as_json: AsJson = False) -> None:
    """What could run, where it comes from, and what the configuration lets run."""
    from hub.runtime.plugins import offers

    configuration = _configuration()
    rows = [
        {"name": offer.name, "from": offer.origin, "configured": offer.name in configuration.sections}
        for _, candidates in sorted(offers(configuration.plugin_dir).items())
        for offer in candidates
    ]
    if as_json:
        print(json.dumps(rows))
    else:
        for row in rows:
            print(f"{row['name']:<20} {'runs' if row['configured'] else '-':<6} {row['from']}")


@bars.command()
def export(
    symbol: Annotated[str, typer.Option(help="Such as BTC/USDT.")],
    start: Annotated[str | None, typer.Option("--from", help="First open time, such as 2025-05-20 or 2025-05-20T12:00:00Z.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Up to, but not including.")] = None,
    out: Annotated[Path | None, typer.Option(help="File to write instead of stdout.")] = None,
    as_json: AsJson = False,
) -> None:
    """Bars as CSV, numbers to the digit."""
    from hub.runtime.export import export_bars

    export_bars(_store(_configuration()), _symbol(symbol), _time(start, 0), _time(end, 2**53) - 1, out, as_json=as_json)


@bars.command()
def gaps(symbol: Annotated[str | None, typer.Option(help="Only this one.")] = None, as_json: AsJson = False) -> None:
    """Every stretch without bars, and why."""
    store = _store(_configuration())
    names = [_symbol(symbol)] if symbol else store.symbols()
    found = [gap for name in names for gap in store.gap_report(name)]
    if as_json:
        print(json.dumps([gap.model_dump(mode="json") | {"minutes": gap.minutes} for gap in found]))
        return
    for gap in found:
        print(f"{gap.symbol}  {gap.first_open_time:%Y-%m-%d %H:%M} to {gap.last_open_time:%Y-%m-%d %H:%M}  {gap.minutes} min  {gap.reason}")
    if not found:
        print("none")


@bars.command()
def backfill(days: Annotated[int, typer.Option(min=1, max=5000, help="How far back.")]) -> None:
    """Fetch what is missing of the past, with a progress bar; also beside a running hub."""
    import asyncio

    from hub.runtime.backfill import backfill_now

    asyncio.run(backfill_now(_configuration(logs=True), days))


def main() -> None:
    """The console script: known trouble is one line on stderr and an exit code, never a traceback."""
    try:
        code = app(args=_config_first(sys.argv[1:]), standalone_mode=True)
    except SettingsError as error:
        code = _fail(error, "configuration")
    except HubError as error:
        code = _fail(error, "error")
    except BrokenPipeError:
        sys.stderr.close()
        code = 1
    except KeyboardInterrupt:
        code = 130
    raise SystemExit(code)


def _fail(error: HubError, kind: str) -> int:
    for line in str(error).splitlines():
        print(f"{kind}: {line}", file=sys.stderr)
    return error.exit_code


def _config_first(arguments: list[str]) -> list[str]:
    """`hub run -c FILE` means `hub -c FILE run`."""
    first, rest, waiting = [], [], iter(arguments)
    for argument in waiting:
        if argument == "--":
            rest += [argument, *waiting]
        elif argument in {"-c", "--config"}:
            first += [argument, *([value] if (value := next(waiting, None)) is not None else [])]
        elif argument.startswith("--config="):
            first.append(argument)
        else:
            rest.append(argument)
    return first + rest


def _configuration(*, logs: bool = False) -> "Configuration":
    from hub.settings import load_configuration

    configuration = load_configuration(_chosen.get("config"))
    if logs:
        _logs(configuration)
    elif configuration.problems and "doctor" not in sys.argv:
        configuration.raise_problems()
    return configuration


def _logs(configuration: "Configuration") -> None:
    from hub.runtime.logs import configure_logs

    configure_logs(configuration.settings.log.level, configuration.settings.log.format)


def _store(configuration: "Configuration") -> "SqliteStore":
    from hub.clock import SystemClock
    from hub.runtime.lineup import STORE_FILE
    from hub.runtime.store import SqliteStore

    return SqliteStore.open(configuration.data_dir / STORE_FILE, SystemClock(), read_only=True)


def _seconds(duration: str | None) -> float | None:
    from pydantic import TypeAdapter, ValidationError

    from hub.settings import Duration

    try:
        return None if duration is None else TypeAdapter(Duration).validate_python(duration).total_seconds()
    except ValidationError as error:
        raise typer.BadParameter("a whole number with a unit: 90s, 15m, 24h or 7d", param_hint="--for") from error


def _symbol(name: str) -> str:
    from pydantic import TypeAdapter, ValidationError

    from hub.settings import SymbolName

    try:
        return TypeAdapter(SymbolName).validate_python(name)
    except ValidationError as error:
        raise typer.BadParameter(f"{name!r} is no symbol; write it as BTC/USDT", param_hint="--symbol") from error


def _time(text: str | None, otherwise: int) -> int:
    from datetime import UTC, datetime

    from hub.market.interval import to_ms

    if text is None:
        return otherwise
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no time; write 2025-05-20 or 2025-05-20T12:00:00Z (UTC)") from error
    return to_ms(at if at.tzinfo else at.replace(tzinfo=UTC))


def _status_text(health: dict[str, Any]) -> str:
    lines = [f"hub runs since {health['started_at']}, version {health['version']}" if health["running"] else "hub does not run"]
    if broker := health.get("broker"):
        lines.append(
            f"broker    {broker['address']}  {broker['protocol'] if broker['connected'] else 'offline: ' + str(broker['last_error'])}"
        )
    lines += [f"plugin    {state['name']:<16} {state['state']:<9} {state['error'] or ''}".rstrip() for state in health.get("plugins", [])]
    for row in health["symbols"]:
        bar = row["last_bar"] or {}
        lines.append(
            f"symbol    {row['symbol']:<16} last bar {bar.get('open_time')} close {bar.get('close')};"
            f" {row['minutes_missing']} minutes missing in {row['gaps']} gaps"
        )
    lines += [f"forwarder {row['name']:<16} {row['lag']} behind" for row in health["forwarders"]]
    store = health["store"]
    sizes = f"write-ahead log {store['wal_bytes'] / 2**20:.1f} MiB, {store['free_bytes'] / 2**30:.1f} GiB free on its disk"
    lines += [f"store     {store['file']}  {sizes}", *([f"problem   {store['problem']}"] if store["problem"] else [])]
    return "\n".join(lines)
