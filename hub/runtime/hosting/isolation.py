"""A plugin in processes of its own, seen from the hub: its flows look like any others, and nothing it does can hurt them."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from datetime import timedelta
from functools import partial
from typing import Any

from hub import messages as vocabulary
from hub.complaints import KeyPath
from hub.errors import HubError, PermanentError, SettingsError
from hub.flow import Check, Desk, Flow, Kinds, Progress, Service, Sink, Source, Transform
from hub.messages import Message, Request
from hub.runtime.hosting.offers import Offer
from hub.runtime.hosting.plugins import Declared
from hub.runtime.hosting.process import LOAD_S, SILENCE_S, GuestProcess, Line

MOST_RESTARTS = 5
RESTART_WINDOW_S = 60.0
LARGEST_BATCH = 1_000
"""Messages that are handed to a sink at once: they travel in one line."""


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
    """Carries calls to the plugin's process, and starts another when it died or did not answer: five times a minute at most."""

    def __init__(self, offer: Offer, briefing: Line, log: Any, *, load_s: float = LOAD_S, silence_s: float = SILENCE_S) -> None:
        """`briefing`: what the guest needs to build its hub; see `guest`. `load_s`, `silence_s`: the patience with it."""
        self.offer = offer
        self.problems: list[tuple[KeyPath, str]] = []
        """What is wrong with its section of the configuration, as found at the last start."""
        self.secrets: list[KeyPath] = []
        """Where in its section secrets stand."""
        self._briefing = briefing | {"offer": vars(offer)}
        self._log = log
        self._patience = {"load_s": load_s, "silence_s": silence_s}
        self._process: GuestProcess | None = None
        self._starting = asyncio.Lock()
        self._started: list[float] = []

    async def start(self) -> Declared:
        """Start the process and hear what the plugin declares. PermanentError, SettingsError: it said no, or nothing in time."""
        declared = await self._start_process()
        return Declared(
            [self._flow(number, described) for number, described in enumerate(declared["flows"])],
            {verb: partial(self._answer, verb) for verb in declared["answers"]},
            [Check(name, partial(self._look, number), needed) for number, (name, needed) in enumerate(declared["checks"])],
        )

    async def stop(self) -> None:
        """End the process, and whatever it started."""
        async with self._starting:
            process, self._process = self._process, None
        if process is not None:
            await process.stop()

    async def _start_process(self) -> Line:
        self._process, said = await GuestProcess.start(self._briefing, **self._patience)
        self.secrets = [tuple(where) for where in said.get("secrets", [])]
        if "failed" in said:
            raise PermanentError(said["failed"])
        if "problems" in said:
            self.problems = [(tuple(where), text) for where, text in said["problems"]]
            raise SettingsError([f"{'.'.join(map(str, where))}: {text}" for where, text in self.problems])
        return said

    def _flow(self, number: int, described: Line) -> Flow:
        name = described["name"]
        consumes, produces = (_kinds(described.get(key, [])) for key in ("consumes", "produces"))
        if described["shape"] == "Source":
            patience = described["stale_after"]
            backfill = partial(self._backfill, number) if described["backfill"] else None
            return Source(name, partial(self._stream, number), produces, patience and timedelta(seconds=patience), backfill)
        if described["shape"] == "Transform":
            deadline = timedelta(seconds=described["deadline"])
            return Transform(name, partial(self._apply, number), consumes, produces, deadline, spread=bool(described["spread"]))
        if described["shape"] == "Service":
            return Service(name, partial(self._serve, number))
        batch = min(described["batch"], LARGEST_BATCH)
        return Sink(name, partial(self._write, number), consumes, durable=described["durable"], batch=batch)

    async def _stream(self, number: int) -> AsyncIterator[Sequence[Message]]:
        async with aclosing(self._call("stream", flow=number)) as replies:
            async for reply in replies:
                yield [unpack(packed) for packed in reply["yield"]]

    async def _backfill(self, number: int, days: int, progress: Progress) -> AsyncIterator[Sequence[Message]]:
        async with aclosing(self._call("backfill", flow=number, days=days)) as replies:
            async for reply in replies:
                yield [unpack(packed) for packed in reply["yield"]]
                progress(*reply["progress"])

    async def _apply(self, number: int, message: Message) -> AsyncIterator[Message]:
        async with aclosing(self._call("apply", flow=number, message=pack(message))) as replies:
            async for reply in replies:
                yield unpack(reply["yield"])

    async def _write(self, number: int, batch: Sequence[Message]) -> None:
        async with aclosing(self._call("write", flow=number, messages=[pack(message) for message in batch])) as replies:
            async for _ in replies:
                pass

    async def _serve(self, number: int, desk: Desk) -> None:
        telling = set[asyncio.Task[None]]()
        try:
            async with aclosing(self._call("serve", flow=number)) as replies:
                async for reply in replies:
                    telling.add(task := asyncio.create_task(self._tell(desk, **reply["yield"])))
                    task.add_done_callback(telling.discard)
        finally:
            for task in list(telling):
                task.cancel()

    async def _tell(self, desk: Desk, question: int, verb: str, values: Line) -> None:
        """Ask what the service asked, and bring it the answer."""
        try:
            told = {"data": await desk.ask(verb, **values)}
        except HubError as error:
            told = {"error": str(error)}
        with suppress(HubError):  # its process has ended meanwhile, which its own call says
            async with aclosing(self._call("told", question=question, told=told)) as replies:
                async for _ in replies:
                    pass

    async def _answer(self, verb: str, request: Request) -> Any:
        async with aclosing(self._call("answer", verb=verb, request=request.model_dump(mode="json"))) as replies:
            return (await anext(replies))["yield"]

    async def _look(self, number: int) -> str:
        async with aclosing(self._call("look", check=number)) as replies:
            return str((await anext(replies))["yield"])

    async def _call(self, call: str, **arguments: Any) -> AsyncGenerator[Line, None]:
        process = await self._running()
        async with aclosing(process.call(call, **arguments)) as replies:
            async for reply in replies:
                yield reply

    async def _running(self) -> GuestProcess:
        async with self._starting:
            if self._process is not None and self._process.alive:
                return self._process
            now = asyncio.get_running_loop().time()
            self._started = [at for at in self._started if now - at < RESTART_WINDOW_S]
            if self._process is None:
                raise PermanentError("its process was stopped")
            how = await self._process.how_it_ended()
            if len(self._started) >= MOST_RESTARTS:
                raise PermanentError(f"its process ended {MOST_RESTARTS} times within a minute (last: {how})")
            self._started.append(now)
            self._log.warning("its process is started again", reason=how)
            await self._process.stop()
            await self._start_process()
            return self._process


def _kinds(names: Sequence[str]) -> Kinds:
    return tuple(getattr(vocabulary, name) for name in names)
