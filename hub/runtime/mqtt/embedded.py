"""Keeps the embedded broker running, for homes and demos that have no other."""

import asyncio
import ipaddress
import json
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from typing import Any

from hub.clock import Clock, SystemClock
from hub.runtime.patience import Reconnection
from hub.settings import MqttSettings

START_S = 20.0
"""Patience with a new broker process, in real seconds; a Raspberry Pi needs three."""
PROBE_S = 2.0


class EmbeddedBroker:
    """The broker's process: started where nothing listens yet, started again when it dies, ended with the hub."""

    def __init__(self, settings: MqttSettings, log: Any, *, network: Clock | None = None) -> None:
        """`network` times the waits between starts: real seconds, unless a test hurries them."""
        self.starts = 0
        self._settings = settings
        self._log = log
        self._network = network or SystemClock()
        self._patience = Reconnection(self._network)
        self._host = "127.0.0.1" if settings.host == "localhost" else settings.host
        self._address = settings.address
        self._process: Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Our own broker runs."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start the broker, and wait until it accepts connections. Does nothing, but says so, where it cannot or need not."""
        if self._settings.tls:
            self._log.warning("the embedded broker does not speak TLS and is not started: set mqtt.tls: false, or run a real broker")
        elif self._settings.on_socket:
            self._log.info(f"the broker is reached by the socket {self._address}; the embedded one is not needed")
        elif await self._somebody_listens():
            self._log.info(f"a broker already listens on {self._address}; the embedded one is not needed")
        elif (trouble := await self._launch()) is None:
            self._log.info(f"the embedded broker listens on {self._address}")
            if self._settings.username is None and not is_loopback(self._host):
                self._log.warning(f"anybody who reaches {self._address} can use the broker: set mqtt.username and mqtt.password")
            self._keeper = asyncio.create_task(self._keep_running(), name="embedded broker")
        else:
            self._log.warning(
                f"the embedded broker cannot listen on {self._address}: {trouble}; set mqtt.embedded: false for a broker elsewhere"
            )

    async def stop(self) -> None:
        """End the broker, and wait until it has gone."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self._end()

    async def _somebody_listens(self) -> bool:
        try:
            async with asyncio.timeout(PROBE_S):
                _, writer = await asyncio.open_connection(self._host, self._settings.port)
        except (OSError, TimeoutError):
            return False
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return True

    async def _launch(self) -> str | None:
        """Start the process; None once it accepts connections, otherwise why it does not, in words."""
        command = (sys.executable, "-m", "hub.runtime.mqtt.broker", self._host, str(self._settings.port))
        self._process = process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, start_new_session=True)
        assert process.stdin is not None  # noqa: S101 - it was asked for
        assert process.stdout is not None  # noqa: S101 - it was asked for
        password = self._settings.password
        login = {"username": self._settings.username, "password": password.get_secret_value() if password else None}
        process.stdin.write(json.dumps(login).encode() + b"\n")
        try:
            async with asyncio.timeout(START_S):
                words = (await process.stdout.readline()).decode(errors="replace").strip()
        except TimeoutError:
            words = f"its process has not started within {START_S:.0f} s"
        if words == "ready":
            self.starts += 1
            return None
        await self._end()
        return words or f"its process ended with code {process.returncode}"

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(1.0):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _keep_running(self) -> None:
        while True:
            begun = self._network.monotonic()
            if self._process is not None:
                code = await self._process.wait()
                self._log.error(f"the embedded broker on {self._address} ended unexpectedly ({_ending(code)}); it is started again")
            await self._network.sleep(self._patience.wait(self._network.monotonic() - begun))
            if (trouble := await self._launch()) is not None:
                self._log.error(f"the embedded broker cannot be started again on {self._address}: {trouble}")


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
