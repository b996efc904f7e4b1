"""The broker outside the hub's own topics, as far as one outlet may use it."""

from collections.abc import AsyncIterator
from typing import Any, Protocol

from hub.errors import PermanentError

MOST_TOPICS = 5_000
LARGEST = 256 * 1024


class Wire(Protocol):
    """What is asked of the bus."""

    @property
    def root(self) -> str: ...
    def announce(self, topic: str, payload: bytes, *, rooted: bool = True) -> None: ...
    def subscribe_raw(self, topic_filter: str, *, limit: int = ..., rooted: bool = True) -> Any: ...
    def restate(self) -> None: ...


class OutsideTopics:
    """Topics below one prefix, and no others."""

    def __init__(self, bus: Wire, prefix: str) -> None:
        self._bus = bus
        self._prefix = f"{prefix}/"
        self._topics: set[str] = set()

    @property
    def root(self) -> str:
        """First part of the hub's own topics."""
        return self._bus.root

    def announce(self, topic: str, payload: bytes) -> None:
        """Retained state below the prefix, stated anew at every connection; empty takes it back. PermanentError for any other topic."""
        self._topics.add(topic)
        if not topic or set(topic) & set("+#\0") or topic.startswith("/"):
            raise PermanentError(f"{topic!r} is no topic below {self._prefix}")
        if len(payload) > LARGEST or len(self._topics) > MOST_TOPICS:
            raise PermanentError(f"{self._prefix}{topic}: an outlet may hold {MOST_TOPICS} topics of {LARGEST} bytes each")
        self._bus.announce(self._prefix + topic, payload, rooted=False)

    async def hear(self, topic_filter: str) -> AsyncIterator[tuple[str, bytes, bool]]:
        """Topic below the prefix, payload, and whether it was retained, of what arrives there."""
        with self._bus.subscribe_raw(self._prefix + topic_filter, rooted=False) as arriving:
            async for raw in arriving:
                yield raw.topic.removeprefix(self._prefix), raw.payload, raw.retained

    def restate(self) -> None:
        """Have everything that the broker should hold for the hub published again: states of hub and plugins first, then facts."""
        self._bus.restate()
