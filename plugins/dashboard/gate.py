"""Everything that is asked of the page comes through here first: by a name that is ours, from a page that is ours, by somebody who may."""

import ipaddress
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from plugins.dashboard.settings import DashboardSettings
from plugins.dashboard.visitors import Visitors

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'self'; "
    "manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
OPEN = ("/sign-in", "/static/")
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "x-forwarded-host")
NEVER_SIGNED_IN = 4401
"""What a live line is closed with."""


class Gate:
    """ASGI middleware."""

    def __init__(self, app: Any, settings: DashboardSettings, visitors: Visitors) -> None:
        self._app = app
        self._settings = settings
        self._visitors = visitors
        name = socket.gethostname().lower()
        self._names = {"localhost", name, f"{name.split('.')[0]}.local", settings.host.lower(), *map(str.lower, settings.hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            return
        asked = HTTPConnection(scope)
        scope["visitor"] = self._visitors.known(asked.cookies.get(self.cookie))
        scope["locked"] = not self._settings.loopback or any(name in asked.headers for name in FORWARDED)
        refusal = self._refusal(asked)
        if refusal is None:
            await self._app(scope, receive, _with_headers(send) if scope["type"] == "http" else send)
        elif scope["type"] == "http":
            await refusal(scope, receive, _with_headers(send))
        else:
            await receive()
            if refusal.status_code == 303:
                await send({"type": "websocket.accept"})  # only then does the page hear the code
                await send({"type": "websocket.close", "code": NEVER_SIGNED_IN, "reason": "sign in first"})
            else:
                await send({"type": "websocket.close", "code": 1008})

    @property
    def cookie(self) -> str:
        """Its name: cookies know no ports, so another station on this machine has another."""
        return f"tickerml_{self._settings.port}"

    def _refusal(self, asked: HTTPConnection) -> Response | None:
        host = asked.headers.get("host", "")
        if not self._is_ours(host):
            words = (
                f"This station does not go by the name {host!r}. If that is right, name it under plugins.dashboard.hosts in config.yaml."
            )
            return PlainTextResponse(words, 421)
        origin = asked.headers.get("origin")
        changes = asked.scope["type"] == "websocket" or asked.scope["method"] not in {"GET", "HEAD"}
        if changes and origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return PlainTextResponse("This was sent by a page of somebody else's.", 403)
        if changes and asked.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return PlainTextResponse("This was sent by a page of somebody else's.", 403)
        path = asked.scope["path"]
        if asked.scope["locked"] and asked.scope["visitor"] is None and not path.startswith(OPEN):
            return RedirectResponse(f"/sign-in?then={quote(path, safe='/')}", 303)
        return None

    def _is_ours(self, host: str) -> bool:
        """Whether a browser that calls us so cannot have been led here by a name server of somebody else's."""
        name = host.rsplit(":", 1)[0] if host.rsplit(":", 1)[-1].isdigit() and not host.endswith("]") else host
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return name.lower().rstrip(".") in self._names
        return True


def _with_headers(send: Send) -> Send:
    async def more(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name.decode().lower() for name, _ in message["headers"]}
            added = {**HEADERS, "cache-control": "no-store"}
            message["headers"] = [
                *message["headers"],
                *((name.encode(), value.encode()) for name, value in added.items() if name not in present),
            ]
        await send(message)

    return more
