"""A hub for tests as its user meets it: a process and a folder."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.brokers import free_port

HUB = (sys.executable, "-m", "hub")
ROOT = Path(__file__).parents[1]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


def hub(folder: Path, *arguments: str, env: Mapping[str, str] | None = None, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """One command, until it ends."""
    environment = ENVIRONMENT | dict(env or {})
    return subprocess.run(
        [*HUB, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=90, check=False, input=stdin
    )


def write_config(folder: Path, plugins: str = "", **mqtt: Any) -> None:
    """A configuration with the simulated exchange, these lines under `plugins`, and a broker's port that is free."""
    values = {"port": free_port()} | mqtt
    (folder / "config.yaml").write_text(
        f"mqtt: {json.dumps(values)}\nplugins:\n  collector: {{source: simulated, backfill: 30m}}\n{plugins}", encoding="utf-8"
    )


def write_values(folder: Path, **values: Any) -> None:
    """A configuration of these keys, and a broker's port that is free."""
    (folder / "config.yaml").write_text(json.dumps({"mqtt": {"port": free_port()}} | values), encoding="utf-8")


def drop_in(folder: Path, name: str, text: str) -> None:
    """A plugin in custom_plugins/."""
    (folder / "custom_plugins").mkdir(exist_ok=True)
    (folder / "custom_plugins" / f"{name}.py").write_text(text, encoding="utf-8")


@contextmanager
def running(
    folder: Path, *arguments: str, env: Mapping[str, str] | None = None, program: Sequence[str] = HUB, options: Sequence[str] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """A hub that runs until the block ends; its stderr is in the file `log`. `program`: not as it should be; `options`: of `run`."""
    command = [*program, *arguments, "run", *options]
    with (
        (folder / "log").open("ab") as log,
        subprocess.Popen(command, cwd=folder, env=ENVIRONMENT | dict(env or {}), stderr=log) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def stop(process: subprocess.Popen[bytes]) -> int:
    """SIGTERM, and the exit code; five seconds are what the hub promises, the rest is a busy machine's."""
    process.send_signal(signal.SIGTERM)
    return process.wait(20)


def status_until(folder: Path, wanted: Callable[[dict[str, Any]], Any], seconds: float = 45.0) -> dict[str, Any]:
    """What `hub status` shows once that is so."""
    end, shown = time.monotonic() + seconds, {}
    while time.monotonic() < end:
        answer = hub(folder, "status", "--json")
        shown = json.loads(answer.stdout) if answer.returncode == 0 else {}
        if shown and wanted(shown):
            return shown
        time.sleep(0.3)
    raise AssertionError(f"not within {seconds} s: {shown}\n{log_of(folder)[-3000:]}")


def states(shown: dict[str, Any]) -> dict[str, str]:
    """The plugins' states, by name."""
    return {plugin["name"]: plugin["state"] for plugin in shown.get("plugins", [])}


def log_of(folder: Path) -> str:
    """What the hub has logged."""
    return (folder / "log").read_text(encoding="utf-8", errors="replace") if (folder / "log").exists() else ""


def log_until(folder: Path, words: str, seconds: float = 45.0) -> str:
    """What the hub has logged, once these words are among it."""
    end = time.monotonic() + seconds
    while words not in (logged := log_of(folder)):
        assert time.monotonic() < end, f"{words!r} was not logged within {seconds} s:\n{logged[-3000:]}"
        time.sleep(0.1)
    return logged
