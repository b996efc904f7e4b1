"""`hub forecasts`: the ledger of all forecasts, and how they have done; from what is on disk, whether the hub runs or not."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.configured import configuration_of, store_of
from hub.console import duration_given, symbol_named

if TYPE_CHECKING:
    from datetime import datetime

    from hub.ledger import Entry
    from hub.messages import Score
    from hub.runtime.disk.store import SqliteStore

app = typer.Typer(no_args_is_help=True, help="Forecasts: what was said, what came, and how good it was.")
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Since = Annotated[str, typer.Option(help="How far back, such as 90m, 24h or 7d.")]
OfSymbol = Annotated[str | None, typer.Option(help="Only this one.")]


@app.command("list")
def list_forecasts(context: typer.Context, symbol: OfSymbol = None, since: Since = "1h", as_json: AsJson = False) -> None:
    """The ledger: every forecast beside its outcome, the newest first."""
    from hub.ledger import entries, series_of

    store, now = _store(context)
    begin, name = now - duration_given(since, "--since"), symbol_named(symbol) if symbol else None
    series = [each for each in series_of(store) if name in {None, each[0]}]
    found = [entry for symbol_, horizon, role in series for entry in entries(store, begin, now, role, symbol_, horizon)]
    found.sort(key=lambda entry: (entry.forecast.made_at, entry.forecast.symbol, -entry.forecast.horizon_minutes), reverse=True)
    if as_json:
        print(json.dumps([_row(entry) for entry in found]))
    else:
        print("\n".join(map(_line, found)) or "none")


@app.command()
def accuracy(context: typer.Context, symbol: OfSymbol = None, since: Since = "7d", as_json: AsJson = False) -> None:
    """How good they were: of each symbol, horizon and model, beside persistence, which says that nothing changes."""
    from hub.ledger import accuracy as accuracy_of
    from hub.score_words import HEADER, score_row

    store, now = _store(context)
    name = symbol_named(symbol) if symbol else None
    found = [score for score in accuracy_of(store, now - duration_given(since, "--since"), now, since) if name in {None, score.symbol}]
    if as_json:
        print(json.dumps([_plain(score) for score in found]))
    else:
        print("\n".join([HEADER, *map(score_row, found)]) if found else "none")


def _plain(score: "Score") -> dict[str, Any]:
    return score.model_dump(mode="json", exclude={"scored_at"})


def _row(entry: "Entry") -> dict[str, Any]:
    return entry.forecast.model_dump(mode="json") | {"state": entry.state, "outcome": entry.outcome}


def _line(entry: "Entry") -> str:
    said = entry.forecast
    what = f"{said.made_at:%Y-%m-%d %H:%M}  {said.symbol:<9} {said.horizon_minutes:>3} min  {said.direction:<4} {said.confidence:4.0%}"
    price = f"{said.price:>13,.2f} ({said.low:,.2f} to {said.high:,.2f})"
    came = entry.state if entry.outcome is None else f"came {entry.outcome:+.3%}{'' if _right(entry) else ', the other way'}"
    return f"{what}  {price}  {came}  {said.model.name} {said.model.version}{'' if said.role == 'live' else ' (shadow)'}"


def _right(entry: "Entry") -> bool:
    return not entry.outcome or (entry.outcome > 0) == (entry.forecast.direction == "up")


def _store(context: typer.Context) -> "tuple[SqliteStore, datetime]":
    """The store, and what time it is for it: a hub that replays the past, or hurries, lives in another time than this machine."""
    from hub.clock import SystemClock

    configuration, now = configuration_of(context), SystemClock().now()
    store = store_of(configuration)
    newest = max((bar.close_time for symbol in store.symbols() if (bar := store.newest_bar(symbol))), default=now)
    return store, newest if configuration.settings.clock is not None else max(now, newest)
