"""`hub models`: which model is live, in shadow, previous or refused, and why; and the few things that people may do about it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.configured import configuration_of, store_of
from hub.errors import DependencyDown, HubError

if TYPE_CHECKING:
    from hub.configuration import Configuration

app = typer.Typer(no_args_is_help=True, help="Models: live, in shadow, previous, refused.")
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
TRUSTED = Path("inference") / "trusted"


@app.command("list")
def list_models(context: typer.Context, as_json: AsJson = False) -> None:
    """What is live, in shadow, previous, and what became of the last offer."""
    from hub.runtime import control

    configuration = configuration_of(context)
    running = control.hub_runs(configuration.data_dir)
    told = control.ask(configuration.data_dir, "model/list") if running else _on_disk(configuration)
    print(json.dumps(told) if as_json else "\n".join(_lines(told)))


@app.command()
def promote(context: typer.Context) -> None:
    """Take the model in shadow live now."""
    _do(configuration_of(context), "model/promote", "is live now")


@app.command()
def rollback(context: typer.Context) -> None:
    """Go back to the model before the live one; the live one is not taken again."""
    _do(configuration_of(context), "model/rollback", "serves again")


@app.command()
def trust(context: typer.Context, key: Annotated[Path, typer.Argument(metavar="KEY.pub")]) -> None:
    """Take models that were signed with this key's private half (`trainer keygen`)."""
    from hub.keys import key_id
    from hub.offer import public_key

    folder = configuration_of(context).data_dir / TRUSTED
    name = key_id(public_key(key).public_bytes_raw())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.pub").write_bytes(key.read_bytes())
    except OSError as error:
        raise HubError(f"{folder}: cannot be written: {error.strerror}") from error
    print(f"key {name} is trusted: {folder / name}.pub; delete that file to take it back")


def _do(configuration: "Configuration", verb: str, words: str) -> None:
    from hub.runtime import control

    if not control.hub_runs(configuration.data_dir):
        raise DependencyDown(f"{configuration.data_dir}: no hub runs there; only a running hub changes models (`hub run`)")
    model = control.ask(configuration.data_dir, verb)
    print(f"{model['name']} {model['version']} {words}")


def _on_disk(configuration: "Configuration") -> dict[str, Any]:
    from hub.messages import ModelState

    return next(iter(store_of(configuration).newest(ModelState)), ModelState()).model_dump(mode="json")


def _lines(told: dict[str, Any]) -> list[str]:
    lines = []
    for place in ("live", "shadow", "previous"):
        if (model := told[place]) is not None:
            since = model["since"][:16].replace("T", " ")
            lines.append(f"{place:<9} {model['name']} {model['version']}  {model['sha256'][:12]}  since {since}")
        else:
            lines.append(f"{place:<9} {'the starter model' if place == 'live' else '-'}")
    if (answer := told["answer"]) is not None:
        lines.append(f"{'offer':<9} {answer['sha256'][:12]}  {answer['status']}: {answer['reason']}")
    if told["refused"]:
        lines.append(f"{'refused':<9} {', '.join(digest[:12] for digest in told['refused'][-5:])}")
    return lines
