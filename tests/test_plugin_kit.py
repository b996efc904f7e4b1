"""A plugin from nothing: written, tested, checked, running; and ten ways in which one is not as it should be."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hub.kit.template import PLUGIN, TEST
from tests.brokers import Mosquitto, Witness
from tests.hubs import ENVIRONMENT, hub, running, states, status_until, write_values

GOOD = PLUGIN.format(name="mine", class_name="Mine")
GOOD_TEST = TEST.format(name="mine")


def findings(folder: Path, what: str) -> dict[str, str]:
    """Rules that are not kept, and why."""
    answer = hub(folder, "plugins", "check", what, "--json")
    assert answer.returncode in {0, 5}, answer.stderr
    told = json.loads(answer.stdout)
    assert (answer.returncode == 5) == any(not each["ok"] for each in told)
    return {each["rule"]: each["text"] for each in told if not each["ok"]}


def heard(folder: Path, **plugins: object) -> None:
    """A hub with this plugin runs, and an alert of it is on the broker for anybody to hear."""
    (folder / "broker").mkdir()
    with Mosquitto(folder / "broker") as broker, Witness(broker.port, "tickerml/alert/#") as witness:
        sections = {"collector": {"source": "simulated", "backfill": "30m"}, **plugins}
        write_values(folder, mqtt={"port": broker.port, "embedded": False}, clock={"speed": 60}, plugins=sections)
        with running(folder):
            status_until(folder, lambda shown: states(shown).get("mine") == "running" and witness.heard)


def test_a_drop_in_is_written_passes_its_test_and_its_check_and_is_heard(tmp_path: Path) -> None:
    """Nothing of the hub is touched."""
    answer = hub(tmp_path, "plugins", "new", "mine", "--drop-in")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines() == ["custom_plugins/mine.py", "custom_plugins/test_mine.py"]
    assert findings(tmp_path, "custom_plugins/mine.py") == {}
    heard(tmp_path, mine={"threshold": 0.0001})


def test_a_project_is_written_passes_is_installed_and_is_heard(tmp_path: Path) -> None:
    """Its entry point is all that the hub needs to find it."""
    assert hub(tmp_path, "plugins", "new", "mine").returncode == 0
    assert findings(tmp_path, "mine") == {}
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", "site", "./mine"]
    subprocess.run(pip, cwd=tmp_path, check=True, env=ENVIRONMENT, timeout=120)
    previous = os.environ.get("PYTHONPATH")
    ENVIRONMENT["PYTHONPATH"] = f"{ENVIRONMENT['PYTHONPATH']}{os.pathsep}{tmp_path / 'site'}"
    try:
        assert "tickerml-mine 0.1.0" in hub(tmp_path, "plugins", "list").stdout
        heard(tmp_path, mine={"threshold": 0.0001})
    finally:
        ENVIRONMENT["PYTHONPATH"] = ENVIRONMENT["PYTHONPATH"].removesuffix(f"{os.pathsep}{tmp_path / 'site'}")
    assert os.environ.get("PYTHONPATH") == previous


@pytest.mark.parametrize("name", ["Mine", "1st", "class", "hub", "a-b", "../x", ""])
def test_a_name_that_cannot_be_one_is_refused(tmp_path: Path, name: str) -> None:
    answer = hub(tmp_path, "plugins", "new", name)
    assert answer.returncode in {1, 2}
    assert "Traceback" not in answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "custom_plugins").mkdir()
    (tmp_path / "custom_plugins" / "test_mine.py").write_text("mine")
    answer = hub(tmp_path, "plugins", "new", "mine", "--drop-in")
    assert (answer.returncode, "is there already" in answer.stderr) == (1, True)
    assert not (tmp_path / "custom_plugins" / "mine.py").exists()


SOURCE = """

@hookimpl
def register_sources(hub: Hub) -> list[Source]:
    async def stream() -> AsyncIterator[Bar]:
{body}
    return [Source('late', stream, (Bar,))]
"""
STUBBORN = """
        import asyncio
        while True:
            try:
                await hub.clock.sleep(60)
            except asyncio.CancelledError:
                pass
            if not hub.symbols:
                yield hub.store.bars("x", 0, 1)[0]
"""
WITH_SOURCE = GOOD.replace(
    "import Alert, Bar, Hub, PluginSettings, Transform, hookimpl", "import Alert, Bar, Hub, PluginSettings, Source, Transform, hookimpl"
)
WITH_SERVICE = GOOD.replace(
    "import Alert, Bar, Hub, PluginSettings, Transform, hookimpl", "import Alert, Bar, Hub, PluginSettings, Service, Transform, hookimpl"
)
SERVICE = """

@hookimpl
def register_services(hub: Hub) -> list[Service]:
    async def run(desk: object) -> None:
{body}
    return [Service('page', run)]
"""
FAULTS: dict[str, tuple[str, str, str]] = {
    "a client of its own": (
        GOOD.replace("from math import log", "import sqlite3\nfrom math import log"),
        "no client, thread or database",
        "sqlite3: the hub keeps the facts",
    ),
    "sleeps": (
        GOOD.replace("        move = log", "        import time\n        time.sleep(0)\n        move = log"),
        "time, waiting and ends",
        "time.sleep: blocks the hub",
    ),
    "asks the machine for the time": (
        GOOD.replace("        move = log", "        from datetime import datetime\n        datetime.now()\n        move = log"),
        "time, waiting and ends",
        "ask hub.clock.now()",
    ),
    "swallows errors": (
        GOOD.replace(
            "        move = log(bar.close / bar.open)",
            "        try:\n            move = log(bar.close / bar.open)\n        except Exception:\n            move = 0.0",
        ),
        "errors are translated",
        "swallows whatever happens",
    ),
    "a setting without a comment": (
        GOOD.replace('    """Move of a minute, as a part of the price, that is worth telling."""\n', ""),
        "every setting has a comment",
        "threshold has no comment",
    ),
    "a secret in the open": (
        GOOD.replace("    threshold:", '    api_key: str = "x"\n    """Of the service."""\n    threshold:'),
        "secrets are SecretStr",
        "api_key: str would be shown",
    ),
    "no types": (GOOD.replace("(bar: Bar) -> AsyncIterator[Alert]", "(bar)"), "typed strictly", "bar without a type"),
    "no docstring": (GOOD.partition("\n")[2], "a docstring says", "no docstring"),
    "needs a setting": (GOOD.replace("threshold: float = 0.005", "threshold: float"), "works from its section's defaults", "threshold"),
    "an unknown hook": (
        GOOD.replace("def register_transforms", "def register_transformers"),
        "it loads, and its hooks are",
        "register_transformers",
    ),
    "returns junk": (
        GOOD.replace('return [Transform("mine", tell, consumes=(Bar,), produces=(Alert,))]', 'return "transform"'),
        "works from its section's defaults",
        "must return a list of Transform",
    ),
    "ends the process": (
        GOOD.replace("from math import log", "import os\nfrom math import log\n\nos._exit(3)"),
        "does not end the process",
        "exit code 3",
    ),
    "cannot be stopped": (WITH_SOURCE + SOURCE.format(body=STUBBORN), "stops within 5 s", "goes on when it is cancelled"),
    "a service that cannot be stopped": (
        WITH_SERVICE + SERVICE.format(body=STUBBORN.partition("            if not")[0]),
        "service page stops within 5 s",
        "goes on when it is cancelled",
    ),
    "an error of a library gets out": (
        WITH_SOURCE + SOURCE.format(body="        await hub.http.get('http://nowhere.test')\n        yield hub.store.bars('x', 0, 1)[0]"),
        "errors are translated",
        "hub.http may fail",
    ),
}


@pytest.mark.parametrize("name", list(FAULTS))
def test_each_planted_fault_is_found_and_nothing_else_is_blamed_for_it(tmp_path: Path, name: str) -> None:
    text, rule, words = FAULTS[name]
    (tmp_path / "mine.py").write_text(text)
    (tmp_path / "test_mine.py").write_text(GOOD_TEST)
    found = findings(tmp_path, "mine.py")
    [(_, told)] = [(each, text) for each, text in found.items() if rule in each]
    assert words in told
    assert len(found) <= 3, found


def test_tests_that_fail_are_missing_or_need_a_network_are_found(tmp_path: Path) -> None:
    rule = "it has tests, and they pass without a network"
    (tmp_path / "mine.py").write_text(GOOD)
    assert "no test_mine.py" in findings(tmp_path, "mine.py")[rule]
    (tmp_path / "test_mine.py").write_text(GOOD_TEST.replace("+1.88%", "+9%"))
    assert "1 failed" in findings(tmp_path, "mine.py")[rule]
    network = "\n\ndef test_out() -> None:\n    import socket\n\n    socket.create_connection(('192.0.2.1', 80), timeout=5)\n"
    (tmp_path / "test_mine.py").write_text(GOOD_TEST + network)
    assert "1 failed" in findings(tmp_path, "mine.py")[rule]


def test_what_is_no_plugin_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for what in ("empty", "nothing.py"):
        answer = hub(tmp_path, "plugins", "check", what)
        assert (answer.returncode, "is no plugin" in answer.stderr) == (1, True)


def test_the_plugins_of_the_hub_itself_pass_what_can_be_read(tmp_path: Path) -> None:
    from hub.kit.reading import read
    from tests.hubs import ROOT

    for folder in sorted((ROOT / "plugins").iterdir()):
        if (folder / "__init__.py").is_file():
            failed = [finding for finding in read(sorted(folder.rglob("*.py"))) if not finding.ok]
            allowed = {
                "no client, thread or database of its own",
                "time, waiting and ends are the hub's",
                "every setting has a comment with its unit",
            }
            assert {finding.rule for finding in failed} <= allowed, failed
