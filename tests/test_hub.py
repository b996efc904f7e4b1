"""The hub as its user meets it: a process, a folder, and plugins that do everything a plugin should not."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

HUB = (sys.executable, "-m", "hub")
ROOT = Path(__file__).parents[1]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
HOOK = """
from hub import Alert, Bar, Transform, hookimpl

@hookimpl
def register_transforms(hub):
"""
TRANSFORM = """
    return [Transform("x", work, consumes=(Bar,), produces=(Alert,))]
"""
BAD = {
    "bad_import": "import nothing_there",
    "bad_exit": "import sys; sys.exit(3)",
    "bad_os_exit": "import os; os._exit(3)",
    "bad_raise": HOOK + "    raise ValueError('no')",
    "bad_hang": HOOK + "    while True: pass",
    "bad_junk": HOOK + "    return [1, 2]",
    "bad_segfault": HOOK + "    import ctypes\n    async def work(bar):\n        ctypes.string_at(0)\n        yield" + TRANSFORM,
    "bad_bug": HOOK + "    async def work(bar):\n        raise SystemExit(1)\n        yield" + TRANSFORM,
}


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def hub(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*HUB, *arguments], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)


def write_config(folder: Path, plugins: str = "", **mqtt: Any) -> None:
    values = {"port": free_port()} | mqtt
    (folder / "config.yaml").write_text(
        f"mqtt: {json.dumps(values)}\nplugins:\n  collector: {{source: simulated, backfill: 30m}}\n{plugins}", encoding="utf-8"
    )


def write_values(folder: Path, **values: Any) -> None:
    """A configuration of these keys, and a broker's port that is free."""
    (folder / "config.yaml").write_text(json.dumps({"mqtt": {"port": free_port()}} | values), encoding="utf-8")


@contextmanager
def running(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "log").open("wb") as log, subprocess.Popen([*HUB, "run"], cwd=folder, env=ENVIRONMENT, stderr=log) as process:
        try:
            yield process
        finally:
            process.kill()


def status_until(folder: Path, wanted: Callable[[dict[str, Any]], bool], seconds: float = 45.0) -> dict[str, Any]:
    end, shown = time.monotonic() + seconds, {}
    while time.monotonic() < end:
        answer = hub(folder, "status", "--json")
        shown = json.loads(answer.stdout) if answer.returncode == 0 else {}
        if shown and wanted(shown):
            return shown
        time.sleep(0.3)
    raise AssertionError(f"not within {seconds} s: {shown}\n{(folder / 'log').read_text()[-3000:]}")


def states(shown: dict[str, Any]) -> dict[str, str]:
    return {plugin["name"]: plugin["state"] for plugin in shown.get("plugins", [])}


@pytest.mark.timeout(180)
def test_eight_bad_plugins_do_not_stop_a_good_one(tmp_path: Path) -> None:
    """Each is red with its reason; bars go on being collected."""
    (tmp_path / "custom_plugins").mkdir()
    for name, text in BAD.items():
        (tmp_path / "custom_plugins" / f"{name}.py").write_text(text, encoding="utf-8")
    write_config(tmp_path, "".join(f"  {name}: {{}}\n" for name in BAD))
    with running(tmp_path):
        shown = status_until(
            tmp_path,
            lambda shown: (
                states(shown).get("collector") == "running"
                and all(states(shown).get(name) in {"failed", "retrying"} for name in BAD)
                and any(row["last_bar"] for row in shown["symbols"])
            ),
        )
    assert {name for name, state in states(shown).items() if state == "failed"} >= {
        *("bad_import", "bad_exit", "bad_os_exit", "bad_raise", "bad_hang", "bad_junk")
    }
    assert all(plugin["error"] for plugin in shown["plugins"] if plugin["name"] in BAD)


def test_it_stops_cleanly_and_a_second_hub_is_refused(tmp_path: Path) -> None:
    """SIGTERM: done in five seconds, exit code 0. Two hubs in one folder would fight."""
    write_config(tmp_path)
    with running(tmp_path) as process:
        status_until(tmp_path, lambda shown: bool(shown.get("running")))
        second = hub(tmp_path, "run")
        assert second.returncode == 1
        assert f"another hub (process {process.pid})" in second.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0


def test_a_killed_hub_goes_on_where_it_was(tmp_path: Path) -> None:
    """Every minute of the simulated exchange is there after ten kills, once."""
    write_config(tmp_path)
    for _ in range(5):
        with running(tmp_path) as process:
            status_until(tmp_path, lambda shown: any(row["last_bar"] for row in shown["symbols"]))
            process.kill()
    gaps = hub(tmp_path, "bars", "gaps")
    assert (gaps.returncode, gaps.stdout) == (0, "none\n")
    exported = hub(tmp_path, "bars", "export", "--symbol", "BTC/USDT").stdout.splitlines()
    assert exported[0] == "open_time_ms,open,high,low,close,volume,quote_volume,trades,source"
    times = [int(line.split(",")[0]) for line in exported[1:]]
    assert times == list(range(times[0], times[-1] + 1, 60_000))


def test_every_problem_of_the_configuration_is_told_at_once(tmp_path: Path) -> None:
    """File, line, key and what would be right; exit code 3 and no traceback."""
    (tmp_path / "config.yaml").write_text(
        "symbols: [btc]\nmqtt:\n  hots: x\n  port: 99999\nplugins:\n  colector: {}\n  collector:\n    sorce: binance\n", encoding="utf-8"
    )
    answer = hub(tmp_path, "run")
    assert answer.returncode == 3
    assert "Traceback" not in answer.stderr
    for words in (
        "config.yaml:1: symbols.0: 'btc'",
        "config.yaml:3: mqtt.hots: unknown key; did you mean 'host'?",
        "config.yaml:4: mqtt.port: 99999",
        "config.yaml:6: plugins.colector: no such plugin; did you mean 'collector'?",
        "config.yaml:8: plugins.collector.sorce: unknown key; did you mean 'source'?",
    ):
        assert words in answer.stderr


def test_a_secret_that_others_can_read_is_refused_and_never_shown(tmp_path: Path) -> None:
    """chmod 600 is the fix, and the message says so."""
    write_config(tmp_path, username="hub", password="canary-7311")
    (tmp_path / "config.yaml").chmod(0o644)
    answer = hub(tmp_path, "run", "--for", "1s")
    assert answer.returncode == 3
    assert "chmod 600" in answer.stderr
    assert "canary-7311" not in answer.stderr + answer.stdout


def test_the_demo_shows_bars_without_anything_prepared(tmp_path: Path) -> None:
    """What a newcomer sees first."""
    write_config(tmp_path)
    answer = hub(tmp_path, "-c", "config.yaml", "demo", "--speed", "120", "--for", "8s")
    assert answer.returncode == 0, answer.stderr
    assert sum(" bar " in line for line in answer.stdout.splitlines()) > 60


def test_help_and_a_wrong_word_are_quick_and_clear(tmp_path: Path) -> None:
    """Usage is exit code 2."""
    assert hub(tmp_path, "--help").returncode == 0
    assert hub(tmp_path, "rnu").returncode == 2
    assert hub(tmp_path, "run", "--for", "soon").returncode == 2
    assert hub(tmp_path, "status").returncode == 1


def test_the_readme_shows_the_real_flow(tmp_path: Path) -> None:
    """The picture is drawn from the code."""
    answer = hub(tmp_path, "graph")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() in (ROOT / "README.md").read_text(encoding="utf-8")
