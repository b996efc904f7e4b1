"""Answers what is asked: on `<root>/hub/request/<verb>` over MQTT, and by the commands of this machine over a socket."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import structlog
from pydantic import ValidationError

from hub.complaints import explain
from hub.errors import HubError
from hub.flow import Answer
from hub.messages import Request, Response
from hub.runtime.discretion import blotted
from hub.runtime.words import DescribedError, describe, reason_of, shown
from hub.topics import MAX_PAYLOAD_BYTES

REQUESTS = "hub/request/"
RESPONSES = "hub/response/"
DEADLINE = 30.0
MOST_AT_ONCE = 8
MOST_BYTES = MAX_PAYLOAD_BYTES


class Answering(Protocol):
    """The part of the bus that requests need."""

    def subscribe_raw(self, topic_filter: str) -> Any:
        """Topic (below the root), payload and retained flag of everything that matches."""

    async def publish_raw(self, topic: str, payload: bytes) -> None:
        """Publish below the root; returns when the broker has it."""


class Requests:
    """The desk where requests come in: one task a request, at most eight at once, each with a time limit."""

    def __init__(
        self,
        bus: Answering,
        answers: Callable[[], Mapping[str, Answer]],
        overheard: Callable[[], Mapping[str, Answer] | None] = lambda: None,
    ) -> None:
        """`answers`: the verbs there are now, and who answers them; plugins come and go.

        `overheard`: of those, the ones that are answered over MQTT, where others of the station answer the rest; None: all.
        """
        self._overheard = overheard
        self._bus = bus
        self._answers = answers
        self._places = asyncio.Semaphore(MOST_AT_ONCE)
        self._log = structlog.get_logger().bind(part="requests")

    async def serve(self) -> None:
        """Answer until cancelled."""
        async with asyncio.TaskGroup() as group:
            async for topic, payload, retained in self._bus.subscribe_raw(f"{REQUESTS}#"):
                if retained:
                    self._log.warning("retained request ignored", topic=topic)
                    continue
                verb, ours = topic.removeprefix(REQUESTS), self._overheard()
                if ours is not None and verb not in ours:
                    continue
                await self._places.acquire()
                group.create_task(self._respond(topic.removeprefix(REQUESTS), payload))

    async def ask(self, verb: str, **values: object) -> Any:
        """The answer's data, for a plugin of this hub. HubError with the words of a refusal."""
        response = await self.answer(verb, json.dumps(values).encode())
        if response.status == "error":
            raise HubError(str(response.error))
        return response.data

    async def _respond(self, verb: str, payload: bytes) -> None:
        try:
            response = await self.answer(verb, payload)
            answer = response.model_dump_json(exclude_unset=True).encode()
            if len(answer) > MOST_BYTES:
                words = f"the answer has {len(answer)} bytes, and {MOST_BYTES} can be sent: ask for less"
                answer = response.model_copy(update={"status": "error", "data": None, "error": words}).model_dump_json().encode()
            await self._bus.publish_raw(f"{RESPONSES}{verb}", answer)
        except HubError as error:
            self._log.warning("answer not delivered", verb=verb, reason=str(error))
        finally:
            self._places.release()

    async def answer(self, verb: str, payload: bytes) -> Response:
        """The answer to one request, in time, whatever happens on the way to it."""
        try:
            request = Request.model_validate_json(payload or b"{}")
        except ValidationError as error:
            return Response(status="error", error=f"a request is a JSON object: {explain(error, Request)[0][1]}")
        carried = {} if request.transaction is None else {"transaction": request.transaction}
        answers = self._answers()
        if (answer := answers.get(verb)) is None:
            return Response(status="error", error=f"unknown verb {shown(verb)}; there are: {', '.join(sorted(answers))}", **carried)
        time = asyncio.timeout(DEADLINE)
        try:
            async with time:
                return Response(status="ok", data=_plain(await answer(request)), **carried)
        except ValidationError as error:
            reason = "; ".join(f"{'.'.join(map(str, where))}: {text}" for where, text in explain(error, Request))
        except HubError as error:
            reason = reason_of(error)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's answer may raise anything; the asker is told
            late = time.expired() and isinstance(error, TimeoutError)
            self._log.warning("answer failed", verb=verb, exc_info=None if late or isinstance(error, DescribedError) else error)
            reason = f"no answer within {DEADLINE:g} s" if late else describe(error)
        return Response(status="error", error=blotted(reason), **carried)


def _plain(data: Any) -> Any:
    """`data` as JSON has it; TypeError, in words, where it cannot be written so."""
    try:
        return json.loads(json.dumps(data, allow_nan=False, ensure_ascii=False).encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"the answer cannot be written as JSON: {error}") from error
