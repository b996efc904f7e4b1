"""The hub's desk as a guest has it: what its services ask crosses to the hub, which answers."""

import asyncio
from itertools import count
from typing import Any

from hub.errors import HubError


class Questions:
    """Asked one after the other, each answered when the hub has its answer."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._numbers = count(1)

    async def ask(self, verb: str, **values: object) -> Any:
        """The answer's data. HubError with the words of a refusal."""
        number, waiting = next(self._numbers), asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        self.asked.put_nowait({"question": number, "verb": verb, "values": values})
        try:
            return await waiting
        finally:
            del self._waiting[number]

    def tell(self, question: int, data: Any = None, error: str | None = None) -> None:
        """What the hub answers."""
        if (waiting := self._waiting.get(question)) is None or waiting.done():
            return
        if error is None:
            waiting.set_result(data)
        else:
            waiting.set_exception(HubError(error))
