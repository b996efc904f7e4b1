"""The two sinks: facts, of which none may be missing; and how the hub is doing, of which some may."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from hub import Bar, Hub, HubHealth, Message, PluginState, TransientError
from plugins.influxdb.delivery import Delivery
from plugins.influxdb.lines import lines, nanoseconds
from plugins.influxdb.rollups import Rollups
from plugins.influxdb.settings import InfluxSettings

PIECE = 2_000
"""Facts whose points are made while InfluxDB stores those of the piece before."""
FIRST_PIECE = 500
"""For these InfluxDB waits: so they are fewer."""
LIVE_LINES_HELD = 2_000
"""While InfluxDB is away: some hours of how the hub was doing meanwhile."""

Points = tuple[str, list[str]]
"""A bucket, and the lines that go there."""


class Facts:
    """Writes what the store holds; returns only when InfluxDB has it."""

    def __init__(self, hub: Hub, settings: InfluxSettings, delivery: Delivery) -> None:
        self._hub = hub
        self._settings = settings
        self._delivery = delivery
        self._rollups = Rollups(hub.store)

    async def write(self, facts: Sequence[Message]) -> None:
        await self._delivery.begin()
        now = nanoseconds(self._hub.clock.now())
        edges = [0, *range(FIRST_PIECE, len(facts), PIECE), len(facts)]
        work = [partial(self._points, facts[first:end], now) for first, end in pairwise(edges)]
        work.append(partial(self._longer, [fact for fact in facts if isinstance(fact, Bar)]))
        points: Points = self._settings.bucket, []
        for make in [*work, None]:
            points = await self._bring_and_make(points, make)
        self._delivery.began()

    def remark(self) -> str | None:
        """What InfluxDB would not take."""
        return self._delivery.set_aside.words()

    async def _bring_and_make(self, points: Points, make: Callable[[], Points] | None) -> Points:
        """Bring some points while the next are made; returns, or raises, when both have ended."""
        making = [asyncio.to_thread(make)] if make else []
        outcomes: list[Any] = await asyncio.gather(self._delivery.bring(*points), *making, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return outcomes[1] if make else points

    def _points(self, facts: Sequence[Message], now: int) -> Points:
        return self._settings.bucket, [line for fact in facts for line in lines(fact, now)]

    def _longer(self, bars: Sequence[Bar]) -> Points:
        return self._settings.long, self._rollups.lines(bars)


class Health:
    """Writes how the hub and each plugin is doing: at every change, and every minute so that the series never look dead."""

    def __init__(self, hub: Hub, settings: InfluxSettings, delivery: Delivery) -> None:
        self._hub = hub
        self._settings = settings
        self._delivery = delivery
        self._states: dict[str, PluginState] = {}
        self._waiting: deque[str] = deque(maxlen=LIVE_LINES_HELD)

    async def write(self, messages: Sequence[Message]) -> None:
        now = nanoseconds(self._hub.clock.now())
        for message in messages:
            told = [message]
            if isinstance(message, PluginState):
                self._states[message.name] = message
            elif isinstance(message, HubHealth):
                told += [state for state in self._states.values() if state.state != "stopped"]
            self._waiting += [line for each in told for line in lines(each, now)]
        try:
            await self._delivery.bring(self._settings.bucket, list(self._waiting))
        except TransientError:
            return  # the facts' sink meets the same and says it; these lines go with the next ones
        self._waiting.clear()
