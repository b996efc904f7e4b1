"""Plugins in processes of their own that do what no plugin should: at import, in a hook, in a flow."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from hub import PermanentError, SettingsError, Sink, Source, Transform, TransientError
from hub.errors import HubError
from hub.messages import Request
from hub.runtime.hosting.isolation import MOST_RESTARTS, IsolatedPlugin
from hub.runtime.hosting.offers import Offer
from hub.runtime.words import DescribedError
from hub.testing import bars
from tests.brokers import captured_log

HEAD = """
import asyncio, ctypes, os, sys, time
from hub import *
from hub.messages import Article
"""
HOOK = """
@hookimpl
def register_transforms(hub):
"""
RETURN = "    return [Transform('t', work, consumes=(Bar,), produces=(Alert,))]\n"


def flow(*lines: str) -> str:
    """A plugin whose transform does this with a bar that closes at 1, and answers any other bar."""
    body = "".join(f"            {line}\n" for line in lines)
    return (
        f"{HEAD}{HOOK}    async def work(bar):\n        if bar.close == 1:\n{body}"
        f"        yield Alert(symbol=bar.symbol, source='x', text=f'pid {{os.getpid()}}')\n{RETURN}"
    )


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[..., Any]:
    """A drop-in with this text, in a process of its own that is gone afterwards."""

    @asynccontextmanager
    async def isolated(text: str, section: dict[str, Any] | None = None, **patience: float) -> AsyncIterator[IsolatedPlugin]:
        file = tmp_path / "x.py"
        file.write_text(text, encoding="utf-8")
        briefing = {
            "section": section or {},
            "folder": str(tmp_path),
            "symbols": ["BTC-USDT"],
            "data_dir": str(tmp_path),
            "store": str(tmp_path / "store.db"),
            "clock": None,
            "log": {"level": "info", "format": "json"},
        }
        guest = IsolatedPlugin(Offer("x", str(file), str(file)), briefing, captured_log()[0], **patience)
        try:
            yield guest
        finally:
            await guest.stop()

    return isolated


async def made_of(transform: Any, close: float) -> list[str]:
    async with aclosing(transform.apply(bars(close)[0])) as outputs:
        return [alert.text async for alert in outputs]


def size_of(file: Path) -> int:
    return file.stat().st_size


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import nothing_there", "ModuleNotFoundError: No module named 'nothing_there' (x.py, line 1)"),
        ("def broken(:", "SyntaxError: "),
        ("raise RuntimeError('needs Python 3.99')", "RuntimeError: needs Python 3.99 (x.py, line 1)"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("import os; os._exit(3)", "its process ended while it was loaded (exit code 3)"),
        ("import ctypes; ctypes.string_at(0)", "its process ended while it was loaded (killed by SIGSEGV)"),
        ("import os; os.abort()", "its process ended while it was loaded (killed by SIGABRT)"),
        ("big = 'x' * 2**31", "cannot be loaded from"),
        ("nothing = 1", "has no hooks: decorate its register_... functions with @hookimpl"),
        (HEAD + "@hookimpl\ndef register_sorces(hub): return []", "unknown hook 'register_sorces'"),
        (HEAD + "@hookimpl\ndef register_sources(hubb): return []", "hook 'register_sources'"),
        (HEAD + HOOK + "    raise ValueError('no')", "register_transforms failed: ValueError: no (x.py, line"),
        (HEAD + HOOK + "    raise SystemExit", "register_transforms failed: SystemExit"),
        (HEAD + HOOK + "    raise PermanentError('wants a licence')", "wants a licence"),
        (HEAD + HOOK + "    os._exit(4)", "its process ended while it was loaded (exit code 4)"),
        (HEAD + HOOK + "    ctypes.string_at(0)", "killed by SIGSEGV"),
        (HEAD + HOOK + "    return [1, 2]", "register_transforms must return a list of Transform, not [1, 2]"),
        (HEAD + HOOK + "    pass", "register_transforms returned nothing"),
        (HEAD + "@hookimpl\ndef register_settings(): return int", "register_settings must return a subclass of PluginSettings"),
    ],
)
async def test_a_plugin_that_cannot_be_loaded_is_named_with_its_reason(plugin: Callable[..., Any], text: str, words: str) -> None:
    """Red, with what to mend; nobody else has felt it."""
    async with plugin(text) as guest:
        with pytest.raises(PermanentError) as refused:
            await guest.start()
    assert words in str(refused.value)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("text", ["while True: pass", "import time; time.sleep(1e6)", HEAD + HOOK + "    while True: pass"])
async def test_a_plugin_that_never_finishes_loading_is_ended(plugin: Callable[..., Any], text: str) -> None:
    """A hook has a deadline."""
    async with plugin(text, load_s=2.0) as guest:
        with pytest.raises(PermanentError, match=r"did not finish loading within 2 s; what runs at import or in a hook must be quick"):
            await guest.start()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("os._exit(3)", r"its process ended \(exit code 3\)"),
        ("os._exit(0)", r"its process ended \(exit code 0\)"),
        ("ctypes.string_at(0)", r"its process ended \(killed by SIGSEGV\)"),
        ("while True: pass", r"its process ended \(it did not answer for 2 s\)"),
        ("time.sleep(1e6)", r"its process ended \(it did not answer for 2 s\)"),
        ("held = [bytearray(2**26) for _ in range(100)]", r"its process ended \(it needed more memory than a plugin may have\)"),
    ],
)
async def test_a_process_that_dies_or_falls_silent_in_a_flow_is_started_again(plugin: Callable[..., Any], line: str, words: str) -> None:
    """The message at hand is trouble that may pass; the next is answered by a new process."""
    async with plugin(flow(line), silence_s=2.0) as guest:
        [transform] = (await guest.start()).flows
        [before] = await made_of(transform, 2.0)
        with pytest.raises(TransientError, match=words):
            await made_of(transform, 1.0)
        [after] = await made_of(transform, 2.0)
        assert before != after


async def test_a_process_that_keeps_dying_is_given_up(plugin: Callable[..., Any]) -> None:
    """Five new ones within a minute, then no more: the card and the processor are spared."""
    async with plugin(flow("os._exit(3)")) as guest:
        [transform] = (await guest.start()).flows
        for _ in range(MOST_RESTARTS + 1):
            with pytest.raises(TransientError):
                await made_of(transform, 1.0)
        with pytest.raises(PermanentError, match=r"its process ended 5 times within a minute \(last: exit code 3\)"):
            await made_of(transform, 2.0)


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        ("raise TransientError('busy', retry_after=90)", TransientError, "busy"),
        ("raise type('Gone', (TransientError,), {})('gone')", TransientError, "gone"),
        ("raise PermanentError('revoked')", PermanentError, "revoked"),
        ("raise SettingsError('no bucket')", SettingsError, "no bucket"),
        ("raise ValueError('oops')", DescribedError, r"ValueError: oops \(x.py, line \d+\)"),
        ("raise SystemExit(1)", DescribedError, "SystemExit: 1"),
        ("raise KeyboardInterrupt", DescribedError, "KeyboardInterrupt"),
        ("raise asyncio.CancelledError", DescribedError, "CancelledError"),
        ("raise type('Odd', (Exception,), {'__str__': lambda self: 1 / 0})", DescribedError, "Odd: its text cannot be shown"),
        ("yield 5", DescribedError, "t says it produces Alert, but yielded 5"),
        ("yield bar", DescribedError, "t says it produces Alert, but yielded Bar"),
    ],
)
async def test_an_error_comes_over_as_what_it_is_and_the_process_lives(
    plugin: Callable[..., Any], line: str, kind: type[Exception], words: str
) -> None:
    """The class says what happens next, in another process too."""
    async with plugin(flow(line)) as guest:
        [transform] = (await guest.start()).flows
        [before] = await made_of(transform, 2.0)
        with pytest.raises(kind, match=words) as raised:
            await made_of(transform, 1.0)
        assert getattr(raised.value, "retry_after", None) == (90 if "90" in line else None) or "retry" not in line
        assert await made_of(transform, 2.0) == [before]


async def test_a_transform_that_is_no_generator_is_told_in_words(plugin: Callable[..., Any]) -> None:
    """`return` instead of `yield` is the first mistake everybody makes."""
    text = HEAD + HOOK + "    async def work(bar):\n        return []\n" + RETURN
    async with plugin(text) as guest:
        [transform] = (await guest.start()).flows
        with pytest.raises(DescribedError, match="must be an asynchronous generator"):
            await made_of(transform, 1.0)


async def test_a_flood_stays_with_the_plugin_until_it_is_asked_for_more(plugin: Callable[..., Any], tmp_path: Path) -> None:
    """Thousands of messages a second must not pile up in the hub's memory."""
    made = tmp_path / "made"
    text = f"""{HEAD}
@hookimpl
def register_sources(hub):
    async def stream():
        while True:
            with open({str(made)!r}, "a") as file:
                file.write("x")
            yield Alert(symbol="BTC-USDT", source="x", text="again")
    return [Source("flood", stream, produces=(Alert,))]
"""
    async with plugin(text) as guest:
        [source] = (await guest.start()).flows
        assert isinstance(source, Source)
        async with aclosing(source.stream()) as stream:  # type: ignore[type-var]
            for taken in range(1, 6):
                await anext(stream)
                await asyncio.sleep(0.2)
                assert size_of(made) == taken


async def test_what_the_hub_no_longer_wants_ends_in_the_plugin(plugin: Callable[..., Any], tmp_path: Path) -> None:
    """A deadline, a restart: the plugin's `finally` runs, and it is ready for the next message."""
    mark = str(tmp_path / "cleaned up")
    text = flow("try:", "    await asyncio.Event().wait()", "finally:", f"    open({mark!r}, 'w').close()")
    async with plugin(text) as guest:
        [transform] = (await guest.start()).flows
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(made_of(transform, 1.0), 0.3)
        assert await made_of(transform, 2.0)
        assert size_of(Path(mark)) == 0


async def test_sources_sinks_checks_and_answers_work_from_another_process(plugin: Callable[..., Any], tmp_path: Path) -> None:
    """A flow looks the same from the hub, wherever it runs."""
    text = f"""{HEAD}
from datetime import timedelta
from hub.testing import bars

async def backfill(days, progress):
    for day in range(1, days + 1):
        progress(day, days)
        yield bars(float(day))

async def stream():
    yield bars(1.0, 2.0)
    await asyncio.Event().wait()

async def write(batch):
    open({str(tmp_path / "taken")!r}, "a").write(f"{{len(batch)}} {{batch[0].close}};")

async def look():
    return "fine"

async def look_in_vain():
    raise TransientError("start it: systemctl start it")

async def greet(request):
    if not request.model_extra:
        raise PermanentError("greet whom?")
    return {{"hello": request.model_extra["name"]}}

@hookimpl
def register_sources(hub): return [Source("s", stream, (Bar,), timedelta(minutes=3), backfill)]
@hookimpl
def register_sinks(hub): return [Sink("k", write, (Bar,), durable=True, batch=7)]
@hookimpl
def register_checks(hub): return [Check("one", look), Check("two", look_in_vain, needed=False)]
@hookimpl
def register_requests(hub): return {{"greet": greet}}
"""
    async with plugin(text) as guest:
        declared = await guest.start()
        source, sink = declared.flows
        assert isinstance(source, Source)
        assert isinstance(sink, Sink)
        assert source.backfill is not None
        assert source.stale_after is not None
        assert source.stale_after.total_seconds() == 180
        async with aclosing(source.stream()) as stream:  # type: ignore[type-var]
            assert await anext(stream) == bars(1.0, 2.0)
        told: list[tuple[int, int]] = []
        past = [batch async for batch in source.backfill(3, lambda done, total: told.append((done, total)))]
        assert (past, told) == ([bars(1.0), bars(2.0), bars(3.0)], [(1, 3), (2, 3), (3, 3)])
        await sink.write(bars(5.0, 6.0))
        assert (tmp_path / "taken").read_text() == "2 5.0;"
        assert (sink.durable, sink.batch) == (True, 7)
        assert [(check.name, check.needed) for check in declared.checks] == [("one", True), ("two", False)]
        assert await declared.checks[0].look() == "fine"
        with pytest.raises(TransientError, match="systemctl start it"):
            await declared.checks[1].look()
        assert await declared.answers["greet"](Request.model_validate({"name": "Ada"})) == {"hello": "Ada"}
        with pytest.raises(HubError, match=r"greet whom\?"):
            await declared.answers["greet"](Request())


async def test_the_section_is_checked_where_its_model_is(plugin: Callable[..., Any]) -> None:
    """The hub never imports a foreign model; problems, and the places of secrets, come over."""
    text = f"""{HEAD}
from pydantic import SecretStr, field_validator
class Settings(PluginSettings):
    limit: int = 5
    token: SecretStr | None = None
    note: str = ""
    @field_validator("note")
    @classmethod
    def check(cls, note):
        return 1 / len(note)
@hookimpl
def register_settings(): return Settings
@hookimpl
def register_transforms(hub):
    settings = hub.settings_for(Settings)
    if settings.limit == 6:
        raise SettingsError("plugins.x.limit: 6 brings bad luck")
    async def work(bar):
        raise ValueError(f"bad token {{settings.token.get_secret_value()}}")
        yield
{RETURN}
"""
    async with plugin(text, {"limit": "many", "lmit": 1}) as guest:
        with pytest.raises(SettingsError):
            await guest.start()
        told = [(("limit",), "'many' will not do: must be a whole number"), (("lmit",), "unknown key; did you mean 'limit'?")]
        assert guest.problems == told
    async with plugin(text, {"limit": 6}) as guest:
        with pytest.raises(SettingsError):
            await guest.start()
        assert guest.problems == [((), "plugins.x.limit: 6 brings bad luck")]
    async with plugin(text, {"note": ""}) as guest:
        with pytest.raises(PermanentError, match="its settings cannot be checked: ZeroDivisionError"):
            await guest.start()
    async with plugin(text, {"token": "canary-7311"}) as guest:
        [transform] = (await guest.start()).flows
        assert guest.secrets == [("token",)]
        with pytest.raises(DescribedError, match=r"bad token \[secret\]"):
            await made_of(transform, 1.0)


async def test_what_a_plugin_started_goes_with_it(plugin: Callable[..., Any]) -> None:
    """A child process of a plugin would outlive it, and hold its port."""
    text = flow("pass").replace("text=f'pid {os.getpid()}'", "text=str(child.pid)")
    text = text.replace(HOOK, "import subprocess\nchild = subprocess.Popen(['sleep', '1000'])\n" + HOOK)
    async with plugin(text) as guest:
        [transform] = (await guest.start()).flows
        [pid] = await made_of(transform, 2.0)
        assert psutil.pid_exists(int(pid))
    for _ in range(500):
        if not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the child is still there")


async def test_the_hubs_own_environment_is_not_the_plugins(plugin: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker's password is none of its business."""
    monkeypatch.setenv("TICKERML__MQTT__PASSWORD", "canary-7311")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    text = flow("pass").replace("text=f'pid {os.getpid()}'", "text=' '.join(os.environ)")
    async with plugin(text) as guest:
        [transform] = (await guest.start()).flows
        [environment] = await made_of(transform, 2.0)
    assert "TICKERML" not in environment
    assert "HTTPS_PROXY" in environment


async def test_what_a_plugin_prints_is_logged_and_breaks_nothing(plugin: Callable[..., Any], capfd: pytest.CaptureFixture[str]) -> None:
    """Stdout belongs to the hub; every line of the log is JSON."""
    text = flow("pass").replace(HOOK, "print('loaded', 'well')\n" + HOOK)
    async with plugin(text) as guest:
        assert isinstance((await guest.start()).flows[0], Transform)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert '"text": "loaded well"' in shown.err
    assert '"event": "printed"' in shown.err


async def test_a_plugin_made_of_several_files_is_dropped_in_as_a_folder(plugin: Callable[..., Any], tmp_path: Path) -> None:
    """`custom_plugins/x/__init__.py` may import its neighbours."""
    folder = tmp_path / "y"
    folder.mkdir()
    (folder / "words.py").write_text("TEXT = 'from a neighbour'\n")
    text = flow("pass").replace(HEAD, f"{HEAD}from .words import TEXT\n").replace("f'pid {os.getpid()}'", "TEXT")
    (folder / "__init__.py").write_text(text)
    async with plugin("") as guest:
        guest._briefing["offer"] = vars(Offer("y", str(folder / "__init__.py"), str(folder)))
        [transform] = (await guest.start()).flows
        assert await made_of(transform, 2.0) == ["from a neighbour"]
