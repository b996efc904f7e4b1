"""One life of an isolated plugin's process: from its start, over the calls it is asked to do, to its end.

The two processes exchange JSON lines over a socket pair; `hub.runtime.hosting.guest` is the other side. A call is
`{"id", "call", ...}`, answered by any number of `{"id", "yield"}` and one `{"id", "done"}` or `{"id", "error"}`. After a
`yield` the plugin waits for `{"id", "next"}`: whatever it makes, no more than one of it is on its way.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator
from contextlib import suppress
from itertools import count
from typing import Any

from hub import errors
from hub.config_files import ENV_PREFIX
from hub.errors import PermanentError, TransientError
from hub.runtime.logs import keep_line
from hub.runtime.words import DescribedError

LOAD_S = 15.0
"""Patience with the import and the hooks, in real seconds."""
SILENCE_S = 15.0
"""How long it may not answer a ping, in real seconds."""
PING_EVERY_S = 5.0
LINE_LIMIT = 16 * 1024 * 1024
OUT_OF_MEMORY = 97
"""The exit code by which a guest says so itself."""

Line = dict[str, Any]


class GuestProcess:
    """A plugin's process. It is never mended: when it has ended, another is started."""

    def __init__(self, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, silence_s: float) -> None:
        """Use `start`."""
        self._process = process
        self._reader = reader
        self._writer = writer
        self._silence_s = silence_s
        self._waiting: dict[int, asyncio.Queue[Line]] = {}
        self._ids = count(1)
        self._tasks: list[asyncio.Task[None]] = []
        self._silent = False

    @classmethod
    async def start(cls, briefing: Line, *, load_s: float = LOAD_S, silence_s: float = SILENCE_S) -> "tuple[GuestProcess, Line]":
        """A process that has loaded its plugin, and what it said then. PermanentError if it ended, or said nothing in time."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "hub.runtime.hosting.guest", str(theirs.fileno())),
                env={name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
                | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C is for the hub, which then stops its guests
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sys.stderr,
            )
        guest = cls(process, *await asyncio.open_connection(sock=ours, limit=LINE_LIMIT), silence_s)
        try:
            return guest, await guest._hear_first(briefing, load_s)
        except BaseException:
            await guest.stop()
            raise

    @property
    def alive(self) -> bool:
        """It has not ended, and somebody hears what it says."""
        return self._process.returncode is None and not any(task.done() for task in self._tasks)

    async def call(self, call: str, **arguments: Any) -> AsyncGenerator[Line, None]:
        """What the plugin yields for one call. Raises what it raised, or TransientError when its process ends meanwhile."""
        number, replies = next(self._ids), asyncio.Queue[Line]()
        self._waiting[number] = replies
        try:
            if not self.alive:
                raise TransientError(f"its process ended ({await self.how_it_ended()})")
            self._send({"id": number, "call": call, **arguments})
            while True:
                reply = await replies.get()
                if "done" in reply:
                    return
                if "error" in reply:
                    raise _error_from(reply["error"])
                yield reply
                self._send({"id": number, "next": True})
        finally:
            if self._waiting.pop(number, None) is not None:
                self._send({"id": number, "cancel": True})

    async def stop(self) -> None:
        """End it: politely first where it has loaded, and after two seconds for sure; whatever it started goes with it."""
        for task in self._tasks:
            task.cancel()
        self._hang_up("its process was stopped")
        self._writer.close()
        if self._tasks:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), 2.0)
        self._kill()
        await self._process.wait()

    async def how_it_ended(self) -> str:
        """The end of its process, in words."""
        try:
            code = await asyncio.wait_for(self._process.wait(), 2.0)
        except TimeoutError:
            self._kill()
            return "it hung up"
        if self._silent:
            return f"it did not answer for {self._silence_s:g} s"
        if code == OUT_OF_MEMORY:
            return "it needed more memory than a plugin may have"
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    async def _hear_first(self, briefing: Line, load_s: float) -> Line:
        self._send(briefing)
        try:
            line = await asyncio.wait_for(self._reader.readline(), load_s)
        except TimeoutError:
            raise PermanentError(f"did not finish loading within {load_s:g} s; what runs at import or in a hook must be quick") from None
        if not line:
            raise PermanentError(f"its process ended while it was loaded ({await self.how_it_ended()})")
        declared: Line = json.loads(line)
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._ping_for_ever())]
        return declared

    async def _listen(self) -> None:
        with suppress(ConnectionError, ValueError, TypeError, AttributeError):  # what is no line of ours ends it, too
            while line := await self._reader.readline():
                reply = json.loads(line)
                if "log" in reply:
                    keep_line(reply["log"])
                elif (queue := self._waiting.get(reply.get("id"))) is not None:
                    queue.put_nowait(reply)
        self._hang_up(f"its process ended ({await self.how_it_ended()})")

    async def _ping_for_ever(self) -> None:
        while self._process.returncode is None:
            number, replies = next(self._ids), asyncio.Queue[Line]()
            self._waiting[number] = replies
            self._send({"id": number, "call": "ping"})
            try:
                await asyncio.wait_for(replies.get(), self._silence_s)
            except TimeoutError:
                self._silent = True
                self._kill()
                return
            finally:
                self._waiting.pop(number, None)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), min(PING_EVERY_S, self._silence_s))

    def _hang_up(self, words: str) -> None:
        for queue in self._waiting.values():
            queue.put_nowait({"error": {"class": "TransientError", "text": words}})

    def _kill(self) -> None:
        """It leads a process group of its own: children that it left behind go with it."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _send(self, line: Line) -> None:
        if not self._writer.is_closing():
            self._writer.write(json.dumps(line).encode() + b"\n")


def _error_from(error: Line) -> Exception:
    kind: Any = getattr(errors, error["class"], DescribedError)
    more = {"retry_after": error.get("retry_after")} if issubclass(kind, TransientError) else {}
    made: Exception = kind(error["text"], **more)
    return made
