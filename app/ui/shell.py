"""The first paint: puts the page's look and a quiet picture of its layout into the HTML that Gradio sends.

Gradio draws nothing until its scripts have run; until then this is what people see. Invariant: only the page itself is
changed, and it loads nothing from elsewhere.
"""

from __future__ import annotations

import re

from markupsafe import escape
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.backend.types import Principal
from app.settings import ServerSettings
from app.ui import i18n
from app.ui.render import Renderer

COOKIE = "colloquy_lang"
_FOREIGN = re.compile(rb'<(?:meta\s+(?:property|name)="(?:og|twitter):|link rel="manifest")[^>]*>\s*')


class Shell:
    """ASGI middleware around the interface."""

    def __init__(self, app: ASGIApp, renderer: Renderer, version: str, server: ServerSettings) -> None:
        self._app = app
        self._renderer = renderer
        self._version = version
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        lang = self._lang(Headers(scope=scope))
        start: Message | None = None
        body = b""

        async def send_shell(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                return
            body += message.get("body", b"")
            if message.get("more_body") or start is None:
                return
            page = self._dress(body, lang, self._who(scope))
            headers = MutableHeaders(scope=start)
            headers["content-length"] = str(len(page))
            headers["cache-control"] = "no-store"
            await send(start)
            await send({"type": "http.response.body", "body": page})

        # Compression would hide the page from us; it is small, and the scripts behind it are still compressed.
        plain = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
        await self._app({**scope, "headers": plain}, receive, send_shell)

    def _dress(self, body: bytes, lang: i18n.Lang, who: str) -> bytes:
        head = self._renderer.page("head", lang, version=self._version).encode()
        boot = self._renderer.page("boot", lang).encode()
        body = _FOREIGN.sub(b"", body).replace(b'lang="en"', f'lang="{lang}" data-lang="{lang}"{who}'.encode(), 1)
        body = body.replace(b"shrink-to-fit=no", b"viewport-fit=cover, interactive-widget=resizes-content", 1)
        body = body.replace(b"<style>", head + b"<style>", 1)
        return body.replace(b"<gradio-app", boot + b"<gradio-app", 1)

    def _who(self, scope: Scope) -> str:
        """The role and, where there are accounts, the name (none for a guest), as attributes of the page."""
        principal: Principal = scope["state"]["principal"]
        name = f' data-user="{escape(principal.name)}"' if self._server.mode == "accounts" else ""
        return f'{name} data-role="{principal.role}"'

    def _lang(self, headers: Headers) -> i18n.Lang:
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE)
        return i18n.pick(cookie, headers.get("accept-language", ""), self._server.language)
