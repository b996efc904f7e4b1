"""The process of one isolated plugin: builds a hub for it, asks what it declares, and runs its flows when the hub calls.

Started by `hub.runtime.hosting.process`; the number of the socket is its only argument. It ends when the hub does.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog
from pydantic import ValidationError

from hub.clock import Clock, FastClock, SystemClock
from hub.complaints import explain
from hub.errors import HubError, PermanentError, SettingsError
from hub.flow import Flow, Outlet, Service, Sink, Source, Transform
from hub.messages import Request
from hub.runtime.discretion import blotted, keep_secret
from hub.runtime.disk.store import SqliteStore
from hub.runtime.hosting.context import PluginHub
from hub.runtime.hosting.isolation import pack, unpack
from hub.runtime.hosting.offers import Offer
from hub.runtime.hosting.plugins import Declared, declare, load, settings_model
from hub.runtime.hosting.process import LINE_LIMIT, OUT_OF_MEMORY
from hub.runtime.hosting.questions import Questions
from hub.runtime.hosting.streams import batch_of, iterate
from hub.runtime.logs import Printed, configure_logs, on_line
from hub.runtime.patience import asked_wait
from hub.runtime.words import describe, reason_of
from hub.secret import secrets_in
from hub.settings import PluginSettings

MEMORY_LIMIT = 1024 * 1024 * 1024
"""Bytes of data a guest may hold; beyond, it gets a MemoryError and nobody else feels it."""
MOST_LINES_A_SECOND = 20
NICE = 5
"""The hub goes first where a guest wants the whole processor."""


class Guest:
    """One plugin at work for the hub on the other end of the socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._wanted: dict[int, asyncio.Event] = {}
        self._declared = Declared()
        self._desk = Questions()
        self._logged: list[float] = []
        self._log: Any = structlog.get_logger()

    async def serve(self) -> None:
        """Load the plugin, then answer calls until the hub hangs up."""
        briefing = json.loads(await self._reader.readline())
        configure_logs(briefing["log"]["level"], briefing["log"]["format"])
        self._log = structlog.get_logger().bind(plugin=briefing["offer"]["name"])
        sys.stdout = Printed(self._log)
        said: dict[str, Any] = {}
        try:
            self._declared = self._load(briefing, said)
        except SettingsError as error:
            said["problems"] = [[[], problem] for problem in error.problems]
        except HubError as error:
            said["failed"] = blotted(str(error))
        if said.keys() & {"problems", "failed"}:
            self._send(said)
            return
        checks = [[check.name, check.needed] for check in self._declared.checks]
        flows = [_described(flow) for flow in self._declared.flows]
        self._send(said | {"flows": flows, "answers": list(self._declared.answers), "checks": checks})
        loop = asyncio.get_running_loop()
        on_line.append(lambda line: self._tell(loop, line))
        while line := await self._reader.readline():
            self._take(json.loads(line))

    def _load(self, briefing: dict[str, Any], said: dict[str, Any]) -> Declared:
        """What the plugin declares; `said` gets the places of secrets, and the problems of its section."""
        manager = load(Offer(**briefing["offer"]))
        model = settings_model(manager)
        try:
            section = model.model_validate(briefing["section"], context={"folder": briefing["folder"]})
        except ValidationError as error:
            said["problems"] = [[list(where), text] for where, text in explain(error, model)]
            return Declared()
        except Exception as error:
            raise PermanentError(f"its settings cannot be checked: {describe(error)}") from error
        secrets = list(secrets_in(section))
        keep_secret(secret for _, secret in secrets)
        said["secrets"] = [list(where) for where, _ in secrets]
        return declare(manager, self._hub(briefing, section))

    def _hub(self, briefing: dict[str, Any], section: PluginSettings) -> PluginHub:
        return PluginHub(
            briefing["offer"]["name"],
            section=section,
            clock=_clock(briefing["clock"]),
            store=SqliteStore.reader(Path(briefing["store"]), SystemClock()),
            symbols=briefing["symbols"],
            data_dir=Path(briefing["data_dir"]),
        )

    def _take(self, line: dict[str, Any]) -> None:
        number = line["id"]
        if "next" in line:
            if number in self._wanted:
                self._wanted[number].set()
        elif "cancel" in line:
            if (task := self._calls.get(number)) is not None:
                task.cancel()
        else:
            task = asyncio.create_task(self._run(number, line))
            self._calls[number] = task
            task.add_done_callback(lambda _: self._calls.pop(number, None))

    async def _run(self, number: int, line: dict[str, Any]) -> None:
        calls: dict[str, Callable[[dict[str, Any]], AsyncIterator[dict[str, Any]]]] = {
            "ping": self._ping,
            "stream": self._stream,
            "backfill": self._backfill,
            "apply": self._apply,
            "write": self._write,
            "serve": self._serve,
            "told": self._told,
            "answer": self._answer,
            "look": self._look,
        }
        self._wanted[number] = wanted = asyncio.Event()
        try:
            async with aclosing(calls[line["call"]](line)) as replies:  # type: ignore[type-var]
                async for reply in replies:
                    self._send({"id": number, **reply})
                    await wanted.wait()
                    wanted.clear()
            self._send({"id": number, "done": True})
        except MemoryError:
            os._exit(OUT_OF_MEMORY)
        except BaseException as error:  # SystemExit too: it is the plugin's, and the hub decides what follows
            if isinstance(error, asyncio.CancelledError) and (task := asyncio.current_task()) and task.cancelling():
                raise
            if not isinstance(error, HubError):
                self._log.error("a bug in the plugin", call=line["call"], exc_info=error)
            self._send({"id": number, "error": _packed_error(error)})
        finally:
            del self._wanted[number]

    async def _ping(self, _line: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Answering at all is the answer."""
        return
        yield {}

    async def _stream(self, line: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        source = self._flow(line, Source)
        async with aclosing(iterate(source.stream())) as stream:
            async for item in stream:
                yield {"yield": [pack(message) for message in batch_of(source, item)]}

    async def _backfill(self, line: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        progress = [0, 0]

        def note(done: int, total: int) -> None:
            progress[:] = [done, total]

        source = self._flow(line, Source)
        async with aclosing(iterate(source.backfill(line["days"], note))) as stream:
            async for item in stream:
                yield {"yield": [pack(message) for message in batch_of(source, item)], "progress": progress}

    async def _apply(self, line: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        transform = self._flow(line, Transform)
        async with aclosing(iterate(transform.apply(unpack(line["message"])))) as outputs:
            async for output in outputs:
                [message] = batch_of(transform, [output])
                yield {"yield": pack(message)}

    async def _write(self, line: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        await self._flow(line, Sink).write([unpack(packed) for packed in line["messages"]])
        return
        yield {}

    async def _serve(self, line: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        running = asyncio.ensure_future(self._flow(line, Service).run(self._desk))
        asking = asyncio.ensure_future(self._desk.asked.get())
        try:
            while not running.done():
                await asyncio.wait([running, asking], return_when=asyncio.FIRST_COMPLETED)
                if asking.done():
                    yield {"yield": asking.result()}
                    asking = asyncio.ensure_future(self._desk.asked.get())
            await running
        finally:
            for task in (running, asking):  # a question of the next run must not be taken by this one
                task.cancel()
            await asyncio.gather(running, asking, return_exceptions=True)

    async def _told(self, line: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        self._desk.tell(line["question"], **line["told"])
        return
        yield {}

    async def _answer(self, line: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        yield {"yield": await self._declared.answers[line["verb"]](Request.model_validate(line["request"]))}

    async def _look(self, line: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        yield {"yield": blotted(str(await self._declared.checks[line["check"]].look()))}

    def _flow(self, line: dict[str, Any], shape: type[Any]) -> Any:
        flow = self._declared.flows[line["flow"]]
        if not isinstance(flow, shape):
            raise TypeError(f"flow {line['flow']} is a {type(flow).__name__}, not a {shape.__name__}")
        return flow

    def _tell(self, loop: asyncio.AbstractEventLoop, line: dict[str, str]) -> None:
        """A line of the log for the hub to show, too; of a flood only some, for all of them stand in stderr."""
        now = time.monotonic()  # noqa: TID251 - real time: it guards the hub
        self._logged = [at for at in self._logged if now - at < 1.0]
        if len(self._logged) < MOST_LINES_A_SECOND:
            self._logged.append(now)
            with contextlib.suppress(RuntimeError):  # the loop has ended, and the process does
                loop.call_soon_threadsafe(self._send, {"log": line})

    def _send(self, line: dict[str, Any]) -> None:
        text = json.dumps(line).encode() + b"\n"
        if len(text) > LINE_LIMIT:
            raise ValueError(f"what it yields at once is too large: {len(text)} bytes, and {LINE_LIMIT} can be carried")
        self._writer.write(text)


def _described(flow: Flow) -> dict[str, Any]:
    described: dict[str, Any] = {"shape": type(flow).__name__, "name": flow.name}
    for key in ("consumes", "produces"):
        described[key] = [kind.__name__ for kind in getattr(flow, key, ())]
    if isinstance(flow, Outlet):
        raise PermanentError(f"outlet {flow.name} can only run in the hub's own process: set isolated: false in the plugin's section")
    if isinstance(flow, Source):
        described |= {"stale_after": flow.stale_after and flow.stale_after.total_seconds(), "backfill": flow.backfill is not None}
    elif isinstance(flow, Transform):
        described |= {"deadline": flow.deadline.total_seconds(), "spread": flow.spread}
    elif isinstance(flow, Sink):
        described |= {"durable": flow.durable, "batch": flow.batch}
    return described


def _packed_error(error: BaseException) -> dict[str, Any]:
    text = reason_of(error) if isinstance(error, HubError) else describe(error)
    kind = next((each.__name__ for each in type(error).__mro__ if each.__module__ == HubError.__module__), "bug")
    return {"class": kind, "text": blotted(text), "retry_after": asked_wait(error)}


def _clock(told: dict[str, Any] | None) -> Clock:
    if told is None:
        return SystemClock()
    return FastClock(datetime.fromisoformat(told["start"]), told["speed"], begun=told["begun"])


def _end_with_parent() -> None:
    """Linux ends this process with the hub's, even where the plugin is in an endless loop; elsewhere the closed socket does."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


async def _main(descriptor: int) -> None:
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=descriptor), limit=LINE_LIMIT)
    try:
        with contextlib.suppress(ConnectionError):
            await Guest(reader, writer).serve()
            await writer.drain()
    except Exception:  # noqa: BLE001 - the end of the process tells the hub; the log tells the reader
        structlog.get_logger().exception("the plugin's process failed")
        os._exit(1)
    writer.close()


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(NICE)
    _end_with_parent()
    asyncio.run(_main(int(sys.argv[1])))
