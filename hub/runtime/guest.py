"""The process of one isolated plugin: builds a hub for it, asks what it declares, and runs its flows when the hub calls.

Started by `hub.runtime.isolation`; the number of the socket is its only argument. It ends when the hub does.
"""

import asyncio
import contextlib
import ctypes
import json
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hub.clock import Clock, FastClock, SystemClock
from hub.complaints import explain
from hub.errors import HubError
from hub.flow import Flow, Sink, Source, Transform
from hub.messages import Message, Request
from hub.runtime.context import PluginHub
from hub.runtime.isolation import LINE_LIMIT, pack, unpack
from hub.runtime.logs import configure_logs
from hub.runtime.plugins import Declared, Offer, declare, describe, load, settings_model
from hub.runtime.store import SqliteStore

MEMORY_LIMIT = 1024 * 1024 * 1024
"""Bytes of data a guest may hold; beyond, it gets a MemoryError and nobody else feels it."""


class Guest:
    """One plugin at work for the hub on the other end of the socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._acknowledged: dict[int, asyncio.Event] = {}
        self._declared = Declared()

    async def serve(self) -> None:
        """Load the plugin, then answer calls until the hub hangs up."""
        briefing = json.loads(await self._reader.readline())
        configure_logs(briefing["log"]["level"], briefing["log"]["format"])
        try:
            self._declared = self._load(briefing)
        except ValidationError as error:
            self._send({"problems": [[list(where), text] for where, text in explain(error, self._model)]})
            return
        except HubError as error:
            self._send({"failed": str(error)})
            return
        self._send({"flows": [_described(flow) for flow in self._declared.flows], "answers": list(self._declared.answers)})
        while line := await self._reader.readline():
            self._take(json.loads(line))

    def _load(self, briefing: dict[str, Any]) -> Declared:
        manager = load(Offer(**briefing["offer"]))
        self._model = settings_model(manager)
        section = self._model.model_validate(briefing["section"])
        hub = PluginHub(
            briefing["offer"]["name"],
            section=section,
            clock=_clock(briefing["clock"]),
            store=SqliteStore.reader(Path(briefing["store"]), SystemClock()),
            symbols=briefing["symbols"],
            data_dir=Path(briefing["data_dir"]),
        )
        return declare(manager, hub)

    def _take(self, line: dict[str, Any]) -> None:
        number = line["id"]
        if "next" in line:
            self._acknowledged[number].set()
        elif "cancel" in line:
            if (task := self._calls.get(number)) is not None:
                task.cancel()
        else:
            task = asyncio.create_task(self._run(number, line))
            self._calls[number] = task
            task.add_done_callback(lambda _: self._calls.pop(number, None))

    async def _run(self, number: int, line: dict[str, Any]) -> None:
        calls: dict[str, Callable[[int, dict[str, Any]], Any]] = {
            "ping": self._ping,
            "stream": self._stream,
            "apply": self._apply,
            "write": self._write,
            "answer": self._answer,
        }
        try:
            await calls[line["call"]](number, line)
            self._send({"id": number, "done": True})
        except BaseException as error:  # SystemExit too: it is the plugin's, and the hub decides what follows
            if isinstance(error, asyncio.CancelledError) and (task := asyncio.current_task()) and task.cancelling():
                raise
            if not isinstance(error, HubError):
                traceback.print_exception(error)
            self._send({"id": number, "error": _packed_error(error)})

    async def _ping(self, _number: int, _line: dict[str, Any]) -> None:
        """Answering at all is the answer."""

    async def _stream(self, number: int, line: dict[str, Any]) -> None:
        resumed = self._acknowledged[number] = asyncio.Event()
        source = self._flow(line, Source)
        try:
            async with aclosing(source.stream()) as stream:
                async for item in stream:
                    batch = [item] if isinstance(item, Message) else list(item)
                    self._send({"id": number, "yield": [pack(message) for message in batch]})
                    await resumed.wait()
                    resumed.clear()
        finally:
            del self._acknowledged[number]

    async def _apply(self, number: int, line: dict[str, Any]) -> None:
        transform = self._flow(line, Transform)
        async for output in transform.apply(unpack(line["message"])):
            self._send({"id": number, "yield": pack(output)})

    async def _write(self, _number: int, line: dict[str, Any]) -> None:
        sink = self._flow(line, Sink)
        await sink.write([unpack(packed) for packed in line["messages"]])

    async def _answer(self, number: int, line: dict[str, Any]) -> None:
        answer = self._declared.answers[line["verb"]]
        self._send({"id": number, "yield": await answer(Request.model_validate(line["request"]))})

    def _flow(self, line: dict[str, Any], shape: type[Any]) -> Any:
        flow = self._declared.flows[line["flow"]]
        if not isinstance(flow, shape):
            raise TypeError(f"flow {line['flow']} is a {type(flow).__name__}, not a {shape.__name__}")
        return flow

    def _send(self, line: dict[str, Any]) -> None:
        self._writer.write(json.dumps(line).encode() + b"\n")


def _described(flow: Flow) -> dict[str, Any]:
    described: dict[str, Any] = {"shape": type(flow).__name__, "name": flow.name}
    for key in ("consumes", "produces"):
        described[key] = [kind.__name__ for kind in getattr(flow, key, ())]
    if isinstance(flow, Source):
        described["stale_after"] = flow.stale_after and flow.stale_after.total_seconds()
    elif isinstance(flow, Transform):
        described["deadline"] = flow.deadline.total_seconds()
    else:
        described |= {"durable": flow.durable, "batch": flow.batch}
    return described


def _packed_error(error: BaseException) -> dict[str, Any]:
    text = str(error) if isinstance(error, HubError) else describe(error)
    return {"class": type(error).__name__, "text": text, "retry_after": getattr(error, "retry_after", None)}


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
    with contextlib.suppress(ConnectionError):
        await Guest(reader, writer).serve()
        await writer.drain()
    writer.close()


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _end_with_parent()
    asyncio.run(_main(int(sys.argv[1])))
