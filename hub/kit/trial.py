"""A plugin tried in a process of its own: `python -m hub.kit.trial FILE` says what it found as one line of JSON a rule."""

import asyncio
import importlib.util
import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from hub.errors import HubError
from hub.hookspecs import NAMESPACE
from hub.kit.finding import Finding
from hub.testing import FakeDesk

HOOKS_S = 5.0
STOP_S = 5.0
TRIED_S = 1.0


def main() -> None:
    """In the child."""
    import hub.kit.offline  # noqa: F401 - a trial needs no network either

    file = Path(sys.argv[1])
    for finding in _tried(file):
        sys.stdout.write(json.dumps(vars(finding)) + "\n")
        sys.stdout.flush()
    os._exit(0)


def _tried(file: Path) -> Any:
    rule = "it loads, and its hooks are the hub's"
    try:
        manager, module = _loaded(file)
    except HubError as error:
        yield Finding(rule, False, str(error))
        return
    yield Finding(rule, True, "")
    yield from _declared(manager, module)


def _loaded(file: Path) -> tuple[Any, ModuleType]:
    from hub.runtime.hosting.offers import Offer
    from hub.runtime.hosting.plugins import load

    sys.path.insert(0, str(file.parent if file.name != "__init__.py" else file.parent.parent))
    name = file.stem if file.name != "__init__.py" else file.parent.name
    spec = importlib.util.find_spec(name)
    origin = Path(spec.origin).resolve() if spec and spec.origin else None
    target = name if origin == file.resolve() else str(file)
    manager = load(Offer(name, target, str(file)))
    return manager, sys.modules.get(name) or sys.modules[f"custom_plugins.{name}"]


def _declared(manager: Any, _module: ModuleType) -> Any:
    from pydantic import ValidationError

    from hub.flow import Service, Source
    from hub.runtime.hosting.plugins import declare, settings_model
    from hub.testing import FakeHub

    rule, begun = "it works from its section's defaults alone", time.perf_counter()
    try:
        model = settings_model(manager)
        model.model_validate({})
        declared = declare(manager, FakeHub({}))
    except (HubError, ValidationError) as error:
        yield Finding(rule, False, str(error).replace("\n", " "))
        return
    yield Finding(rule, True, "")
    took = time.perf_counter() - begun
    yield Finding("its hooks only declare", took < HOOKS_S, "" if took < HOOKS_S else f"they took {took:.1f} s")
    hooks = [impl for caller in manager.get_hookcallers(_module) or () for impl in caller.get_hookimpls()]
    something = bool(declared.flows or declared.answers or declared.checks or any("commands" in impl.function.__name__ for impl in hooks))
    yield Finding("it does something", something, "" if something else f"no flow, verb, check or command in {NAMESPACE}'s sense")
    for flow in declared.flows:
        if isinstance(flow, Source | Service):
            text = asyncio.new_event_loop().run_until_complete(_stopped(flow))  # asyncio.run would wait for what does not stop
            yield Finding(f"{type(flow).__name__.lower()} {flow.name} stops within {STOP_S:g} s", text is None, text or "")


async def _stopped(flow: Any) -> str | None:
    """Start it, and stop it; what was wrong with its end."""
    waiting = asyncio.ensure_future(anext(flow.stream()) if hasattr(flow, "stream") else flow.run(FakeDesk()))
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), TRIED_S)
    error = waiting.exception() if waiting.done() and not waiting.cancelled() else None
    if error is not None and not isinstance(error, HubError | StopAsyncIteration):
        return f"raises {type(error).__name__} ({error}) where there is no network: raise TransientError from it"
    waiting.cancel()
    done, _ = await asyncio.wait({waiting}, timeout=STOP_S)
    return None if done else "goes on when it is cancelled"


if __name__ == "__main__":
    main()
