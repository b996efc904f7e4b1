"""Every hook is called as docs/plugins.md says, and everything that page shows works."""

import asyncio
import importlib.util
import inspect
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import typer
import yaml
from typer.testing import CliRunner

from hub import Alert, Bar, PermanentError, PluginSettings, Sink, Source, Transform, TransientError, errors, hookspecs
from hub.errors import HubError
from hub.messages import HubInfo, ModelId, PluginState, Request
from hub.runtime import patience
from hub.runtime.hosting import guest, isolation, process, shapes, streams, supervisor
from hub.runtime.hosting.offers import Offer
from hub.runtime.hosting.plugins import ask, declare, load, settings_model
from hub.testing import FakeDesk, FakeHub, bars
from tests.brokers import free_port, wait_for_port
from tests.hubs import ROOT, drop_in, hub, running, status_until, stop, write_config
from tests.pages import hung_up

PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
HOOKS = {name: function for name, function in vars(hookspecs).items() if name.startswith("register_")}
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
PLUGINS = [text for language, text in BLOCKS if language == "python" and "@hookimpl" in text]


def named(words: str) -> str:
    """The plugin on the page whose docstring begins so."""
    [text] = [text for text in PLUGINS if text.startswith(f'"""{words}')]
    return text


@pytest.fixture
def module(tmp_path: Path) -> Iterator[Any]:
    """Makes a module of a text, importable for the length of a test."""
    made: list[str] = []

    def of(text: str, name: str = "example") -> ModuleType:
        file = tmp_path / f"{name}.py"
        file.write_text(text, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        loaded = importlib.util.module_from_spec(spec)
        sys.modules[name] = loaded
        made.append(name)
        spec.loader.exec_module(loaded)
        return loaded

    yield of
    for name in made:
        del sys.modules[name]


def loaded(tmp_path: Path, text: str) -> Any:
    """The plugin manager of a drop-in with this text."""
    file = tmp_path / "plugin_under_test.py"
    file.write_text(text, encoding="utf-8")
    return load(Offer("plugin_under_test", str(file), str(file)))


def test_every_hook_stands_in_the_table_with_its_arguments() -> None:
    """What is not documented does not exist; what is documented does."""
    rows = dict(re.findall(r"^\| `(register_\w+)\((.*?)\)` \|", PAGE, re.MULTILINE))
    assert rows == {name: ", ".join(inspect.signature(function).parameters) for name, function in HOOKS.items()}
    for function in HOOKS.values():
        assert function.__doc__


ALONE = {
    "register_settings": "return PluginSettings",
    "register_outlets": "async def run(outside): pass\n    return [Outlet('a', 'elsewhere', run)]",
    "register_services": "async def run(desk): pass\n    return [Service('a', run)]",
    "register_sources": "return [Source('a', lambda: None, (Bar,))]",
    "register_transforms": "return [Transform('a', lambda bar: None, (Bar,), (Alert,))]",
    "register_sinks": "return [Sink('a', lambda batch: None, (Bar,))]",
    "register_requests": "return {'greet': lambda request: None}",
    "register_checks": "return [Check('a', lambda: None)]",
    "register_commands": "cli.command('a')(lambda: None)",
}


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_works_alone_with_all_of_its_arguments_or_none(tmp_path: Path, hook: str) -> None:
    """A plugin implements what it needs, and names what it uses."""
    arguments = list(inspect.signature(HOOKS[hook]).parameters)
    for used in ([*arguments], ["cli"] if "cli" in arguments else []):
        text = f"from hub import *\n@hookimpl\ndef {hook}({', '.join(used)}):\n    {ALONE[hook]}\n"
        manager = loaded(tmp_path, text)
        cli = typer.Typer()
        given = {"cli": cli, "hub": FakeHub()}
        answers = ask(manager, hook, **{name: given[name] for name in arguments})
        declared = declare(manager, FakeHub())
        counted = {
            "register_settings": int(settings_model(manager) is PluginSettings and bool(answers)),
            "register_requests": len(declared.answers),
            "register_checks": len(declared.checks),
            "register_commands": len(cli.registered_commands),
        }
        assert counted.get(hook, len(declared.flows)) == 1


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_is_called_once_for_one_plugin(tmp_path: Path, hook: str) -> None:
    """Declaring is no moment to be repeated: a port could be taken twice."""
    text = (
        f"calls = []\nfrom hub import *\n@hookimpl\ndef {hook}(hub=None):\n    calls.append(1)\n    {ALONE[hook].replace('cli', 'hub')}\n"
    )
    if hook in {"register_settings", "register_commands"}:
        text = text.replace("hub=None", "" if hook == "register_settings" else "cli").replace("hub.command", "cli.command")
    manager = loaded(tmp_path, text)
    settings_model(manager)
    declare(manager, FakeHub())
    if hook == "register_commands":
        ask(manager, hook, cli=typer.Typer(), hub=FakeHub())
    assert len(sys.modules["custom_plugins.plugin_under_test"].calls) == 1


JUNK: list[tuple[str, str, str]] = [
    ("register_sources", "[Transform('a', print, (Bar,), (Alert,))]", "register_sources must return a list of Source, not [Transform("),
    ("register_sources", "Source('a', print, (Bar,))", "register_sources must return a list of Source, not Source("),
    ("register_sources", "[Source('a', print, Bar)]", "produces must be a tuple of messages, such as (Bar,), not <class"),
    ("register_sources", "[Source('a', print, (int,))]", "produces must be a tuple of messages"),
    ("register_sources", "[Source('a', print, ())]", "produces must name a message"),
    ("register_sources", "[Source('a b', print, (Bar,))]", "Source 'a b': its name must be letters"),
    ("register_sources", "[Source(5, print, (Bar,))]", "its name must be letters"),
    ("register_sources", "[Source('a', None, (Bar,))]", "stream must be a function"),
    ("register_sources", "[Source('a', print, (Bar,), 5)]", "stale_after must be a timedelta"),
    ("register_sources", "[Source('a', print, (Bar,), None, 5)]", "backfill must be a function"),
    ("register_sources", "[Source('a', print, (PluginState,))]", "produces names PluginState: only facts that are recorded"),
    ("register_sources", "[Source('a', print, (Bar,)), Source('a', print, (Bar,))]", "two of its flows have one name: a, a"),
    ("register_transforms", "[Transform('a', print, (Request,), (Alert,))]", "consumes names Request: it stands on no topic"),
    ("register_transforms", "[Transform('a', print, (Bar,), (ModelId,))]", "produces names ModelId"),
    ("register_transforms", "[Transform('a', print, (Bar,), (Alert,), 5)]", "deadline must be a timedelta"),
    ("register_sinks", "[Sink('a', print, (PluginState,), durable=True)]", "consumes names PluginState: the store holds none of it"),
    ("register_sinks", "[Sink('a', print, (Bar,), batch=0)]", "batch must be a number from 1 to"),
    ("register_sinks", "[Sink('a', print, (Bar,), batch='9')]", "batch must be a number from 1 to"),
    ("register_services", "[Service('a', 5)]", "run must be a function"),
    ("register_requests", "['a']", "register_requests must return a dict of verb to coroutine function, not ['a']"),
    ("register_requests", "{'a': 5}", "register_requests must return a dict"),
    ("register_requests", "{'a/#': print}", "'a/#' is no verb"),
    ("register_checks", "[print]", "register_checks must return a list of Check"),
    ("register_checks", "None", "register_checks returned nothing"),
    ("register_sources", "1 / 0", "register_sources failed: ZeroDivisionError: division by zero (plugin_under_test.py, line 5)"),
    ("register_sources", "type('Odd', (), {'__repr__': lambda self: 1 / 0})()", "not a Odd that cannot be shown"),
]


@pytest.mark.parametrize(("hook", "answer", "words"), JUNK, ids=[words[:40] for _, _, words in JUNK])
def test_what_a_hook_must_not_return_is_refused_in_words(tmp_path: Path, hook: str, answer: str, words: str) -> None:
    """Found when the plugin is loaded, not at three in the morning."""
    manager = loaded(tmp_path, f"from hub import *\nfrom hub.messages import *\n@hookimpl\ndef {hook}(hub):\n    return {answer}\n")
    with pytest.raises(PermanentError) as refused:
        declare(manager, FakeHub())
    assert words in str(refused.value)


def test_only_recorded_facts_may_be_produced_and_all_that_stands_on_a_topic_may_be_heard() -> None:
    """A plugin must not announce the state of another."""
    for kind in (PluginState, HubInfo):
        assert shapes.flows("register_sinks", [Sink("a", print, (kind,))], Sink)  # type: ignore[arg-type]
        with pytest.raises(PermanentError):
            shapes.flows("register_sources", [Source("a", print, (kind,))], Source)  # type: ignore[arg-type]
    with pytest.raises(PermanentError):
        shapes.flows("register_sinks", [Sink("a", print, (ModelId,))], Sink)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", PLUGINS, ids=[text.splitlines()[0][3:40] for text in PLUGINS])
def test_every_plugin_on_the_page_loads_and_declares(tmp_path: Path, text: str) -> None:
    """A newcomer copies it and it works; pluggy knows every hook of it."""
    manager = loaded(tmp_path, text)
    manager.check_pending()
    section = settings_model(manager)()
    declared = declare(manager, FakeHub(section.model_dump()))
    assert declared.flows or declared.answers


def test_the_complete_plugin_does_what_its_test_on_the_page_says(module: Any) -> None:
    """The page's own test, run."""
    module(PLUGINS[0], "volatility")
    [test] = [text for language, text in BLOCKS if language == "python" and "def test_" in text]
    module(test, "test_volatility").test_a_jump_is_told()


async def test_the_source_on_the_page_brings_moods_and_translates_errors(module: Any) -> None:
    """What it yields, and what the hub is told where the other side is down or talks nonsense."""
    answers = [
        httpx.Response(200, json={"data": [{"value": "75"}]}),
        *(httpx.Response(503), httpx.Response(200, json={"data": []}), httpx.Response(200, text="<html>")),
    ]
    given = FakeHub(transport=httpx.MockTransport(lambda _: answers.pop(0)))
    [source] = module(named("The fear and greed")).register_sources(given)
    async with aclosing(source.stream()) as stream:
        mood = await anext(stream)
    assert (mood.asset, mood.score, source.stale_after) == ("BTC", 0.5, timedelta(hours=3))
    for _ in range(3):
        with pytest.raises(TransientError, match=r"api.alternative.me: "):
            await anext(source.stream())
    await given.http.aclose()


async def test_the_service_on_the_page_answers_whoever_connects(module: Any) -> None:
    """It asks the desk, and says in words what the hub does not answer."""
    port, desk = free_port(), FakeDesk({"health": {"symbols": [{"symbol": "BTC-USDT", "minutes_missing": 3}]}})
    [service] = module(named("Tells whoever connects")).register_services(FakeHub({"port": port}))
    serving = asyncio.create_task(service.run(desk))
    try:
        await asyncio.to_thread(wait_for_port, port)
        for words in ("BTC-USDT 3\n", "the hub is busy\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert (await reader.read()).decode() == words
            await hung_up(writer)
            desk.answers["health"] = HubError("the hub is busy")
        assert [verb for verb, _ in desk.asked] == ["health"] * len(desk.asked)
    finally:
        serving.cancel()


async def test_the_transform_on_the_page_hears_silence(module: Any) -> None:
    """Once, not at every further bar."""
    [transform] = module(named("A forecast-free alert")).register_transforms(FakeHub())
    made = [alert for bar in bars(*range(1, 8), trades=0) async for alert in transform.apply(bar)]
    assert [alert.text for alert in made] == ["nobody traded BTC-USDT for three minutes"]


async def test_the_sinks_on_the_page_keep_and_ring(module: Any) -> None:
    """Twice is the same as once; trouble is told without the token."""
    heard: list[httpx.Request] = []

    def phone(request: httpx.Request) -> httpx.Response:
        heard.append(request)
        return httpx.Response(200 if len(heard) == 1 else 500)

    given = FakeHub({"token": "canary-7311"}, transport=httpx.MockTransport(phone))
    closes, bell = module(named("Keeps the newest close")).register_sinks(given)
    for _ in range(2):
        await closes.write([*bars(1.0, 2.0), *bars(5.0, symbol="ETH-USDT")])
    assert json.loads((given.data_dir / "closes.json").read_text()) == {"BTC-USDT": 2.0, "ETH-USDT": 5.0}
    await bell.write([Alert(symbol="BTC-USDT", source="x", text="look")])
    assert (heard[0].content, heard[0].headers["authorization"]) == (b"look", "Bearer canary-7311")
    with pytest.raises(TransientError) as told:
        await bell.write([Alert(symbol="BTC-USDT", source="x", text="look")])
    assert "does not take the alert" in str(told.value)
    assert "canary" not in str(told.value)
    await given.http.aclose()


async def test_requests_checks_and_commands_on_the_page_answer(module: Any) -> None:
    """One function, three ways to ask for it."""
    given = FakeHub(symbols=("BTC-USDT",))
    plugin = module(named("The range of the last day"))
    cli = typer.Typer()
    plugin.register_commands(cli, given)
    [check] = plugin.register_checks(given)
    with pytest.raises(PermanentError, match="no bar of BTC-USDT yet"):
        await check.look()
    given.store.record(bars(10.0, 12.0, 9.0))
    assert await plugin.register_requests(given)["range"](Request.model_validate({"symbol": "BTC-USDT"})) == {
        "symbol": "BTC-USDT",
        "low": 9.0,
        "high": 12.0,
    }
    assert await check.look() == "BTC-USDT 9 to 12"
    assert CliRunner().invoke(cli, ["BTC-USDT"]).output == "9 to 12\n"


def test_the_other_blocks_on_the_page_are_sound(module: Any) -> None:
    """A section that the plugin takes, an entry point in the group that the hub looks into."""
    model = module(PLUGINS[0], "volatility").VolatilitySettings
    for language, text in BLOCKS:
        if language == "yaml":
            for section in yaml.safe_load(text)["plugins"].values():
                model.model_validate(section)
        elif language == "toml":
            assert list(tomllib.loads(text)["project"]["entry-points"]) == [hookspecs.ENTRY_POINT_GROUP]
        else:
            assert language == "python"


def test_every_error_and_every_limit_on_the_page_is_the_real_one() -> None:
    """Numbers in a text go stale first."""
    for name in ("TransientError", "PermanentError", "SettingsError"):
        assert f"`{name}(" in PAGE
        assert issubclass(getattr(errors, name), errors.HubError)
    said = " ".join(PAGE.split())
    assert (process.LOAD_S, process.SILENCE_S, isolation.MOST_RESTARTS, isolation.RESTART_WINDOW_S) == (15.0, 15.0, 5, 60.0)
    assert "its import and its hooks have 15 s" in said
    assert "does not answer for 15 s is killed; after five new ones within a minute the plugin is failed" in said
    assert guest.MEMORY_LIMIT == 2**30
    assert "leaks (1 GiB is the limit)" in said
    assert f"at most {streams.LARGEST_BATCH:,} in one batch and {supervisor.MOST_OUTPUTS:,} from one message" in said
    assert f"{patience.Allowance.per_second} commits a second after a burst of {patience.Allowance.burst:,}" in said
    assert f"`deadline` ({Transform('a', print, (Bar,), (Alert,)).deadline.seconds} s)" in said  # type: ignore[arg-type]
    facts = ", ".join(f"`{kind.__name__}`" for kind in shapes.DURABLE)
    assert f"may produce only recorded facts ({facts})" in said


def test_the_complete_plugin_runs_as_a_drop_in(tmp_path: Path) -> None:
    """From the page into a folder: bars go in, alerts come out on disk and on the wire."""
    drop_in(tmp_path, "volatility", PLUGINS[0])
    write_config(tmp_path, "  volatility: {window: 2, threshold: 0.0}\n")
    with (tmp_path / "config.yaml").open("a") as file:
        file.write("clock: {speed: 60}\n")
    with running(tmp_path) as process_:
        status_until(tmp_path, lambda shown: _alerts(tmp_path) and {"name": "volatility"}.items() <= shown["plugins"][-1].items())
        assert stop(process_) == 0
    assert all(alert.source == "volatility" and "in one minute" in alert.text for alert in _alerts(tmp_path))
    listed = json.loads(hub(tmp_path, "plugins", "list", "--json").stdout)
    assert [(row["configured"], row["isolated"]) for row in listed if row["name"] == "volatility"] == [(True, True)]


def _alerts(folder: Path) -> list[Alert]:
    from hub.clock import SystemClock
    from hub.runtime.disk.store import SqliteStore

    store = SqliteStore.open(folder / "data" / "tickerml.db", SystemClock(), read_only=True)
    found = [fact for _, fact in store.facts_after(0, (Alert,), 1000) if isinstance(fact, Alert)]
    store.close()
    return found


def test_hook_calls_are_traced_when_the_environment_asks_for_it(tmp_path: Path) -> None:
    """Which hook, with what, and what came back; also where it fails."""
    drop_in(tmp_path, "volatility", PLUGINS[0])
    write_config(tmp_path, "  volatility: {isolated: false}\n")
    quiet = hub(tmp_path, "run", "--for", "1s")
    assert "hook is called" not in quiet.stderr
    traced = hub(tmp_path, "run", "--for", "1s", env={"TICKERML_TRACE_HOOKS": "1"})
    called = [line for line in traced.stderr.splitlines() if '"volatility"' in line and "hook" in line]
    assert any("register_transforms" in line and "hook is called" in line for line in called)
    assert any("register_transforms" in line and "hook has answered" in line and "Transform" in line for line in called)
