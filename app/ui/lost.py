"""The page of an address where there is nothing, or that says what cannot be, for whoever came with a browser: a
sentence and the way back.

Invariant: it says the same of what never was, what is gone and what is somebody else's; programs get the error as JSON.
"""

from __future__ import annotations

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.policy import wants_a_page
from app.settings import ServerSettings

NOWHERE = (HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY)


class Lost:
    """ASGI middleware outside of all that may find nothing."""

    def __init__(self, app: ASGIApp, server: ServerSettings) -> None:
        self._app = app
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not wants_a_page(scope):
            await self._app(scope, receive, send)
            return
        lost = 0

        async def send_found(message: Message) -> None:
            nonlocal lost
            if message["type"] == "http.response.start":
                kind = Headers(raw=message["headers"]).get("content-type", "")
                lost = message["status"] if message["status"] in NOWHERE and kind == "application/json" else 0
            if not lost:
                await send(message)

        await self._app(scope, receive, send_found)
        if lost:
            await self._page(Request(scope), lost)(scope, receive, send)

    def _page(self, request: Request, status: int) -> Response:
        from app.ui import i18n
        from app.ui.templating import environment

        wanted = request.query_params.get("lang") or request.cookies.get("colloquy_lang")
        lang = i18n.pick(wanted, request.headers.get("accept-language", ""), self._server.language)
        page = environment().get_template("shared_gone.html")
        html = page.render(t=lambda key: i18n.text(lang, key), lang=lang, version="", why="lost.text")
        return HTMLResponse(html, status, {"Cache-Control": "no-store"})
