"""`hub plugins`: what could run here, a new plugin to begin with, and the checklist held against one."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from hub.configured import configuration_of
from hub.errors import CheckFailed

app = typer.Typer(no_args_is_help=True, help="Plugins: what is there.")
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command("list")
def list_plugins(context: typer.Context, as_json: AsJson = False) -> None:
    """What could run, where it comes from, what the configuration lets run, and the commands it adds."""
    from hub.runtime.listing import plugin_rows, row_text

    group = context.find_root().command
    rows = plugin_rows(configuration_of(context), set(getattr(group, "commands", ())))
    print(json.dumps(rows) if as_json else "\n".join(map(row_text, rows)))


@app.command("new")
def new_plugin(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Small letters, digits and _.")],
    drop_in: Annotated[bool, typer.Option("--drop-in", help="Into plugin_dir, instead of a project of its own.")] = False,
) -> None:
    """Write a working plugin with its test, to begin with."""
    from hub.kit.template import new_plugin as write

    for file in write(name, configuration_of(context).plugin_dir if drop_in else Path(), drop_in=drop_in):
        print(file)
    print(
        f"next: a section `{name}: {{}}` under `plugins` in config.yaml, and `hub plugins check {name if not drop_in else 'that file'}`",
        file=sys.stderr,
    )


@app.command("check")
def check_plugin(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A drop-in's file or folder, or a project.")], as_json: AsJson = False
) -> None:
    """Hold a plugin against the checklist, run its tests without a network, and say what it lacks."""
    from hub.kit.check import check

    findings = check(path)
    if as_json:
        print(json.dumps([vars(finding) for finding in findings]))
    else:
        for finding in findings:
            print(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.rule}{f': {finding.text}' if finding.text else ''}")
    if not all(finding.ok for finding in findings):
        raise CheckFailed(f"{path}: is not yet as the checklist wants it (docs/plugins.md)")
