"""One bounded question to a web server: capped in size and time, never compressed; and every way it can fail, in words.

For plugins: `answer = await download(hub.http, url, params)`.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from hub.errors import TransientError

LARGEST = 4 * 1024 * 1024
"""Bytes; a body that is longer is given up."""
DEADLINE_S = 15.0
"""Real seconds for a whole answer, however slowly it drips."""


class Unreachable(TransientError):
    """No answer at all came from the host: asking for something else there is pointless now."""


@dataclass(frozen=True)
class Answer:
    """What a host answered, whatever the status."""

    host: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def host_of(url: str) -> str:
    """Host and port, as people read them."""
    return urlsplit(url).netloc


async def download(
    http: httpx.AsyncClient,
    url: str,
    params: Mapping[str, str | int],
    headers: Mapping[str, str] | None = None,
    deadline_s: float = DEADLINE_S,
    body: bytes | None = None,
) -> Answer:
    """GET `url`, or POST `body` (JSON) to it. Unreachable where nothing comes, TransientError where what comes is not to be read."""
    host = host_of(url)
    try:
        async with asyncio.timeout(deadline_s):
            return await _answer(http, host, url, params, headers or {}, deadline_s, body)
    except TimeoutError as error:
        raise Unreachable(f"{host} did not finish its answer within {deadline_s:.0f} s") from error
    except httpx.HTTPError as error:
        raise Unreachable(f"{host}: {_in_words(error)}") from error


async def _answer(
    http: httpx.AsyncClient,
    host: str,
    url: str,
    params: Mapping[str, str | int],
    headers: Mapping[str, str],
    deadline_s: float,
    body: bytes | None,
) -> Answer:
    asked = {"accept-encoding": "identity", "accept": "application/json", **headers}
    if body is not None:
        asked["content-type"] = "application/json"
    question = http.stream(
        *("GET" if body is None else "POST", url),
        params=params or None,
        headers=asked,
        content=body,
        follow_redirects=False,
        timeout=deadline_s,
    )
    async with question as response:
        if (encoding := response.headers.get("content-encoding", "identity")).lower() != "identity":
            raise TransientError(f"{host} sent a compressed body ({printable(encoding)}) that we did not ask for: refused")
        told = bytearray()
        async for piece in response.aiter_bytes():
            told += piece
            if len(told) > LARGEST:
                raise TransientError(f"{host} sent more than {LARGEST // 1024 // 1024} MiB: given up")
        return Answer(host, response.status_code, response.headers, bytes(told))


def printable(text: str, longest: int = 120) -> str:
    """Foreign text for a log: one line, no control characters, shortened."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:longest]).strip()


def _in_words(error: httpx.HTTPError) -> str:
    found = (words for cause in _causes(error) if (words := _cause_in_words(cause)))
    if words := next(found, None):
        return words
    if isinstance(error, httpx.ConnectTimeout):
        return "no connection in time; a firewall, or a broken route?"
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
        return f"its answer broke off, or is not HTTP ({printable(str(error)) or 'reset'})"
    return printable(str(error)) or type(error).__name__


def _cause_in_words(cause: BaseException) -> str | None:
    if isinstance(cause, socket.gaierror):
        return f"its name cannot be resolved (DNS: {cause.strerror}); is this machine online?"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its TLS certificate is not to be trusted ({cause.verify_message}); a proxy, a captive portal, or a wrong clock here?"
    if isinstance(cause, ssl.SSLError):
        return f"TLS failed ({printable(cause.reason or str(cause))})"
    if isinstance(cause, ConnectionRefusedError):
        return "connection refused; is base_url right?"
    if isinstance(cause, OSError) and cause.errno in {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN}:
        return "no route to it; is this machine online?"
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        cause = waiting.pop()
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [cause.__cause__, cause.__context__, *(cause.exceptions if isinstance(cause, BaseExceptionGroup) else ())]
