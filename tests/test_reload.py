"""SIGHUP to a hub that runs: all of the new configuration counts, or none of it does."""

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.brokers import free_port
from tests.hubs import drop_in, hub, log_of, log_until, running, states, status_until, stop

PLUGIN = """
from hub import Alert, Bar, Hub, PluginSettings, SettingsError, Transform, hookimpl

class Settings(PluginSettings):
    text: str = "first"
    bad: bool = False

@hookimpl
def register_settings():
    return Settings

@hookimpl
def register_transforms(hub):
    settings = hub.settings_for(Settings)
    if settings.bad:
        raise SettingsError("plugins.NAME.bad: cannot be had")
    async def work(bar):
        yield Alert(symbol=bar.symbol, source="NAME", text=settings.text)
    return [Transform("NAME", work, consumes=(Bar,), produces=(Alert,))]

@hookimpl
def register_requests(hub):
    async def text(request):
        return [hub.settings_for(Settings).text, list(hub.symbols)]
    return {"NAME": text}
"""


def write(folder: Path, **values: Any) -> None:
    """The configuration, with what is given changed; the port stays."""
    file = folder / "config.yaml"
    old = yaml.safe_load(file.read_text()) if file.exists() else {"mqtt": {"port": free_port()}}
    file.write_text(json.dumps(old | values))


def collector(**more: Any) -> dict[str, Any]:
    return {"collector": {"source": "simulated", "backfill": "30m"}, **more}


def reloaded(folder: Path, process: subprocess.Popen[bytes], words: str = "configuration reloaded") -> str:
    """Send SIGHUP; what was logged until these words came once more."""
    before = log_of(folder).count(words)
    process.send_signal(signal.SIGHUP)
    logged = log_until(folder, words)
    while logged.count(words) == before:
        logged = log_until(folder, words)
    return logged


def answer(folder: Path, verb: str) -> Any:
    """What the running hub answers on its socket."""
    from hub.runtime import control

    return control.ask(folder / "data", verb)


def since(shown: dict[str, Any], name: str) -> str:
    return next(str(plugin["since"]) for plugin in shown["plugins"] if plugin["name"] == name)


def test_plugins_come_change_and_go_while_the_others_go_on(tmp_path: Path) -> None:
    """A new section starts one, a changed section starts it anew, a removed one stops it; the collector does not notice."""
    for name in ("one", "two"):
        drop_in(tmp_path, name, PLUGIN.replace("NAME", name))
    write(tmp_path, plugins=collector(one={}))
    with running(tmp_path) as process:
        first = status_until(tmp_path, lambda shown: set(states(shown).values()) == {"running"} and len(states(shown)) == 2)
        assert answer(tmp_path, "one")[0] == "first"
        write(tmp_path, plugins=collector(one={"text": "second"}, two={}))
        reloaded(tmp_path, process)
        assert (answer(tmp_path, "one")[0], answer(tmp_path, "two")[0]) == ("second", "first")
        shown = status_until(tmp_path, lambda shown: states(shown) == dict.fromkeys(("collector", "one", "two"), "running"))
        assert since(shown, "collector") == since(first, "collector")
        write(tmp_path, plugins=collector(two={}))
        reloaded(tmp_path, process)
        shown = status_until(tmp_path, lambda shown: states(shown) == dict.fromkeys(("collector", "two"), "running"))
        assert since(shown, "collector") == since(first, "collector")
        assert stop(process) == 0


def test_a_configuration_with_a_problem_changes_nothing(tmp_path: Path) -> None:
    """Whatever is wrong, wherever it is found: in the text, in a section, by a plugin itself; all of it is told."""
    for name in ("one", "two"):
        drop_in(tmp_path, name, PLUGIN.replace("NAME", name))
    write(tmp_path, plugins=collector(one={}))
    with running(tmp_path) as process:
        before = status_until(tmp_path, lambda shown: states(shown) == {"collector": "running", "one": "running"})
        good = {"one": {"text": "second"}}
        for plugins, words in (
            (collector(**good, two={"tex": "x"}), "plugins.two.tex: unknown key; did you mean 'text'?"),
            (collector(**good, three={}), "plugins.three: no such plugin"),
            (collector(**good, two={"bad": True}), "plugins.two.bad: cannot be had"),
            ({**good, "collector": {"source": "nowhere"}}, "plugins.collector.source: 'nowhere' will not do"),
        ):
            write(tmp_path, plugins=plugins)
            assert words in reloaded(tmp_path, process, "configuration not reloaded; the old one goes on")
        (tmp_path / "config.yaml").write_text("mqtt: {port: 1\n")
        assert "not YAML" in reloaded(tmp_path, process, "configuration not reloaded; the old one goes on")
        assert answer(tmp_path, "one")[0] == "first"
        health = answer(tmp_path, "health")
        assert states(health) == states(before)
        assert [plugin["since"] for plugin in health["plugins"]] == [plugin["since"] for plugin in before["plugins"]]
        assert stop(process) == 0
    assert hub(tmp_path, "run").returncode == 3, "the same file refuses a start"


def test_other_symbols_count_at_once_and_for_every_plugin(tmp_path: Path) -> None:
    """One plugin with the old list and one with the new would be a riddle."""
    drop_in(tmp_path, "one", PLUGIN.replace("NAME", "one"))
    write(tmp_path, symbols=["BTC/USDT"], plugins=collector(one={}))
    with running(tmp_path) as process:
        status_until(tmp_path, lambda shown: [row["symbol"] for row in shown["symbols"]] == ["BTC-USDT"])
        assert answer(tmp_path, "one")[1] == ["BTC-USDT"]
        write(tmp_path, symbols=["BTC/USDT", "SOL/USDT"])
        reloaded(tmp_path, process)
        assert answer(tmp_path, "one")[1] == ["BTC-USDT", "SOL-USDT"]
        status_until(tmp_path, lambda shown: [row["symbol"] for row in shown["symbols"]] == ["BTC-USDT", "SOL-USDT"])
        assert stop(process) == 0


def test_what_cannot_change_while_the_hub_runs_is_named_and_left(tmp_path: Path) -> None:
    """Broker and folders: half of a plugin here, half there, would lose bars."""
    drop_in(tmp_path, "one", PLUGIN.replace("NAME", "one"))
    write(tmp_path, plugins=collector())
    with running(tmp_path) as process:
        status_until(tmp_path, lambda shown: states(shown) == {"collector": "running"})
        write(tmp_path, data_dir="elsewhere", mqtt={"port": free_port()}, plugins=collector(one={}))
        reloaded(tmp_path, process)
        assert '"keys": ["data_dir", "mqtt"]' in log_until(tmp_path, "these keys count from the next start of the hub on")
        assert answer(tmp_path, "one")[0] == "first"
        assert not (tmp_path / "elsewhere").exists()
        assert stop(process) == 0


def test_signals_that_come_all_at_once_or_while_it_loads_are_survived(tmp_path: Path) -> None:
    """A script that sends three is no reason to stop collecting; a SIGTERM while a plugin hangs is."""
    drop_in(tmp_path, "one", PLUGIN.replace("NAME", "one"))
    drop_in(tmp_path, "hangs", "while True: pass")
    write(tmp_path, plugins=collector(one={}))
    with running(tmp_path) as process:
        log_until(tmp_path, "hub runs")
        write(tmp_path, plugins=collector(one={"text": "second"}))
        for _ in range(5):
            process.send_signal(signal.SIGHUP)
        log_until(tmp_path, "configuration reloaded")
        status_until(tmp_path, lambda shown: states(shown) == {"collector": "running", "one": "running"})
        assert answer(tmp_path, "one")[0] == "second"
        assert stop(process) == 0
    write(tmp_path, plugins=collector(hangs={}))
    (tmp_path / "log").unlink()
    with running(tmp_path) as process:
        while not any("hub.runtime.hosting.guest" in line for line in children(process.pid)):
            assert process.poll() is None
        process.send_signal(signal.SIGHUP)
        assert stop(process) == 0
        assert "stopped while the plugins were loaded" in log_of(tmp_path)


def children(pid: int) -> list[str]:
    import psutil

    return [" ".join(child.cmdline()) for child in psutil.Process(pid).children()]


def test_a_plugin_that_had_failed_is_tried_again(tmp_path: Path) -> None:
    """The file is mended; its section is the same."""
    drop_in(tmp_path, "one", "broken(")
    write(tmp_path, plugins=collector(one={}))
    with running(tmp_path) as process:
        status_until(tmp_path, lambda shown: states(shown).get("one") == "failed")
        drop_in(tmp_path, "one", PLUGIN.replace("NAME", "one"))
        reloaded(tmp_path, process)
        assert states(answer(tmp_path, "health"))["one"] == "running"
        assert stop(process) == 0
