"""What other hosts of the same station record is recorded here too, so that plugins find it in a store of their own.

It hears the broker, and asks the station's main hub for bars that went by before.
"""

import asyncio
import json
import secrets
from collections.abc import Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError

from hub.clock import Clock, SystemClock
from hub.errors import HubError, TransientError
from hub.flow import Kinds
from hub.market.interval import MINUTE_MS, from_ms, to_ms
from hub.messages import Bar, Message
from hub.runtime.hosting.streams import iterate
from hub.runtime.requests import REQUESTS, RESPONSES

BACK = timedelta(hours=27)
"""So much of the past is asked for: what a model needs, and an hour."""
PAGE = 500
MOST_PAGES = 4
LOOK_S = 30.0
ANSWER_S = 20.0
SUBSCRIBING_S = 0.5
"""An answer must not come before the broker knows who wants it."""
JUST_NOW_MS = 3 * MINUTE_MS
"""Younger bars are on their way."""
_BARS: TypeAdapter[list[Bar]] = TypeAdapter(list[Bar])


class Wire(Protocol):
    """What is asked of the bus."""

    async def ready(self) -> None: ...
    def subscribe(self, kinds: Any) -> Any: ...
    def subscribe_raw(self, topic_filter: str, *, limit: int = ..., rooted: bool = True) -> Any: ...
    async def publish_raw(self, topic: str, payload: bytes) -> None: ...


class Mirror:
    """For a hub that is a part of a station."""

    def __init__(self, bus: Wire, recorder: Any, clock: Clock, symbols: Sequence[str], kinds: Kinds, log: Any) -> None:
        """`kinds`: what others make."""
        self._bus = bus
        self._recorder = recorder
        self._clock = clock
        self._symbols = symbols
        self._kinds = kinds
        self._log = log
        self._silent = False

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            if Bar in self._kinds:
                group.create_task(self._catch_up())

    async def _listen(self) -> None:
        async with aclosing(iterate(self._bus.subscribe(self._kinds))) as arriving:
            async for message in arriving:
                await self._record([message])

    async def _catch_up(self) -> None:
        with self._bus.subscribe_raw(f"{RESPONSES}bars") as answers:
            while True:
                await self._bus.ready()
                await SystemClock().sleep(SUBSCRIBING_S)
                for symbol in self._symbols:
                    await self._fill(symbol, answers)
                await SystemClock().sleep(LOOK_S)

    async def _fill(self, symbol: str, answers: Any) -> None:
        """Ask for what is missing, from the newest back, as long as it brings something."""
        now = to_ms(self._clock.now())
        last = now - now % MINUTE_MS - JUST_NOW_MS
        for _ in range(MOST_PAGES):
            missing = await asyncio.to_thread(self._recorder.store.missing, symbol, last - BACK // timedelta(milliseconds=1), last)
            if not missing:
                return
            try:
                bars = await self._asked(symbol, missing[-1][1], answers)
            except HubError as error:
                if not self._silent:
                    self._log.warning("the station's main hub gives no bars", reason=str(error))
                self._silent = True
                return
            self._silent = False
            fresh = [bar for bar in bars if any(first <= to_ms(bar.open_time) <= end for first, end in missing)]
            if not fresh:
                return
            await self._record(fresh)

    async def _asked(self, symbol: str, until: int, answers: Any) -> list[Bar]:
        """Bars up to that open time (ms). TransientError where no answer comes."""
        transaction = secrets.token_hex(8)
        question = {"symbol": symbol, "limit": PAGE, "until": from_ms(until).isoformat(), "transaction": transaction}
        await self._bus.publish_raw(f"{REQUESTS}bars", json.dumps(question).encode())
        try:
            async with asyncio.timeout(ANSWER_S):
                async for raw in answers:
                    if (told := _answer_in(raw.payload, transaction)) is not None:
                        return told
        except TimeoutError as error:
            raise TransientError(f"no answer within {ANSWER_S:g} s; does a hub run without --plugins on this broker?") from error
        raise TransientError("the bus has ended")

    async def _record(self, messages: Sequence[Message]) -> None:
        while True:
            try:
                await self._recorder.record(messages)
            except TransientError as error:
                self._log.warning("what others record waits for the disk", reason=str(error))
                await SystemClock().sleep(2.0)
            else:
                return


def _answer_in(payload: bytes, transaction: str) -> list[Bar] | None:
    try:
        told = json.loads(payload)
        if told["transaction"] != transaction:
            return None
        if told["status"] != "ok":
            raise TransientError(str(told["error"])[:300])
        return _BARS.validate_python(told["data"])
    except (ValueError, LookupError, TypeError, ValidationError):
        return None
