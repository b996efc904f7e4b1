"""Real brokers for tests: mosquitto on a free port, certificates, and a proxy that breaks the line in between."""

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from structlog.testing import LogCapture

MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
FIRST_PORT = 10_000 + os.getpid() * 7919 % 22_000  # 7919: processes begin far from one another
PORTS = itertools.cycle([*range(FIRST_PORT, 32_000), *range(10_000, FIRST_PORT)])
MOSQUITTO_PASSWD = shutil.which("mosquitto_passwd") or "/usr/bin/mosquitto_passwd"


def free_port() -> int:
    """A TCP port on the loopback that nobody listens on, nor will while its server is away.

    From below the range that the kernel gives to those who ask for any port (Linux: 32768 and up), where a client's own end may take it
    meanwhile; each process of a test run counts through numbers of its own.
    """
    for port in PORTS:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("unreachable: the numbers go round")


def wait_for_port(port: int, seconds: float = 10.0) -> None:
    """Until somebody accepts connections there; TimeoutError otherwise."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise TimeoutError(f"nothing listens on port {port}")


class Mosquitto:
    """A real broker in a folder of its own; it can be killed, emptied and started again on the same port."""

    def __init__(
        self,
        folder: Path,
        *,
        conf: str = "",
        users: Mapping[str, str] | None = None,
        acl: str | None = None,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        """`conf`: further lines; `users`: passwords by name; `acl`: an ACL file's text; `certificate`: cert and key."""
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        lines = [
            f"listener {self.port} 127.0.0.1",
            f"allow_anonymous {'false' if users else 'true'}",
            "persistence true",
            f"persistence_location {folder}/",
            f"log_dest file {folder}/mosquitto.log",
            "log_type all",
            "user root",  # only matters to root: stay root, and able to read this folder
            conf,
        ]
        if users:
            passwords = folder / "passwords"
            passwords.touch()
            for name, password in users.items():
                subprocess.run([MOSQUITTO_PASSWD, "-b", str(passwords), name, password], check=True, capture_output=True)
            lines.append(f"password_file {passwords}")
        if acl is not None:
            (folder / "acl").write_text(acl)
            lines.append(f"acl_file {folder}/acl")
        if certificate:
            lines += [f"certfile {certificate[0]}", f"keyfile {certificate[1]}"]
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        (folder / "mosquitto.conf").chmod(0o644)

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        user = ["-c", str(self._folder / "mosquitto.conf")]
        self._process = subprocess.Popen([MOSQUITTO, *user], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_port(self.port)

    def kill(self) -> None:
        """As a power cut would: SIGKILL, nothing saved."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def forget(self) -> None:
        """Delete its database, as a broken card would."""
        (self._folder / "mosquitto.db").unlink(missing_ok=True)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """For a while it neither reads nor writes, and its connections stay open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return (self._folder / "mosquitto.log").read_text(errors="replace")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.kill()


class Proxy:
    """A line to a port that can be cut, shut, or left open without carrying anything (half-open)."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.connections = 0
        self.silent = False
        """While true, bytes in either direction vanish."""
        self.shut = False
        """While true, nobody new is let in."""
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    def cut(self) -> None:
        """Break every connection that is open now."""
        for writer in self._writers:
            writer.transport.abort()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.sleep(0.05)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.shut:
            writer.transport.abort()
            return
        try:
            onward, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        await asyncio.gather(self._carry(reader, back), self._carry(onward, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lost = False  # a stream that lost bytes once never carries anything again: TCP would not deliver what follows either
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                lost = lost or self.silent
                if not lost:
                    writer.write(data)
                    await writer.drain()
        writer.transport.abort()
        self._writers.discard(writer)


class Witness:
    """A client like any other, of which the hub knows nothing: hears everything and can say anything."""

    def __init__(self, port: int, topic_filter: str = "#", *, username: str | None = None, password: str | None = None) -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        """Topic, payload, retained."""
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        if username:
            self._client.username_pw_set(username, password)
        self._client.on_connect = lambda client, *_: client.subscribe(topic_filter, 1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _client, _data, message: self.heard.append((message.topic, message.payload, message.retain))
        self._client.connect_async("127.0.0.1", port)

    def say(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish, and wait until the broker has it."""
        self._client.publish(topic, payload, 1, retain).wait_for_publish(10)

    def shout(self, topic: str, payload: bytes, times: int) -> None:
        """Publish many times as fast as it goes."""
        for _ in range(times):
            info = self._client.publish(topic, payload, 1)
        info.wait_for_publish(60)

    def on(self, topic: str) -> list[bytes]:
        """Payloads heard on one topic, in order."""
        return [payload for heard, payload, _ in list(self.heard) if heard == topic]

    def __enter__(self) -> Self:
        self._client.loop_start()
        assert self._subscribed.wait(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Authority:
    """A certificate authority made for one test."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self.file = folder / f"{name}.pem"
        self._folder = folder
        self._key = folder / f"{name}.key"
        subject = ["-subj", f"/CN={name}", "-keyout", str(self._key), "-out", str(self.file)]
        extension = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"]
        _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", *subject, *extension)

    def certificate(self, name: str, begins: datetime, ends: datetime, host: str = "localhost") -> tuple[Path, Path]:
        """Certificate and key for a broker on `host`, valid between two moments."""
        cert, key, request = (self._folder / f"{name}.{ending}" for ending in ("pem", "key", "csr"))
        _openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={host}", "-keyout", str(key), "-out", str(request))
        config = self._folder / f"{name}.cnf"
        database = self._folder / f"{name}.txt"
        database.touch()
        config.write_text(
            f"[ca]\ndefault_ca=it\n[it]\ndatabase={database}\nnew_certs_dir={self._folder}\nrand_serial=yes\ndefault_md=sha256\n"
            f"policy=any\nx509_extensions=names\n[any]\ncommonName=supplied\n[names]\nsubjectAltName=DNS:{host}\n"
        )
        dates = ["-startdate", f"{begins:%Y%m%d%H%M%SZ}", "-enddate", f"{ends:%Y%m%d%H%M%SZ}"]
        signer = ["-config", str(config), "-cert", str(self.file), "-keyfile", str(self._key), "-in", str(request), "-out", str(cert)]
        _openssl("ca", "-batch", "-notext", *dates, *signer)
        return cert, key


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def captured_log() -> tuple[Any, LogCapture]:
    """A logger, and what is written to it."""
    capture = LogCapture()
    return structlog.wrap_logger(None, processors=[capture]), capture
