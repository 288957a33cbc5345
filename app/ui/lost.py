"""The page of an address that shows no page, for whoever came with a browser: a sentence and the way back.

Invariant: it says the same of what never was, what is gone and what is somebody else's; programs get the error as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
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
        start: Message | None = None
        told = b""

        async def send_found(message: Message) -> None:
            nonlocal start, told
            if message["type"] == "http.response.start" and _is_error(message):
                start = message
            elif start is None:
                await send(message)
            else:
                told += message.get("body", b"")

        await self._app(scope, receive, send_found)
        if start is None:
            return
        error = json.loads(told or b"{}").get("error")
        if error is None:  # it tells something else, such as how the server is
            await send(start)
            await send({"type": "http.response.body", "body": told})
            return
        await self._page(Request(scope), start, error)(scope, receive, send)

    def _page(self, request: Request, start: Message, error: Mapping[str, str]) -> Response:
        from app.ui import i18n
        from app.ui.templating import environment

        wanted = request.query_params.get("lang") or request.cookies.get("colloquy_lang")
        lang = i18n.pick(wanted, request.headers.get("accept-language", ""), self._server.language)
        status = start["status"]
        shown = {"why": "lost.text"}
        if status not in NOWHERE:
            trace = f" ({error['id']})" if status == HTTPStatus.INTERNAL_SERVER_ERROR else ""
            shown = {"heading": "lost.refused", "said": i18n.error(lang, error["code"], error["message"]) + trace}
        page = environment().get_template("shared_gone.html")
        html = page.render(t=lambda key: i18n.text(lang, key), lang=lang, version="", **shown)
        kept = {name: value for name, value in Headers(raw=start["headers"]).items() if name == "retry-after"}
        return HTMLResponse(html, status, {"Cache-Control": "no-store"} | kept)


def _is_error(start: Message) -> bool:
    kind = Headers(raw=start["headers"]).get("content-type", "")
    return bool(start["status"] >= HTTPStatus.BAD_REQUEST and kind == "application/json")
