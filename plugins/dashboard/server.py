"""The HTTP server: bound here, so that a taken port is said in words; hard to hold up, and it ticks for nobody."""

import asyncio
import socket
import ssl
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from hub.clock import SystemClock
from hub.errors import PermanentError, TransientError
from hub.flow import Desk, Hub
from plugins.dashboard.gate import Gate
from plugins.dashboard.live import Pages
from plugins.dashboard.password import Password
from plugins.dashboard.settings import DashboardSettings
from plugins.dashboard.site import Site
from plugins.dashboard.visitors import Visitors

PATIENCE_S = 10.0
"""With somebody who has begun a request and does not end it."""
MOST_CONNECTIONS = 400
PARTING_S = 1.0


class ImpatientProtocol(H11Protocol):
    """HTTP/1.1 that hangs up on those who take for ever to say what they want."""

    _giving_up: asyncio.TimerHandle | None = None
    _live = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch()

    def handle_events(self) -> None:
        super().handle_events()
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._live = True
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self._live or self.conn.their_state not in {h11.IDLE, h11.SEND_BODY}:
            self._stop_watching()
        elif self._giving_up is None:
            self._giving_up = self.loop.call_later(PATIENCE_S, self.transport.abort)

    def _stop_watching(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None


async def serve(hub: Hub, settings: DashboardSettings, desk: Desk, pages: Pages) -> None:
    """Serve until cancelled. TransientError where the port is taken; PermanentError where the certificate will not do."""
    given = None if settings.password is None else settings.password.get_secret_value()
    password = await asyncio.to_thread(Password, hub.data_dir, given)
    if password.first.exists():
        hub.log.warning(
            "a password was made; it is needed to change anything, and from elsewhere to see anything", file=str(password.first)
        )
    visitors = Visitors(hub.data_dir, password, SystemClock())
    site = Site(hub, desk, pages, visitors, f"tickerml_{settings.port}", secure=settings.certificate_file is not None)
    config = uvicorn.Config(
        Gate(site.app, settings, visitors),
        http=ImpatientProtocol,
        ws="wsproto",
        lifespan="off",
        interface="asgi3",
        proxy_headers=False,
        server_header=False,
        date_header=False,
        access_log=False,
        log_config=None,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=15,
        ws_max_size=1024,
        ws_ping_interval=20.0,
        ws_ping_timeout=20.0,
    )
    config.load()
    if settings.certificate_file and settings.key_file:
        config.ssl = _certified(settings)
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    listening = _bound(settings)
    try:
        await server.startup(sockets=[listening])
        hub.log.info("the page is served", address=settings.address)
        await asyncio.Event().wait()
    finally:
        server.force_exit = True
        for connection in list(server.server_state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(PARTING_S):
                await server.shutdown(sockets=[listening])
        except TimeoutError:
            hub.log.info("some pages did not part in time")


def _bound(settings: DashboardSettings) -> socket.socket:
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((settings.host, settings.port), family=family, backlog=128)
    except OSError as error:
        taken = "is taken by another program" if error.errno == 98 else f"cannot be listened on: {error.strerror or error}"
        raise TransientError(f"{settings.host}:{settings.port} {taken}; set plugins.dashboard.port (or host) to another") from error


def _certified(settings: DashboardSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(str(settings.certificate_file), str(settings.key_file))
    except (OSError, ssl.SSLError) as error:
        words = f"{settings.certificate_file} with {settings.key_file} cannot be used: {error.strerror or error}"
        raise PermanentError(f"{words}; both are PEM files, and the hub must be able to read them") from error
    return context
