"""What flows yield, whoever wrote them: brought into one form, and held against what they said they produce."""

from collections.abc import AsyncGenerator, Awaitable, Sequence
from typing import Any

from hub.flow import Source, Transform
from hub.messages import Message
from hub.runtime.words import shown

LARGEST_BATCH = 50_000
"""Messages that are recorded in one transaction; everybody else waits for it."""


async def iterate(stream: Any) -> AsyncGenerator[Any, None]:
    """`stream` as an asynchronous generator that closes what it reads; TypeError, in words, where it is none."""
    if not hasattr(stream, "__aiter__"):
        if isinstance(stream, Awaitable):
            getattr(stream, "close", lambda: None)()
        raise TypeError(f"must be an asynchronous generator (async def with yield), not {type(stream).__name__}")
    iterator = stream.__aiter__()
    try:
        async for item in iterator:
            yield item
    finally:
        if hasattr(iterator, "aclose"):
            await iterator.aclose()
        elif hasattr(iterator, "close"):
            iterator.close()


def batch_of(flow: Source | Transform, item: Any) -> list[Message]:
    """What a flow yielded, as a batch. TypeError or ValueError, in words, where it is not what the flow said, or too much."""
    if isinstance(item, Message):
        batch: list[Any] = [item]
    elif isinstance(item, Sequence) and not isinstance(item, str | bytes):
        batch = list(item)
    else:
        raise TypeError(f"{flow.name} yielded {shown(item)}, which is neither a message nor a list of messages")
    if len(batch) > LARGEST_BATCH:
        raise ValueError(f"{flow.name} yielded {len(batch)} messages at once; {LARGEST_BATCH} are the most")
    if not all(issubclass(kind, flow.produces) for kind in set(map(type, batch))):
        wrong = next(one for one in batch if not isinstance(one, flow.produces))
        names = ", ".join(kind.__name__ for kind in flow.produces) or "nothing"
        raise TypeError(f"{flow.name} says it produces {names}, but yielded {shown(wrong)}")
    return batch
