"""How the commands of this machine talk to a running hub: a lock that says it runs, and a socket beside it.

One JSON line in (`{"verb": ..., ...}`), one JSON line out (a `Response`). It works while the broker is down.
"""

import asyncio
import fcntl
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hub.errors import DependencyDown, HubError
from hub.messages import Response

LOCK = "hub.lock"
SOCKET = "hub.sock"
LINE_LIMIT = 4 * 1024 * 1024


@contextmanager
def only_hub(data_dir: Path) -> Iterator[None]:
    """Hold the folder's lock. HubError, with the other's process id, where another hub holds it; or where the folder cannot be used."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(data_dir / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unusable(data_dir, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.read(descriptor, 20).decode() or "unknown"
            raise HubError(f"{data_dir}: another hub (process {owner}) is using it; stop that one, or set another data_dir") from error
        os.truncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)


def hub_runs(data_dir: Path) -> bool:
    """Whether a hub holds the folder's lock."""
    try:
        descriptor = os.open(data_dir / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


async def serve(data_dir: Path, answer: Callable[[str, bytes], Awaitable[Response]]) -> asyncio.Server:
    """Answer commands until the server is closed."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, ValueError):
            line = json.loads(await reader.readline())
            if not isinstance(line, dict):
                raise ValueError("a command is a JSON object")  # noqa: TRY004 - as for a line that is no JSON
            response = await answer(str(line.pop("verb", "")), json.dumps(line).encode())
            writer.write(response.model_dump_json().encode() + b"\n")
            await writer.drain()
        writer.close()

    listening = socket.socket(socket.AF_UNIX)
    try:
        (data_dir / SOCKET).unlink(missing_ok=True)
        with _short_path(data_dir) as folder:
            listening.bind(f"{folder}/{SOCKET}")
        (data_dir / SOCKET).chmod(0o600)
    except OSError as error:
        listening.close()
        raise _unusable(data_dir, error) from error
    return await asyncio.start_unix_server(connected, sock=listening, limit=LINE_LIMIT)


def ask(data_dir: Path, verb: str, **arguments: Any) -> Any:
    """The running hub's answer. DependencyDown if none answers; HubError with its words if it refuses."""
    with socket.socket(socket.AF_UNIX) as client, _short_path(data_dir) as folder:
        client.settimeout(35.0)
        try:
            client.connect(f"{folder}/{SOCKET}")
            client.sendall(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
            line = client.makefile("rb").readline()
            response = Response.model_validate_json(line)
        except (OSError, ValueError) as error:
            raise DependencyDown(f"{data_dir}: the hub that runs there does not answer: {error}") from error
    if response.status == "error":
        raise HubError(response.error or "refused without a reason")
    return response.data


def _unusable(data_dir: Path, error: OSError) -> HubError:
    return HubError(f"{data_dir}: cannot be used as data_dir: {error.strerror}; make it writable for this user, or set data_dir")


@contextmanager
def _short_path(folder: Path) -> Iterator[str]:
    """A name for the folder that fits into a socket's address of 107 bytes."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}" if Path("/proc/self/fd").is_dir() else str(folder)
    finally:
        os.close(descriptor)
