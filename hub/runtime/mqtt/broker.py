"""The embedded broker: amqtt in a process of its own, so that a flood of messages never slows the hub.

`python -m hub.runtime.mqtt.broker HOST PORT` reads one line of JSON from stdin (`username` and `password`, or nulls), prints `ready`
or why not, and ends when stdin does: with the hub, however the hub ends. It keeps nothing on disk; the hub publishes again.
"""

import asyncio
import hmac
import json
import logging
import signal
import sys
from dataclasses import dataclass
from typing import Any

from amqtt.broker import Broker
from amqtt.errors import AMQTTError
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import Session


class OneUser(BaseAuthPlugin):  # type: ignore[misc]
    """Lets in who knows the user name and the password of the configuration; everybody, where it has none."""

    async def authenticate(self, *, session: Session) -> bool | None:
        wanted = self.config.username
        if wanted is None:
            return True
        return _same(session.username, wanted) & _same(session.password, self.config.password)

    @dataclass
    class Config:
        """Both null: no login needed."""

        username: str | None = None
        password: str | None = None


def _same(given: str | None, wanted: str | None) -> bool:
    return hmac.compare_digest((given or "").encode(), (wanted or "").encode())


async def serve(host: str, port: int) -> int:
    """Run the broker until stdin ends; returns the exit code."""
    stdin = await _stdin()
    login: dict[str, Any] = json.loads(await stdin.readline() or b"{}")
    bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    broker = Broker(
        {"listeners": {"default": {"type": "tcp", "bind": bind}}, "plugins": {"hub.runtime.mqtt.broker.OneUser": login}},
    )
    try:
        await broker.start()
    except AMQTTError as error:
        print(str(error).removeprefix("Broker instance can't be started: "), flush=True)  # noqa: T201 - the parent reads it
        return 1
    print("ready", flush=True)  # noqa: T201 - the parent reads it
    while await stdin.readline():
        pass
    return 0


async def _stdin() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def main() -> None:
    """A SIGTERM meant for the hub's whole process group must not end the broker before the hub has said goodbye on it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    logging.basicConfig(level=logging.CRITICAL)
    code = asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
    sys.exit(code)


if __name__ == "__main__":
    main()
