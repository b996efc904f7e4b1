"""How both console scripts, `hub` and `trainer`, are called and how they end: known trouble is one line and an exit code."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from hub.errors import HubError, SettingsError

if TYPE_CHECKING:
    from datetime import timedelta


def call(app: typer.Typer, prepare: Callable[[list[str]], None] = lambda _: None) -> None:
    """Run the command that was typed, then exit. Known trouble goes to stderr in words, never as a traceback.

    `prepare` gets what was typed first, the configuration in front.
    """
    try:
        arguments = _config_first(sys.argv[1:])
        prepare(arguments)
        code = app(args=arguments, standalone_mode=True)
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


def config_and_command(arguments: list[str]) -> tuple[Path | None, str | None]:
    """The configuration's file and the command among what was typed, the configuration in front; None where there is none."""
    config, waiting = None, iter(arguments)
    for argument in waiting:
        if argument in {"-c", "--config"}:
            config = next(waiting, None)
        elif argument.startswith(("-c", "--config=")):
            config = argument.removeprefix("-c").removeprefix("--config=")
        else:
            return (Path(config) if config else None), None if argument.startswith("-") else argument
    return None, None


def symbol_named(name: str) -> str:
    """`BTC-USDT` for `BTC/USDT`; a usage error for anything else."""
    from pydantic import TypeAdapter, ValidationError  # with the settings, a fifth of a second

    from hub.settings import SymbolName

    try:
        return TypeAdapter(SymbolName).validate_python(name)
    except ValidationError as error:
        raise typer.BadParameter(f"{name!r} is no symbol; write it as BTC/USDT", param_hint="--symbol") from error


def duration_given(text: str, option: str) -> "timedelta":
    """A time span as it is typed; a usage error for what is none."""
    from pydantic import TypeAdapter, ValidationError

    from hub.settings import Duration

    try:
        return TypeAdapter(Duration).validate_python(text)
    except ValidationError as error:
        raise typer.BadParameter("a whole number with a unit: 90s, 15m, 24h or 7d", param_hint=option) from error


def time_given(text: str | None, otherwise: int) -> int:
    """Milliseconds since the epoch, UTC, of a time as it is typed; a usage error for what is none."""
    from datetime import UTC, datetime

    from hub.market.interval import to_ms

    if text is None:
        return otherwise
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no time; write 2025-05-20 or 2025-05-20T12:00:00Z (UTC)") from error
    return to_ms(at if at.tzinfo else at.replace(tzinfo=UTC))


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
            if (value := next(waiting, None)) is None:
                return [argument]  # and the usage error says what is missing
            first += [argument, value]
        elif argument.startswith(("--config=", "-c")):
            first.append(argument)
        else:
            rest.append(argument)
    return first + rest
