"""The `hub` command from outside: what it writes where, and the number it ends with."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import pytest
import typer.main
import yaml

from hub import Gap
from hub.cli import app
from hub.clock import SystemClock
from hub.configuration import load_configuration
from hub.runtime import control
from hub.runtime.disk.store import SqliteStore
from hub.runtime.hosting.offers import offers
from hub.runtime.hosting.plugins import load, settings_model
from hub.runtime.scaffold import CONFIG, ENV
from hub.settings import HubSettings
from hub.testing import START, bars
from tests.brokers import free_port
from tests.hubs import ENVIRONMENT, HUB, ROOT, drop_in, hub, running, status_until, stop, write_config, write_values

ACTS = {
    "init",
    "backup",
    "restore",
    "broker setup",
    "run",
    "demo",
    "bars backfill",
    "grafana push",
    "models promote",
    "models rollback",
    "models trust",
    "plugins new",
}
"""Commands that do something; all others show something, and have --json."""


def commands(group: Any = None, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command of the hub's own, with its whole name."""
    group = group or typer.main.get_group(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


COMMANDS = dict(commands())
READS = sorted(COMMANDS.keys() - ACTS)
ARGUMENTS = {
    "bars export": ["--symbol", "BTC/USDT"],
    "sentiment": ["Bitcoin rallies"],
    "dump": ["--day", "2025-05-20"],
    "models trust": ["tickerml.pub"],
    "backup": ["b.tar.gz"],
    "restore": ["b.tar.gz"],
}


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration and a store; no hub runs there."""
    folder = tmp_path_factory.mktemp("station")
    write_config(folder)
    store = SqliteStore.open(folder / "data" / "tickerml.db", SystemClock())
    gap = Gap(symbol="BTC-USDT", first_open_time=START + timedelta(minutes=3), last_open_time=START + timedelta(minutes=4), reason="halted")
    store.record([*bars(1.0, 2.5, 1e-7), *bars(9.0, start=START + timedelta(minutes=5)), gap])
    store.close()
    return folder


def test_every_command_that_shows_something_has_json() -> None:
    """For scripts; a new command that forgets it is found here."""
    assert [name for name in sorted(COMMANDS) if any("--json" in parameter.opts for parameter in COMMANDS[name].params)] == READS


@pytest.mark.parametrize("name", [name for name in READS if name != "plugins check"])
def test_json_on_stdout_is_one_document_and_stderr_is_for_logs(station: Path, name: str) -> None:
    """`hub ... --json | jq` works, whatever is logged."""
    answer = hub(station, *name.split(), *ARGUMENTS.get(name, []), "--json")
    assert answer.returncode == 0, answer.stderr
    assert isinstance(json.loads(answer.stdout), dict | list)
    assert answer.stdout.count("\n") == 1
    for line in answer.stderr.splitlines():
        assert "Traceback" not in line


@pytest.mark.parametrize("name", [name for name in READS if name not in {"bars export", "bars gaps", "sentiment", "dump", "plugins check"}])
def test_a_plugin_that_prints_and_logs_does_not_spoil_the_data(tmp_path: Path, name: str) -> None:
    """Stdout is the command's, also where a plugin is loaded for it."""
    text = "print('noise')\nimport logging\nlogging.warning('noise')\nfrom hub import *\n@hookimpl\ndef register_checks(hub):\n"
    text += "    hub.log.warning('noise')\n    async def look():\n        print('noise')\n        return 'fine'\n"
    text += "    return [Check('x', look)]\n"
    for plugin in ("apart", "inside"):
        drop_in(tmp_path, plugin, text)
    write_config(tmp_path, "  apart: {}\n  inside: {isolated: false}\n")
    SqliteStore.open(tmp_path / "data" / "tickerml.db", SystemClock()).close()
    answer = hub(tmp_path, *name.split(), "--json")
    assert answer.returncode == 0, answer.stderr
    assert "noise" not in json.dumps(json.loads(answer.stdout))


@pytest.mark.parametrize("name", [*sorted(COMMANDS), "", "bars", "plugins"])
def test_every_command_explains_itself(tmp_path: Path, name: str) -> None:
    """Help is exit code 0 and stands on stdout."""
    answer = hub(tmp_path, *name.split(), "--help")
    assert answer.returncode == 0
    assert "Usage: " in answer.stdout
    assert answer.stderr == ""


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    """A Raspberry Pi takes a second for pydantic alone."""
    script = (
        "import sys\nsys.argv = ['hub', '--help']\nfrom hub.cli import main\ntry:\n    main()\nexcept SystemExit:\n"
        "    print(*sys.modules, file=sys.stderr)"
    )
    answer = subprocess.run([sys.executable, "-c", script], env=ENVIRONMENT, capture_output=True, text=True, check=True, cwd=tmp_path)
    heavy = {"pydantic", "yaml", "pluggy", "asyncio", "httpx", "paho", "structlog", "sqlite3", "amqtt", "rich", "numpy", "multiprocessing"}
    assert heavy & set(answer.stderr.split()) == set()
    assert "plugins list" in answer.stdout, "where to find the commands of plugins"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["rnu"], 2, "No such command 'rnu'. Did you mean 'run'?"),
        (["bars", "exprt"], 2, "Did you mean 'export'?"),
        (["run", "--fr", "1s"], 2, "No such option"),
        (["run", "--for", "soon"], 2, "a whole number with a unit"),
        (["run", "more"], 2, "unexpected extra argument"),
        (["bars", "export"], 2, "--symbol"),
        (["bars", "export", "--symbol", "btc"], 2, "'btc' is no symbol; write it as BTC/USDT"),
        (["bars", "export", "--symbol", "BTC/USDT", "--from", "noon"], 2, "'noon' is no time"),
        (["bars", "backfill"], 2, "--days"),
        (["bars", "backfill", "--days", "0"], 2, "Invalid value for '--days'"),
        (["demo", "--speed", "0"], 2, "Invalid value for '--speed'"),
        (["-c"], 2, "-c"),
        (["status", "-c"], 2, "-c"),
        (["-c", "absent.yaml", "status"], 3, "absent.yaml: no such file; `hub init` writes one"),
        (["-c", ".", "status"], 3, "cannot be read: Is a directory"),
        (["-c", "x" * 300, "run"], 3, "cannot be read: File name too long"),
        (["status"], 1, "no such store yet; `hub run` (or `hub demo`) makes it"),
        (["bars", "gaps"], 1, "no such store yet"),
        (["bars", "export", "--symbol", "BTC/USDT"], 1, "no such store yet"),
        (["init", "/proc/nowhere"], 1, "/proc/nowhere"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else str(value)[:20],
)
def test_what_cannot_be_done_ends_with_its_number_and_words(tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    """1 failure, 2 usage, 3 configuration; on stderr, without a traceback."""
    answer = hub(tmp_path, *arguments)
    assert answer.returncode == code, answer.stderr
    assert words in " ".join(answer.stderr.split())
    assert "Traceback" not in answer.stderr
    assert answer.stdout == ""


@pytest.mark.parametrize(
    "name", [name for name in sorted(COMMANDS) if name not in {"init", "demo", "doctor", "sentiment", "plugins check", "plugins new"}]
)
def test_a_wrong_configuration_is_3_for_every_command(tmp_path: Path, name: str) -> None:
    """The hub never runs, and nothing is shown, on half of what was meant."""
    write_values(tmp_path, mqtt={"hots": "x"}, symbols=["btc"])
    arguments = {"bars backfill": ["--days", "1"], **ARGUMENTS}.get(name, [])
    answer = hub(tmp_path, *name.split(), *arguments)
    assert answer.returncode == 3, answer.stderr
    assert answer.stdout == ""
    lines = [line for line in answer.stderr.splitlines() if line.startswith("configuration: ")]
    assert lines == [
        "configuration: config.yaml:1: symbols.0: 'btc' will not do: a symbol is base and quote asset in capitals, such as BTC/USDT",
        "configuration: config.yaml:1: mqtt.hots: unknown key; did you mean 'host'?",
    ]


def test_a_dependency_that_is_down_is_4(tmp_path: Path) -> None:
    """An exchange that refuses connections; a hub that holds its lock and does not answer."""
    section = {"binanceus": {"base_url": f"http://127.0.0.1:{free_port()}"}, "fallback": None}
    write_values(tmp_path, plugins={"collector": section})
    answer = hub(tmp_path, "bars", "backfill", "--days", "1")
    assert answer.returncode == 4, answer.stderr
    assert "connection refused" in answer.stderr
    assert "Traceback" not in answer.stderr
    with control.only_hub(tmp_path / "data"):
        answer = hub(tmp_path, "status")
        assert answer.returncode == 4
        assert "the hub that runs there does not answer" in answer.stderr


def test_a_failed_check_is_5(tmp_path: Path) -> None:
    """And all that was found is shown."""
    write_values(tmp_path, mqtt={"embedded": False, "port": free_port()}, plugins={"collector": {"source": "simulated"}})
    answer = hub(tmp_path, "doctor")
    assert answer.returncode == 5
    assert "FAIL  broker: " in answer.stdout
    assert "ok    disk: " in answer.stdout


def test_backfill_without_a_plugin_that_can_says_so(tmp_path: Path) -> None:
    """Failure, with the section that helps."""
    write_values(tmp_path, plugins={})
    answer = hub(tmp_path, "bars", "backfill", "--days", "1")
    assert answer.returncode == 1
    assert "no plugin here can fetch the past; add `collector: {}` under `plugins`" in answer.stderr


def test_backfill_fetches_what_is_missing_and_a_second_time_nothing(tmp_path: Path) -> None:
    """Data is on disk afterwards; progress was on stderr."""
    write_config(tmp_path)
    for _ in range(2):
        answer = hub(tmp_path, "bars", "backfill", "--days", "1")
        assert answer.returncode == 0, answer.stderr
        assert answer.stdout == ""
    exported = hub(tmp_path, "bars", "export", "--symbol", "BTC/USDT").stdout.splitlines()
    times = [int(line.split(",")[0]) for line in exported[1:]]
    assert len(times) == len(set(times)) > 1400


PLACES = [
    ["-c", "FILE", "status", "--json"],
    ["status", "-c", "FILE", "--json"],
    ["status", "--json", "-c", "FILE"],
    ["--config", "FILE", "status", "--json"],
    ["status", "--config=FILE", "--json"],
    ["status", "-cFILE", "--json"],
]


@pytest.mark.parametrize("arguments", PLACES, ids=" ".join)
def test_the_configuration_may_stand_before_and_after_the_command(station: Path, tmp_path: Path, arguments: list[str]) -> None:
    """Nobody remembers which."""
    answer = hub(tmp_path, *(argument.replace("FILE", str(station / "config.yaml")) for argument in arguments))
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["symbols"][0]["symbol"] == "BTC-USDT"


def test_export_and_gaps_show_what_is_on_disk(station: Path, tmp_path: Path) -> None:
    """The header of the contract; numbers without exponents; both spellings of a symbol."""
    shown = hub(station, "bars", "export", "--symbol", "BTC-USDT").stdout
    assert shown.splitlines()[0] == "open_time_ms,open,high,low,close,volume,quote_volume,trades,source"
    assert "0.0000001" in shown
    file = tmp_path / "bars.csv"
    assert hub(station, "bars", "export", "--symbol", "BTC/USDT", "--out", str(file)).stdout == ""
    assert file.read_text() == shown
    day = hub(station, "bars", "export", "--symbol", "BTC/USDT", "--from", "2025-05-20T00:01:00Z", "--to", "2025-05-20T00:02:00Z").stdout
    assert len(day.splitlines()) == 2
    assert hub(station, "bars", "export", "--symbol", "NO/NE").returncode == 1
    assert hub(station, "bars", "export", "--symbol", "BTC/USDT", "--out", str(tmp_path / "no" / "x")).returncode == 1
    gaps = hub(station, "bars", "gaps")
    assert gaps.stdout == "BTC-USDT  2025-05-20 00:03 to 2025-05-20 00:04  2 min  halted\n"


def test_a_reader_that_goes_away_is_no_traceback(station: Path) -> None:
    """`hub bars export | head -1`."""
    store = SqliteStore.open(station / "data" / "tickerml.db", SystemClock())
    store.record(bars(*range(1, 30_000), symbol="MANY-USDT"))
    store.close()
    command = [*HUB, "bars", "export", "--symbol", "MANY/USDT"]
    with subprocess.Popen(command, cwd=station, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"open_time_ms")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 1


def test_status_is_for_people_too(tmp_path: Path) -> None:
    """What runs, since when, and how far behind, of a running hub and of one that does not run."""
    write_config(tmp_path)
    with running(tmp_path) as process:
        status_until(tmp_path, lambda shown: shown["running"] and shown["broker"]["connected"] and shown["symbols"])
        shown = hub(tmp_path, "status").stdout
        for words in (
            "hub runs since 20",
            "broker    localhost:",
            "collector        running   since 20",
            "symbol    BTC-USDT",
            "forwarder mqtt",
        ):
            assert words in shown
        listed = json.loads(hub(tmp_path, "plugins", "list", "--json").stdout)
        assert [row["state"] for row in listed if row["name"] == "collector"] == ["running"]
        assert stop(process) == 0
    assert hub(tmp_path, "status").stdout.startswith("hub does not run\n")


COMMANDER = """
from pydantic import SecretStr
import typer
from hub import Hub, PluginSettings, hookimpl
print("noise")

class Settings(PluginSettings):
    greeting: str = "hello"

@hookimpl
def register_settings():
    return Settings

@hookimpl
def register_commands(cli: typer.Typer, hub: Hub) -> None:
    @cli.command()
    def greet(name: str = "you") -> None:
        "Greets."
        print(hub.settings_for(Settings).greeting, name, hub.store.newest_bar("BTC-USDT").close)

    @cli.command()
    def run() -> None:
        print("not the hub")

    more = typer.Typer(help="More of it.")
    more.command("deep")(lambda: print("deep"))
    more.command("deeper")(lambda: print("deeper"))
    cli.add_typer(more, name="more")
"""
BAD = {
    "kills": "import os; os._exit(3)",
    "raises": "1 / 0",
    "hook": "from hub import *\n@hookimpl\ndef register_commands(cli):\n    raise SystemExit(9)\n",
    "crashes": "import ctypes; ctypes.string_at(0)",
}


@pytest.fixture
def commander(station: Path, tmp_path: Path) -> Path:
    """A folder with a plugin that adds commands, between four that must not be loaded."""
    drop_in(tmp_path, "commander", COMMANDER)
    for name, text in BAD.items():
        drop_in(tmp_path, name, text)
    write_config(tmp_path, "  kills: {}\n  raises: {}\n  commander: {greeting: hi}\n  hook: {}\n  crashes: {}\n")
    with (tmp_path / "config.yaml").open("a") as file:
        file.write(f"data_dir: {station / 'data'}\n")
    return tmp_path


def test_a_configured_plugin_adds_commands_whatever_the_others_do(commander: Path) -> None:
    """With its settings and the store; those that cannot be loaded are named on stderr."""
    answer = hub(commander, "greet", "--name", "Ada")
    assert (answer.returncode, answer.stdout) == (0, "hi Ada 9.0\n"), answer.stderr
    for words in (
        "plugin kills: its process ended while it was loaded (exit code 3)",
        "plugin raises: cannot be loaded from custom_plugins/raises.py: ZeroDivisionError",
        "plugin hook: register_commands failed: SystemExit: 9",
        "plugin crashes: its process ended while it was loaded",
    ):
        assert words in answer.stderr
    assert hub(commander, "more", "deeper").stdout == "deeper\n"
    assert "Greets." in hub(commander, "greet", "--help").stdout
    assert hub(commander, "greet", "--nam").returncode == 2
    assert hub(commander, "-c", "config.yaml", "greet").stdout == "hi you 9.0\n"


def test_a_command_of_the_hubs_own_is_not_given_away_and_costs_no_look_at_plugins(commander: Path) -> None:
    """`hub run` runs the hub; and `hub status` does not load what it does not need."""
    answer = hub(commander, "status")
    assert answer.returncode == 0
    assert answer.stderr == ""
    assert "not the hub" not in hub(commander, "run", "--help").stdout


def test_a_wrong_word_is_still_2_and_the_right_one_is_offered(commander: Path) -> None:
    """Also where the right one is a plugin's."""
    answer = hub(commander, "gret")
    assert answer.returncode == 2
    assert "No such command 'gret'. Did you mean 'greet'?" in answer.stderr
    assert hub(commander, "rnu").stderr.rstrip().endswith("Did you mean 'run'?")


def test_a_plugins_command_is_refused_with_3_where_its_section_will_not_do(commander: Path) -> None:
    """As for every other command."""
    file = commander / "config.yaml"
    file.write_text(file.read_text().replace("greeting: hi", "greting: hi"))
    answer = hub(commander, "greet")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "plugins.commander.greting: unknown key; did you mean 'greeting'?" in answer.stderr
    file.write_text(file.read_text().replace("greting: hi", "greeting: hi") + "log: {level: loud}\n")
    answer = hub(commander, "greet")
    assert (answer.returncode, answer.stdout) == (3, "")
    assert "log.level: 'loud' will not do" in answer.stderr


def test_the_list_of_plugins_says_where_each_comes_from_and_what_becomes_of_it(commander: Path) -> None:
    """Version, place, process, commands; and what is wrong with it."""
    rows = {row["name"]: row for row in json.loads(hub(commander, "plugins", "list", "--json").stdout)}
    assert rows["collector"] | {"from": "built-in", "version": "0.1.0", "configured": True, "isolated": False} == rows["collector"]
    assert Path(rows["collector"]["location"]) == ROOT
    assert rows["commander"]["commands"] == ["greet", "more"]
    assert "run: the hub has a command of that name" in rows["commander"]["trouble"]
    assert rows["commander"] | {"from": "custom_plugins/commander.py", "version": None, "isolated": True} == rows["commander"]
    assert "exit code 3" in rows["kills"]["trouble"]
    shown = hub(commander, "plugins", "list").stdout
    assert re.search(
        r"^commander +configured +own process +custom_plugins/commander.py +\(adds: hub greet, hub more\)", shown, re.MULTILINE
    )
    assert re.search(r"^collector +configured +in the hub +built-in", shown, re.MULTILINE)


def test_two_plugins_of_one_name_are_both_shown_and_neither_runs(tmp_path: Path) -> None:
    """A file and a folder; which of them was meant?"""
    drop_in(tmp_path, "twice", COMMANDER)
    (tmp_path / "custom_plugins" / "twice").mkdir()
    (tmp_path / "custom_plugins" / "twice" / "__init__.py").write_text(COMMANDER)
    write_config(tmp_path, "  twice: {}\n")
    answer = hub(tmp_path, "greet")
    assert answer.returncode == 2
    assert "plugin twice: more than one plugin is called twice" in answer.stderr
    assert sum(row["name"] == "twice" for row in json.loads(hub(tmp_path, "plugins", "list", "--json").stdout)) == 2


def test_init_writes_what_is_not_there_and_never_overwrites(tmp_path: Path) -> None:
    """Somebody's configuration is a week of somebody's evenings."""
    answer = hub(tmp_path, "init", "new/folder")
    assert (answer.returncode, answer.stdout) == (0, "new/folder/config.yaml\nnew/folder/.env.example\n")
    assert hub(tmp_path, "init", "new/folder").stdout == ""
    (tmp_path / "config.yaml").write_text("symbols: [SOL/USDT]\n")
    answer = hub(tmp_path, "init")
    assert (answer.returncode, answer.stdout) == (0, ".env.example\n")
    assert (tmp_path / "config.yaml").read_text() == "symbols: [SOL/USDT]\n"
    (tmp_path / "file").touch()
    answer = hub(tmp_path, "init", "file")
    assert answer.returncode == 1
    assert "file: cannot be made: File exists" in answer.stderr


def test_what_init_writes_loads_and_is_the_default(tmp_path: Path) -> None:
    """Nothing in it changes anything."""
    hub(tmp_path, "init")
    assert hub(tmp_path, "bars", "gaps").returncode == 1, "no store, but no problem either"
    configuration = load_configuration(tmp_path / "config.yaml", {})
    configuration.raise_problems()
    assert configuration.settings.model_copy(update={"plugins": {}}) == HubSettings(plugins={})
    assert _checked_sections(tmp_path, configuration).keys() == {"collector", "dashboard", "inference", "news", "scorecard"}


def _checked_sections(folder: Path, configuration: Any) -> dict[str, Any]:
    """The plugins' sections, each held against its model and found to be nothing but its defaults."""
    known = offers(folder / "none")
    found = {}
    for name, section in configuration.sections.items():
        model = settings_model(load(known[name][0]))
        found[name] = configuration.section(("plugins", name), section, model)
        configuration.raise_problems()
        assert found[name].model_dump() == model().model_dump(), name
    return found


def test_every_commented_key_exists_and_every_commented_value_is_the_default(tmp_path: Path) -> None:
    """What stands after a # is the default: so the first line of the file says."""
    assert "what stands here after a # is the default" in CONFIG
    text = "\n".join(re.sub(r"^(\s*)# (?=\s*\w+:)", r"\1", line) for line in CONFIG.splitlines()[2:])
    assert not re.search(r"^\s*#", text, re.MULTILINE), "a comment that hides a key"
    (tmp_path / "config.yaml").write_text(text)
    configuration = load_configuration(tmp_path / "config.yaml", {})
    configuration.raise_problems()
    assert (configuration.data_dir, configuration.plugin_dir) == (tmp_path / "data", tmp_path / "custom_plugins")
    defaults = HubSettings().model_dump(exclude={"plugins", "data_dir", "plugin_dir"})
    assert configuration.settings.model_dump(exclude={"plugins", "data_dir", "plugin_dir"}) == defaults
    assert set(yaml.safe_load(text)) == set(HubSettings.model_fields), "no key of the hub's own is left out"
    assert set(yaml.safe_load(text)["mqtt"]) == set(HubSettings().mqtt.model_dump())
    assert _checked_sections(tmp_path, configuration).keys() == configuration.sections.keys() > {"collector"}


def test_every_variable_in_the_example_sets_a_key_that_exists(tmp_path: Path) -> None:
    """A name copied from there must not be refused."""
    variables = re.findall(r"^# (TICKERML__\w+)=", ENV, re.MULTILINE)
    assert len(variables) >= 3
    configuration = load_configuration(None, dict.fromkeys(variables, "x"))
    configuration.raise_problems()
    known = offers(tmp_path)
    for name, section in configuration.sections.items():
        configuration.section(("plugins", name), section, settings_model(load(known[name][0])))
    assert not [problem for problem in configuration.problems if "unknown key" in problem]


def run_briefly(folder: Path, stderr: Any, *, seconds: str = "3s") -> int:
    command = [*HUB, "run", "--for", seconds]
    return subprocess.run(command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=stderr, timeout=60, check=False).returncode


def test_logs_are_json_lines_where_nobody_watches(tmp_path: Path) -> None:
    """Every line of it, a plugin's bug and a library's complaint included."""
    bug = "from hub import *\n@hookimpl\ndef register_transforms(hub):\n    async def work(bar):\n        raise ValueError('two\\nlines')\n"
    drop_in(tmp_path, "bug", f"{bug}        yield\n    return [Transform('t', work, consumes=(Bar,), produces=(Alert,))]\n")
    write_config(tmp_path, "  bug: {}\n")
    with (tmp_path / "log").open("wb") as log:
        assert run_briefly(tmp_path, log, seconds="6s") == 0
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert {"hub runs", "stopped", "trying again"} <= {line["event"] for line in lines}
    assert all({"event", "level", "timestamp"} <= line.keys() for line in lines)
    assert any("Traceback" in line.get("exception", "") for line in lines)


def test_logs_are_text_on_a_terminal(tmp_path: Path) -> None:
    """Lines for people, in colours."""
    write_config(tmp_path)
    ours, theirs = pty.openpty()
    shown = b""
    try:
        with subprocess.Popen(
            [*HUB, "run", "--for", "2s"], cwd=tmp_path, env=ENVIRONMENT, stderr=theirs, stdout=subprocess.DEVNULL
        ) as process:
            os.close(theirs)
            while True:
                try:
                    piece = os.read(ours, 65_536)
                except OSError:  # the other side is closed
                    break
                if not piece:
                    break
                shown += piece
            assert process.wait(30) == 0
    finally:
        os.close(ours)
    text = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode())
    assert "\x1b[" in shown.decode()
    assert re.search(r"^\d\d:\d\d:\d\d \[info +\] hub runs", text, re.MULTILINE), text
    assert not text.lstrip().startswith("{")


def test_a_full_disk_behind_the_log_loses_no_bar(tmp_path: Path) -> None:
    """Lines are lost, and that is all: bars are collected, and the end is a clean one."""
    drop_in(tmp_path, "prints", "print('x' * 100_000)\nfrom hub import *\n@hookimpl\ndef register_settings(): return PluginSettings\n")
    write_config(tmp_path, "  prints: {}\n")
    with Path("/dev/full").open("wb") as full:
        assert run_briefly(tmp_path, full, seconds="5s") == 0
    assert hub(tmp_path, "bars", "gaps").stdout == "none\n"
    assert len(hub(tmp_path, "bars", "export", "--symbol", "BTC/USDT").stdout.splitlines()) > 25


def test_a_log_that_nobody_reads_stops_nothing(tmp_path: Path) -> None:
    """`hub run 2>&1 | less`, and the reader is gone."""
    write_config(tmp_path)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert run_briefly(tmp_path, writing) == 0
    finally:
        os.close(writing)
    assert hub(tmp_path, "bars", "gaps").stdout == "none\n"
