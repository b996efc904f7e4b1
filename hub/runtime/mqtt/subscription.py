"""Messages on their way to one reader: a bounded queue that never holds up the bus, and never says the same thing twice."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Generic, NamedTuple, Self, TypeVar

from hub.messages import Bar, Message, ModelChunk

MESSAGES_HELD = 1_000
RAW_HELD = 100
TOPICS_REMEMBERED = 20_000

Item = TypeVar("Item")


class Raw(NamedTuple):
    """A message as it stood on the wire."""

    topic: str
    """As subscribed to: below the root, unless the subscription was made outside it."""
    payload: bytes
    retained: bool


class Subscription(Generic[Item]):
    """Items as they arrive: `async for message in subscription`. It ends when it, or the bus, is closed.

    A reader that falls `limit` items behind loses the oldest; `dropped` counts them, but for bars, which are on disk.
    """

    def __init__(self, filters: Iterable[str], limit: int, on_close: Callable[["Subscription[Item]"], None]) -> None:
        """`filters`: whole topic filters, as the broker gets them."""
        self.filters = tuple(filters)
        self.dropped = 0
        self._limit = limit
        self._on_close = on_close
        self._items: deque[Item] = deque()
        self._arrived = asyncio.Event()
        self._closed = False

    def put(self, item: Item) -> Item | None:
        """Add an item; returns the oldest, if that had to go for it."""
        gone = self._items.popleft() if len(self._items) >= self._limit else None
        self.dropped += gone is not None and not isinstance(gone, Bar)
        self._items.append(item)
        self._arrived.set()
        return gone

    def close(self) -> None:
        """No more items; whoever waits for one is told."""
        if not self._closed:
            self._closed = True
            self._arrived.set()
            self._on_close(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        while not self._items:
            if self._closed:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        return self._items.popleft()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.close()


class MessageSubscription(Subscription[Message]):
    """Decoded messages of some kinds, without the repetitions that MQTT is free to make."""

    def __init__(
        self, kinds: Iterable[type[Message]], filters: Iterable[str], limit: int, on_close: Callable[[Subscription[Message]], None]
    ) -> None:
        super().__init__(filters, limit, on_close)
        self.kinds = frozenset(kinds)
        self._newest: dict[str, Message] = {}

    def offer(self, topic: str, message: Message) -> Message | None:
        """Add a message, unless it is the one its topic last brought, or a bar that is not newer. Returns one that had to go for it."""
        if isinstance(message, ModelChunk):  # large, and asked for: another of the same is no repetition
            return self.put(message)
        last = self._newest.get(topic)
        if last == message or (isinstance(last, Bar) and isinstance(message, Bar) and message.open_time <= last.open_time):
            return None
        if len(self._newest) >= TOPICS_REMEMBERED:
            self._newest.clear()
        self._newest[topic] = message
        return self.put(message)
