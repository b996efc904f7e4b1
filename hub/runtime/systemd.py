"""What systemd wants to know of a service of Type=notify (sd_notify(3)): that it is ready, how it is, and that it lives."""

import os
import socket
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from hub.clock import SystemClock
from hub.flow import Source
from hub.messages import Bar

if TYPE_CHECKING:
    from hub.runtime.app import App

STALE_FOR = timedelta(minutes=15)
"""So long a source of bars may bring none without knowing why, before the hub is started anew."""
DEAF_FOR_S = 120.0
"""So long a connected broker may bring back nothing of what we say."""


class Systemd:
    """The socket that systemd listens on, or nothing where it did not start us."""

    def __init__(self, address: str | None = None, watchdog_us: str | None = None) -> None:
        """Usually from the environment, which no child inherits."""
        self._address = address or os.environ.pop("NOTIFY_SOCKET", "")
        told = watchdog_us or os.environ.pop("WATCHDOG_USEC", "")
        self.every_s = int(told) / 3e6 if told.isdigit() and int(told) else 30.0
        """A third of what it waits for a sign of life."""
        self._clock = SystemClock()

    def tell(self, **states: str) -> None:
        """Such as READY=1. Where nobody listens, nothing happens."""
        if not self._address:
            return
        text = "\n".join(f"{name}={value}" for name, value in states.items())
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
            line.connect(f"\0{self._address[1:]}" if self._address.startswith("@") else self._address)
            line.sendall(text.encode())

    async def keep_telling(self, app: "App") -> None:
        """For ever: a sign of life, as long as there is life. Not given while this loop is held up, either."""
        while True:
            trouble = lifeless(app)
            words = trouble or f"{len(app.members)} plugins, {app.recorder.bars} bars since the start"
            self.tell(STATUS=words, **({} if trouble else {"WATCHDOG": "1"}))
            await self._clock.sleep(self.every_s)


def lifeless(app: "App") -> str | None:
    """Why the hub should rather be started anew, in words. What is known to be away (exchange, broker) is no reason."""
    if app.bus.connected and app.bus.silent_s > DEAF_FOR_S:
        return f"the broker brings nothing back for {app.bus.silent_s:.0f} s"
    now = app.clock.now()
    for name, member in list(app.members.items()):
        if any(isinstance(flow, Source) and Bar in flow.produces for flow in member.declared.flows):
            state = app.watches[name].state
            if state.state == "stale" and now - state.since > STALE_FOR:
                return f"{name} has brought no bar since {state.since:%H:%M} UTC"
    return None
