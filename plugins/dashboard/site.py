"""Every address of the page, and what is shown there."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from hub.errors import HubError
from hub.flow import Desk, Hub
from plugins.dashboard import assets
from plugins.dashboard.live import Pages
from plugins.dashboard.once import Once
from plugins.dashboard.rendering import environment
from plugins.dashboard.views import accuracy, completeness, models, news
from plugins.dashboard.views.overview import filled, overview
from plugins.dashboard.views.weeks import Weeks
from plugins.dashboard.visitors import LASTS, Visitors

LARGEST_FORM = 10_000
ASKED_KEPT_S, KEPT_S, SLOW_KEPT_S = 1.0, 20.0, 120.0
"""What the hub answers, what takes a while, and what takes a second or more: looked at anew after this."""
VIEWS = {"/": "Overview", "/accuracy": "Accuracy", "/data": "Data", "/news": "News", "/models": "Models", "/system": "System"}
HEARD = {
    "/": {"alert", "bar", "forecast", "score", "sentiment"},
    "/accuracy": {"score"},
    "/data": {"bar"},
    "/news": {"article", "sentiment"},
    "/models": {"modelstate"},
    "/system": {"pluginstate", "bar"},
}
"""What makes an open view look again."""


class Site:
    """The ASGI application behind the gate."""

    def __init__(self, hub: Hub, desk: Desk, pages: Pages, visitors: Visitors, cookie: str, *, secure: bool) -> None:
        """`cookie`: the name of the one that a visitor gets; `secure`: it travels over https alone."""
        self._hub = hub
        self._desk = desk
        self._pages = pages
        self._visitors = visitors
        self._cookie = cookie
        self._secure = secure
        self._templates = environment()
        self._weeks = Weeks(hub.data_dir)
        self._once = Once()
        self.app = Starlette(
            routes=[
                Route("/", self._overview),
                Route("/accuracy", self._accuracy),
                Route("/data", self._data),
                Route("/news", self._news),
                Route("/models", self._models),
                Route("/system", self._system),
                Route("/system/doctor", self._doctor),
                Route("/sign-in", self._sign_in, methods=["GET", "POST"]),
                Route("/sign-out", self._sign_out, methods=["POST"]),
                Route("/models/promote", partial(self._change, "model/promote", "/models"), methods=["POST"]),
                Route("/models/rollback", partial(self._change, "model/rollback", "/models"), methods=["POST"]),
                Route("/system/restart", partial(self._change, "plugin/restart", "/system"), methods=["POST"]),
                Route("/static/{name}", assets.answer),
                WebSocketRoute("/live", self._live),
            ],
            exception_handlers={HubError: self._trouble, HTTPException: self._wrong, Exception: self._bug},
        )

    async def _overview(self, request: Request) -> Response:
        chosen = request.query_params.get("symbol")
        chosen = chosen if chosen in self._hub.symbols else None
        store, now, symbols = self._hub.store, self._hub.clock.now(), self._hub.symbols
        picture = await self._looked(f"overview {chosen} {self._pages.version}", lambda: overview(store, symbols, chosen, now), 5.0)
        health = lines = progress = None
        if picture["starts"] or not all(row["forecasts"] for row in picture["symbols"]):
            health, lines = await asyncio.gather(self._asked("health"), self._asked("log", limit=60))
            progress = filled(lines or ())
        return self._page(request, "overview.html", picture=picture, health=health, lines=(lines or [])[-8:], progress=progress)

    async def _accuracy(self, request: Request) -> Response:
        store, now = self._hub.store, self._hub.clock.now()
        recent = await self._recent()
        weeks = await self._looked("weeks", lambda: self._weeks.rows(store, now), SLOW_KEPT_S)
        return self._page(request, "accuracy.html", **recent, weeks=weeks)

    async def _data(self, request: Request) -> Response:
        store, now, symbols = self._hub.store, self._hub.clock.now(), self._hub.symbols

        def look() -> dict[str, Any]:
            count, found = completeness.gaps(store, symbols)
            return {
                "calendars": [completeness.calendar(store, symbol, now) for symbol in symbols[:20]],
                "gap_count": count,
                "gaps": found,
                "sources": completeness.sources(store, symbols[:20], now),
            }

        return self._page(request, "data.html", health=await self._asked("health"), **await self._looked("data", look))

    async def _news(self, request: Request) -> Response:
        store, now = self._hub.store, self._hub.clock.now()
        assets_ = sorted({symbol.partition("-")[0] for symbol in self._hub.symbols})

        def look() -> dict[str, Any]:
            return {"articles": news.articles(store, assets_), "moods": news.moods(store, assets_, now)}

        return self._page(request, "news.html", **await self._looked("news", look, 2.0))

    async def _models(self, request: Request) -> Response:
        found = await asyncio.to_thread(models.models, self._hub.store)
        return self._page(request, "models.html", models=found, rows=(await self._recent())["rows"])

    async def _system(self, request: Request) -> Response:
        health, lines = await asyncio.gather(self._asked("health"), self._asked("log", limit=60))
        return self._page(request, "system.html", health=health, lines=lines)

    async def _doctor(self, request: Request) -> Response:
        findings = await self._asked("doctor", 15.0)
        return self._page(request, "doctor.html", findings=findings)

    async def _live(self, socket: WebSocket) -> None:
        """One open page's line: it hears, and says nothing."""
        await socket.accept()
        telling = asyncio.ensure_future(self._pages.tell(socket))
        hearing = asyncio.ensure_future(_hear_out(socket))
        await asyncio.wait([telling, hearing], return_when=asyncio.FIRST_COMPLETED)
        for task in (telling, hearing):
            task.cancel()
        await asyncio.gather(telling, hearing, return_exceptions=True)

    async def _sign_in(self, request: Request) -> Response:
        then = request.query_params.get("then", "/")
        then = then if then in VIEWS else "/"
        if request.method == "GET":
            return self._page(request, "sign_in.html", then=then, trouble=None)
        address = request.client.host if request.client else "?"
        if not self._visitors.may_try(address):
            return self._page(request, "sign_in.html", 429, then=then, trouble="Too many tries: wait a minute.")
        typed = (await _form(request)).get("password", "")
        if not await asyncio.to_thread(self._visitors.password.matches, typed):
            self._hub.log.warning("a wrong password was tried on the page", address=address)
            return self._page(request, "sign_in.html", 403, then=then, trouble="That is not the password.")
        self._visitors.password.read()
        answer = RedirectResponse(then, 303)
        key = self._visitors.welcome()
        answer.set_cookie(
            self._cookie, key, max_age=int(LASTS.total_seconds()), httponly=True, samesite="strict", secure=self._secure, path="/"
        )
        return answer

    async def _sign_out(self, request: Request) -> Response:
        await self._checked(request)
        self._visitors.leave(request.cookies.get(self._cookie))
        answer = RedirectResponse("/", 303)
        answer.delete_cookie(self._cookie, path="/")
        return answer

    async def _change(self, verb: str, back: str, request: Request) -> Response:
        """Ask the hub to do something, for somebody who has signed in."""
        form = await self._checked(request)
        values = {name: form[name] for name in ("name",) if name in form}
        self._hub.log.info("asked for on the page", verb=verb, **({"of": values["name"]} if values else {}))
        try:
            await self._desk.ask(verb, **values)
        except HubError as error:
            return self._page(request, "trouble.html", 409, trouble=str(error))
        self._once.forget()
        return RedirectResponse(back, 303)

    async def _checked(self, request: Request) -> dict[str, str]:
        """The form of a visitor who has signed in, sent by a page of ours. HTTPException otherwise."""
        visitor = request.scope["visitor"]
        if visitor is None:
            raise HTTPException(403, "Sign in first: to change something takes the password.")
        form = await _form(request)
        if form.get("token") != visitor.token:
            raise HTTPException(403, "This form is too old, or was sent by a page of somebody else's. Load the page again.")
        return form

    async def _recent(self) -> Any:
        store, now = self._hub.store, self._hub.clock.now()
        return await self._looked("recent", lambda: accuracy.recent(store, now), SLOW_KEPT_S)

    async def _asked(self, verb: str, kept_s: float = ASKED_KEPT_S, **values: object) -> Any:
        """What the hub answers, or None where it does not; many pages at once are one question."""

        async def ask() -> Any:
            try:
                return await self._desk.ask(verb, **values)
            except HubError as error:
                self._hub.log.warning("the hub does not answer the page", verb=verb, reason=str(error))
                return None

        return await self._once.get(f"{verb} {values}", ask, kept_s)

    async def _looked(self, key: str, look: Callable[[], Any], kept_s: float = KEPT_S) -> Any:
        """What `look` finds in the store, in a thread."""
        return await self._once.get(key, lambda: asyncio.to_thread(look), kept_s)

    def _page(self, request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        path = request.url.path
        shared = {
            "views": VIEWS,
            "path": path if path in VIEWS else "",
            "title": VIEWS.get(path, "TickerML"),
            "heard": sorted(HEARD.get(path, ())),
            "visitor": request.scope["visitor"],
            "locked": request.scope["locked"],
            "symbol": request.query_params.get("symbol", ""),
            "symbols": list(self._hub.symbols),
        }
        return HTMLResponse(self._templates.get_template(template).render(shared | values), status)

    async def _trouble(self, request: Request, error: Exception) -> Response:
        """The store cannot be read, or the hub said no."""
        return self._page(request, "trouble.html", 503, trouble=str(error))

    async def _wrong(self, request: Request, error: Exception) -> Response:
        status, words = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, str(error))
        return self._page(request, "trouble.html", status, trouble="There is no such page." if status == 404 else words)

    async def _bug(self, request: Request, error: Exception) -> Response:
        self._hub.log.error("a bug in the page", path=request.url.path, exc_info=error)
        return self._page(request, "trouble.html", 500, trouble="This is a bug in the page. The hub's log says more; it works on.")


async def _hear_out(socket: WebSocket) -> None:
    try:
        while True:
            await socket.receive_text()
    except (WebSocketDisconnect, RuntimeError, KeyError):
        return


async def _form(request: Request) -> dict[str, str]:
    """The fields of a small form. HTTPException where it is none."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_FORM:
            raise HTTPException(413, "That is too long.")
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise HTTPException(415, "A form is expected.")
    try:
        fields = parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=20, errors="strict")
    except ValueError as error:
        raise HTTPException(400, "This form cannot be read.") from error
    return {name: values[-1] for name, values in fields.items()}
