"""`hub grafana push` as a command of this process."""

import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hub.cli import main
from tests.grafana.server import FakeGrafana

TOKEN = "glsa_admin"
ALERTS = {"TICKERML_ALERT_WEBHOOK": "https://hook.example/secret-path", "TICKERML_ALERT_MAIL": "me@example.org"}


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


def push(folder: Path, grafana: FakeGrafana, token: str | None = TOKEN, influxdb: dict[str, Any] | None = None, **environment: str) -> Ran:
    """The command, run in this process."""
    write_config(folder, grafana, token, influxdb)
    return hub(folder, "grafana", "push", **environment)


def hub(folder: Path, *arguments: str, **environment: str) -> Ran:
    """Nothing of our own environment reaches it."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        patch.setattr(os, "environ", environment)
        patch.setattr(sys, "argv", ["hub", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
    return Ran(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def write_config(folder: Path, grafana: FakeGrafana, token: str | None = TOKEN, influxdb: dict[str, Any] | None = None) -> None:
    config = {
        "grafana": {"url": grafana.url, "token": token},
        "plugins": {"collector": {"source": "simulated"}, "influxdb": influxdb or {}},
    }
    (folder / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
    (folder / "config.yaml").chmod(0o600)
