"""Answers what is asked: on `<root>/hub/request/<verb>` over MQTT, and by the commands of this machine over a socket."""

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hub.clock import Clock
from hub.complaints import explain
from hub.errors import HubError
from hub.flow import Answer
from hub.market.interval import MINUTE_MS, last_closed, to_ms
from hub.messages import Request, Response
from hub.runtime.recorder import Recorder
from hub.settings import SymbolName

REQUESTS = "hub/request/"
RESPONSES = "hub/response/"
DEADLINE = 30.0
MOST_AT_ONCE = 8


class Answering(Protocol):
    """The part of the bus that requests need."""

    def subscribe_raw(self, topic_filter: str) -> Any:
        """Topic (below the root), payload and retained flag of everything that matches."""

    async def publish_raw(self, topic: str, payload: bytes) -> None:
        """Publish below the root; returns when the broker has it."""


class BarsWanted(BaseModel):
    """What `bars` may be asked."""

    model_config = ConfigDict(extra="ignore")

    symbol: SymbolName
    limit: int = Field(default=60, ge=1, le=1000)


class Requests:
    """The desk where requests come in: one task a request, at most eight at once, each with a time limit."""

    def __init__(self, bus: Answering, answers: Mapping[str, Answer]) -> None:
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
                await self._places.acquire()
                group.create_task(self._respond(topic.removeprefix(REQUESTS), payload))

    async def _respond(self, verb: str, payload: bytes) -> None:
        try:
            response = await self.answer(verb, payload)
            await self._bus.publish_raw(f"{RESPONSES}{verb}", response.model_dump_json(exclude_unset=True).encode())
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
        if (answer := self._answers.get(verb)) is None:
            return Response(status="error", error=f"unknown verb {verb!r}; there are: {', '.join(sorted(self._answers))}", **carried)
        try:
            async with asyncio.timeout(DEADLINE):
                return Response(status="ok", data=await answer(request), **carried)
        except TimeoutError:
            reason = f"no answer within {DEADLINE:g} s"
        except ValidationError as error:
            reason = "; ".join(f"{'.'.join(map(str, where))}: {text}" for where, text in explain(error, Request))
        except HubError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - a plugin's answer may raise anything; the asker is told, the hub goes on
            self._log.warning("answer failed", verb=verb, exc_info=error)
            reason = f"{type(error).__name__}: {error}"
        return Response(status="error", error=reason, **carried)


def store_answers(recorder: Recorder, clock: Clock) -> dict[str, Answer]:
    """The verbs that the store can answer: bars and gaps."""

    async def bars(request: Request) -> Any:
        wanted = BarsWanted.model_validate(request.model_dump())
        newest = await asyncio.to_thread(recorder.store.newest_bar, wanted.symbol)
        last = to_ms(newest.open_time) if newest else last_closed(to_ms(clock.now()))
        found = await asyncio.to_thread(recorder.store.bars, wanted.symbol, last - (wanted.limit - 1) * MINUTE_MS, last)
        return [bar.model_dump(mode="json") for bar in found]

    async def gaps(_request: Request) -> Any:
        return [gap.model_dump(mode="json") for gap in await asyncio.to_thread(recorder.store.gaps)]

    return {"bars": bars, "gaps": gaps}
