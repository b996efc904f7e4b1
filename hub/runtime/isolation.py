"""A plugin in a process of its own, seen from the hub: its flows look like any others, and nothing it does can hurt them.

The two processes exchange JSON lines over a socket pair; `hub.runtime.guest` is the other side. A call is
`{"id", "call", ...}`, answered by any number of `{"id", "yield"}` and one `{"id", "done"}` or `{"id", "error"}`.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any

from hub import messages as vocabulary
from hub.errors import Forgotten, PermanentError, SettingsError, TransientError
from hub.flow import Flow, Kinds, Sink, Source, Transform
from hub.messages import Message, Request
from hub.runtime.plugins import Declared, Offer
from hub.settings import KeyPath

LOAD_DEADLINE = 15.0
PING_EVERY = 5.0
PING_DEADLINE = 15.0
MOST_RESTARTS = 5
RESTART_WINDOW = 60.0
LINE_LIMIT = 16 * 1024 * 1024


def pack(message: Message) -> list[Any]:
    """A message as it travels between the processes: the name of its kind, and its fields."""
    return [type(message).__name__, message.model_dump(mode="json")]


def unpack(packed: Sequence[Any]) -> Message:
    """The message that `pack` made; validated, since the other side may be broken."""
    kind = getattr(vocabulary, str(packed[0]), None)
    if not (isinstance(kind, type) and issubclass(kind, Message)):
        raise TypeError(f"{packed[0]!r} is no kind of message")
    return kind.model_validate_json(json.dumps(packed[1]), strict=True)


class IsolatedPlugin:
    """Starts the plugin's process, restarts it when it dies or stops answering, and carries calls to it."""

    def __init__(self, offer: Offer, briefing: dict[str, Any], log: Any) -> None:
        """`briefing`: what the guest needs to build its hub; see `hub.runtime.guest`."""
        self.offer = offer
        self.problems: list[tuple[KeyPath, str]] = []
        """What is wrong with its section of the configuration, as found at the last start."""
        self._briefing = briefing | {"offer": vars(offer)}
        self._log = log
        self._process: Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: dict[int, asyncio.Queue[dict[str, Any]]] = {}
        self._ids = count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting = asyncio.Lock()
        self._started: list[float] = []

    async def start(self) -> Declared:
        """Start the process and hear what the plugin declares. PermanentError, SettingsError: it said no, or nothing in time."""
        declared = await self._start_process()
        flows = [self._flow(number, described) for number, described in enumerate(declared["flows"])]
        return Declared(flows, {verb: partial(self._answer, verb) for verb in declared["answers"]})

    async def stop(self) -> None:
        """End the process: politely first, and after two seconds for sure."""
        for task in list(self._tasks):
            task.cancel()
        if self._writer is not None:
            self._writer.close()
        if self._process is not None and self._process.returncode is None:
            try:
                await asyncio.wait_for(self._process.wait(), 2.0)
            except TimeoutError:
                self._kill()
                await self._process.wait()

    async def _start_process(self) -> dict[str, Any]:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "hub.runtime.guest", str(theirs.fileno())),
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C is for the hub, which then stops its guests
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sys.stderr,
            )
        reader, self._writer = await asyncio.open_connection(sock=ours, limit=LINE_LIMIT)
        self._send(self._briefing)
        try:
            line = await asyncio.wait_for(reader.readline(), LOAD_DEADLINE)
        except TimeoutError:
            self._kill()
            raise PermanentError(
                f"did not finish loading within {LOAD_DEADLINE:g} s; what runs at import or in a hook must be quick"
            ) from None
        if not line:
            raise PermanentError(f"its process ended while it was loaded ({await self._how_it_ended()})")
        declared: dict[str, Any] = json.loads(line)
        if "failed" in declared:
            raise PermanentError(declared["failed"])
        if "problems" in declared:
            self.problems = [(tuple(where), text) for where, text in declared["problems"]]
            raise SettingsError([f"{'.'.join(map(str, where))}: {text}" for where, text in self.problems])
        for work in (self._listen(reader, self._process), self._ping_for_ever(self._process)):
            task = asyncio.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return declared

    def _flow(self, number: int, described: dict[str, Any]) -> Flow:
        name = described["name"]
        consumes, produces = (_kinds(described.get(key, [])) for key in ("consumes", "produces"))
        if described["shape"] == "Source":
            patience = described["stale_after"]
            return Source(name, partial(self._stream, number), produces, stale_after=patience and timedelta(seconds=patience))
        if described["shape"] == "Transform":
            return Transform(name, partial(self._apply, number), consumes, produces, timedelta(seconds=described["deadline"]))
        return Sink(name, partial(self._write, number), consumes, durable=described["durable"], batch=described["batch"])

    async def _stream(self, number: int) -> AsyncIterator[Sequence[Message]]:
        async with aclosing(self._call("stream", flow=number)) as replies:
            async for reply in replies:
                yield [unpack(packed) for packed in reply["yield"]]
                self._send({"id": reply["id"], "next": True})

    async def _apply(self, number: int, message: Message) -> AsyncIterator[Message]:
        async with aclosing(self._call("apply", flow=number, message=pack(message))) as replies:
            async for reply in replies:
                yield unpack(reply["yield"])

    async def _write(self, number: int, batch: Sequence[Message]) -> None:
        async with aclosing(self._call("write", flow=number, messages=[pack(message) for message in batch])) as replies:
            async for _ in replies:
                pass

    async def _answer(self, verb: str, request: Request) -> Any:
        async with aclosing(self._call("answer", verb=verb, request=request.model_dump(mode="json"))) as replies:
            return (await anext(replies))["yield"]

    async def _call(self, call: str, **arguments: Any) -> AsyncGenerator[dict[str, Any], None]:
        await self._ensure_running()
        number, replies = next(self._ids), asyncio.Queue[dict[str, Any]]()
        self._waiting[number] = replies
        try:
            self._send({"id": number, "call": call, **arguments})
            while True:
                reply = await replies.get()
                if "done" in reply:
                    return
                if "error" in reply:
                    raise _error_from(reply["error"])
                yield reply
        finally:
            if self._waiting.pop(number, None) is not None:
                self._send({"id": number, "cancel": True})

    async def _ensure_running(self) -> None:
        async with self._starting:
            if self._process is not None and self._process.returncode is None and self._tasks:
                return
            now = asyncio.get_running_loop().time()
            self._started = [at for at in self._started if now - at < RESTART_WINDOW]
            if len(self._started) >= MOST_RESTARTS:
                raise PermanentError(f"its process ended {MOST_RESTARTS} times within a minute (last: {await self._how_it_ended()})")
            self._started.append(now)
            await self._start_process()

    async def _listen(self, reader: asyncio.StreamReader, process: Process) -> None:
        with suppress(ConnectionError, ValueError):
            while line := await reader.readline():
                reply = json.loads(line)
                if (queue := self._waiting.get(reply.get("id"))) is not None:
                    queue.put_nowait(reply)
        if process.returncode is None:
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 1.0)
            if process.returncode is None:
                self._kill()
                await process.wait()
        ended = {"error": {"class": "TransientError", "text": f"its process ended ({await self._how_it_ended()})"}}
        for queue in self._waiting.values():
            queue.put_nowait(ended)

    async def _ping_for_ever(self, process: Process) -> None:
        while process.returncode is None:
            number, replies = next(self._ids), asyncio.Queue[dict[str, Any]]()
            self._waiting[number] = replies
            self._send({"id": number, "call": "ping"})
            try:
                await asyncio.wait_for(replies.get(), PING_DEADLINE)
            except TimeoutError:
                self._log.warning("its process does not answer and is ended", silent_s=PING_DEADLINE)
                self._kill()
                return
            finally:
                self._waiting.pop(number, None)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), PING_EVERY)

    async def _how_it_ended(self) -> str:
        if self._process is None:
            return "never started"
        try:
            code = await asyncio.wait_for(self._process.wait(), 2.0)
        except TimeoutError:
            self._kill()
            return "it hung up"
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()

    def _send(self, line: dict[str, Any]) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(json.dumps(line).encode() + b"\n")


def _kinds(names: Sequence[str]) -> Kinds:
    return tuple(getattr(vocabulary, name) for name in names)


def _error_from(error: dict[str, Any]) -> Exception:
    if error["class"] in {"TransientError", "Forgotten"}:
        kind = Forgotten if error["class"] == "Forgotten" else TransientError
        return kind(error["text"], retry_after=error.get("retry_after"))
    if error["class"] in {"PermanentError", "SettingsError"}:
        return PermanentError(error["text"])
    return RuntimeError(error["text"])
