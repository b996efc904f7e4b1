"""Plugins that do everything a plugin should not, in a hub that goes on collecting as if they were not there."""

import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from hub.clock import SystemClock
from hub.messages import Alert, Bar
from hub.runtime.disk.store import SqliteStore
from tests.hubs import drop_in, hub, log_of, running, states, status_until, stop, write_config

HOOK = """
import asyncio, ctypes, os, time
from hub import Alert, Bar, Source, Transform, hookimpl

@hookimpl
def register_transforms(hub):
"""
RETURN = '    return [Transform("x", work, consumes=(Bar,), produces=(Alert,))]\n'


def flow(line: str) -> str:
    """A transform that does this with every bar."""
    return f"{HOOK}    async def work(bar):\n        {line}\n        yield\n{RETURN}"


ECHO = f"{HOOK}    async def work(bar):\n        yield Alert(symbol=bar.symbol, source='echo', text=bar.open_time.isoformat())\n{RETURN}"
FLOOD = """
from hub import Alert, Source, hookimpl

@hookimpl
def register_sources(hub):
    async def stream():
        while True:
            yield Alert(symbol="FLOOD-USDT", source="flood", text="again")
    return [Source("flood", stream, produces=(Alert,))]
"""
AT_LOAD = {
    "import_error": "import nothing_there",
    "old_version": "raise RuntimeError('needs tickerml 9')",
    "sys_exit": "import sys; sys.exit(3)",
    "os_exit": "import os; os._exit(3)",
    "segfault": "import ctypes; ctypes.string_at(0)",
    "raises": HOOK + "    raise ValueError('no')",
    "hangs": HOOK + "    while True: pass",
    "junk": HOOK + "    return [1, 2]",
}
AT_WORK = {
    "exits": flow("raise SystemExit(1)"),
    "dies": flow("os._exit(3)"),
    "crashes": flow("ctypes.string_at(0)"),
    "blocks": flow("time.sleep(1e6)"),
    "spins": flow("while True: pass"),
    "leaks": flow("held = [bytearray(2**26) for _ in range(100)]"),
    "yields_junk": flow("yield 5"),
    "floods": FLOOD,
}


def give(folder: Path, plugins: dict[str, str]) -> None:
    for name, text in plugins.items():
        drop_in(folder, name, text)
    write_config(folder, "".join(f"  {name}: {{}}\n" for name in plugins))
    with (folder / "config.yaml").open("a", encoding="utf-8") as file:
        symbols = ", ".join(f"{letter}AA/USDT" for letter in "ABCDEFGHIJ")
        file.write(f"clock: {{speed: 120}}\nsymbols: [{symbols}]\n")  # twenty ticks a second


def ticks(folder: Path) -> tuple[list[tuple[str, str]], set[tuple[str, str]]]:
    """Symbol and minute of every bar from the first to the last that the echo heard, and of every echo."""
    store = SqliteStore.open(folder / "data" / "tickerml.db", SystemClock(), read_only=True)
    alerts = [fact for _, fact in store.facts_after(0, (Alert,), 10**6) if isinstance(fact, Alert) and fact.source == "echo"]
    echoed = {(alert.symbol, alert.text) for alert in alerts}
    bars = [fact for _, fact in store.facts_after(0, (Bar,), 10**6) if isinstance(fact, Bar)]
    store.close()
    heard = {symbol: [text for name, text in echoed if name == symbol] for symbol, _ in echoed}
    between = {symbol: (min(minutes), max(minutes)) for symbol, minutes in heard.items()}
    named = [(bar.symbol, bar.open_time.isoformat()) for bar in bars]
    return [(symbol, at) for symbol, at in named if symbol in between and between[symbol][0] <= at <= between[symbol][1]], echoed


def in_trouble(shown: dict[str, Any]) -> set[str]:
    """The plugins that have failed, or had to be started again: one that blocks is taken for well for a while each time."""
    return {plugin["name"] for plugin in shown["plugins"] if plugin["state"] in {"failed", "retrying"} or plugin["restarts"]}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "bad", [pytest.param(AT_LOAD, id="while they are loaded", marks=pytest.mark.torture), pytest.param(AT_WORK, id="at work")]
)
def test_healthy_plugins_keep_their_ticks_beside_eight_bad_ones(tmp_path: Path, bad: dict[str, str]) -> None:
    """At least 99.9 % of a thousand minutes: every bar is collected, and a plugin of the same kind hears each."""
    give(tmp_path, {"echo": ECHO} | bad)
    with running(tmp_path) as process:
        wanted = bad.keys() - {"floods"}
        shown = status_until(tmp_path, lambda shown: wanted <= in_trouble(shown) and len(ticks(tmp_path)[0]) > 1000, seconds=240)
        assert stop(process) == 0
    assert in_trouble(shown) == wanted
    failed = {plugin["name"] for plugin in shown["plugins"] if plugin["state"] == "failed"}
    assert failed == wanted or bad is AT_WORK
    assert all(plugin["error"] for plugin in shown["plugins"] if plugin["state"] in {"failed", "retrying"})
    assert {name: states(shown)[name] for name in ("echo", "collector")} == {"echo": "running", "collector": "running"}
    bars, echoed = ticks(tmp_path)
    assert len(bars) > 1000
    missed = [tick for tick in bars if tick not in echoed]
    assert len(missed) <= len(bars) / 1000, missed
    assert hub(tmp_path, "bars", "gaps").stdout == "none\n"


def test_a_flood_reaches_the_store_at_a_bounded_rate(tmp_path: Path) -> None:
    """What a plugin yields in a tight loop would fill a card in a night."""
    give(tmp_path, {"floods": FLOOD})
    with running(tmp_path) as process:
        status_until(tmp_path, lambda _: "floods the hub and is slowed down to 50 batches a second" in log_of(tmp_path), seconds=90)
        assert stop(process) == 0


def test_no_plugin_outlives_a_killed_hub(tmp_path: Path) -> None:
    """Not even one in an endless loop: the next hub starts its own."""
    give(tmp_path, {"spins": flow("while True: pass"), "echo": ECHO})
    with running(tmp_path) as process:
        status_until(tmp_path, lambda shown: states(shown).get("echo") == "running")
        guests = [child for child in psutil.Process(process.pid).children() if "hub.runtime.hosting.guest" in " ".join(child.cmdline())]
        assert len(guests) == 2
        process.kill()
    gone, alive = psutil.wait_procs(guests, timeout=20)
    assert not alive, gone


ROGUE_METADATA = "Metadata-Version: 2.1\nName: rogue-package\nVersion: 6.6.6\n"


def install_rogue(folder: Path) -> dict[str, str]:
    """A distribution on the path with an entry point of our group, and more: one named like a plugin of the hub's own."""
    site = folder / "site"
    info = site / "rogue_package-6.6.6.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(ROGUE_METADATA)
    (info / "entry_points.txt").write_text("[tickerml.plugins]\nrogue = rogue_package\ncollector = rogue_package\n")
    mark = folder / "imported"
    (site / "rogue_package.py").write_text(f"open({str(mark)!r}, 'a').write('x')\n{ECHO}")
    return {"PYTHONPATH": f"{site}{os.pathsep}{Path(__file__).parents[1]}"}


def test_an_installed_plugin_is_not_imported_unless_the_configuration_names_it(tmp_path: Path) -> None:
    """To be installed, as some package's dependency perhaps, is no permission to run."""
    env, mark = install_rogue(tmp_path), tmp_path / "imported"
    write_config(tmp_path)
    for command in (["run", "--for", "2s"], ["plugins", "list"], ["doctor"], ["status"], ["graph"], ["nonsense"], ["--help"]):
        hub(tmp_path, *command, env=env)
        assert not mark.exists(), command
    listed = hub(tmp_path, "plugins", "list", env=env).stdout
    assert "rogue-package 6.6.6" in listed
    assert str(tmp_path / "site") in listed
    write_config(tmp_path, "  rogue: {}\n")
    answer = hub(tmp_path, "run", "--for", "4s", env=env)
    assert answer.returncode == 0, answer.stderr
    assert mark.exists()
