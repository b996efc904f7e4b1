"""`hub dump`: a day's dump now, by the hub that runs here, or without one."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.configured import configuration_of

if TYPE_CHECKING:
    from datetime import date


def dump(
    context: typer.Context,
    day: Annotated[str | None, typer.Option(metavar="D", help="Such as 2025-05-20, UTC; otherwise yesterday.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Dump a day as CSV with a manifest, and bring it to the target, if there is one."""
    from hub.runtime import control
    from hub.runtime.logs import prints_logged

    wanted = None if day is None else _day(day)
    configuration = configuration_of(context, check=False)
    if control.hub_runs(configuration.data_dir):
        configuration.raise_problems()
        told = control.ask(configuration.data_dir, "dump", **({"day": wanted.isoformat()} if wanted else {}))
    else:
        import asyncio

        from hub.runtime.dump import dump_now

        with prints_logged():
            told = asyncio.run(dump_now(configuration, wanted))
    print(json.dumps(told) if as_json else "\n".join(_lines(told)))


def _day(text: str) -> "date":
    from datetime import date

    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no day; write 2025-05-20", param_hint="--day") from error


def _lines(told: dict[str, Any]) -> list[str]:
    again = f", revision {told['revision']}" if told["revision"] > 1 else ""
    missing = f"{told['minutes_missing']} minutes missing" if told["minutes_missing"] else "no gaps"
    lines = [f"{told['folder']}{again}: {missing}"]
    lines += [f"  {file['name']:<22} {file['rows']:>7,} rows {file['bytes']:>10,} bytes" for file in told["files"]]
    return [*lines, f"delivered to {told['target']}"] if told["target"] else lines
