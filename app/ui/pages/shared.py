"""The page behind a share link: read by whoever has it, copied and run again by whoever the server recognises.

Invariant: what is behind no link (any more) is answered the same on every address here, whatever the reason; nothing
asks for a cookie before somebody wants something of their own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote

from fastapi import FastAPI, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.requests import cookie_parser

from app.api.access import Address
from app.api.errors import HttpError, fields
from app.api.share import address_of_share
from app.backend.aside import Aside
from app.backend.errors import NotFound
from app.backend.records import Generation
from app.backend.service import Backend
from app.backend.shares.snapshots import Opened
from app.backend.types import Principal
from app.policy import LOG_IN
from app.security import allow_elsewhere, allow_frames
from app.settings import ServerSettings
from app.ui import i18n
from app.ui.i18n import Lang
from app.ui.moments import when
from app.ui.picture import picture
from app.ui.public import HEADLINE_CHARS, PublicRenderer, excerpt, headline, methods
from app.ui.render import drawn
from app.ui.shell import COOKIE
from app.ui.turn import LiveTurns
from app.ui.view import of_generation

SPECTATORS = 100
"""So many are served each patch at once; more come back for the next one."""
_PRIVATE = {"Cache-Control": "no-store", "X-Robots-Tag": "noindex"}
_STREAM = {**_PRIVATE, "X-Accel-Buffering": "no"}


class SharedPages:
    """Answers on `/s/`. What needs somebody recognised says how to log in and comes back."""

    def __init__(self, backend: Backend, renderer: PublicRenderer, version: str, server: ServerSettings) -> None:
        self._backend = backend
        self._shares = backend.shares
        self._renderer = renderer
        self._live = LiveTurns(backend, renderer)
        self._version = version
        self._server = server
        self._drawing = Aside[bytes]("share picture")

    def lang(self, request: Request) -> Lang:
        wanted = request.query_params.get("lang") or cookie_parser(request.headers.get("cookie", "")).get(COOKIE)
        return i18n.pick(wanted, request.headers.get("accept-language", ""), self._server.language)

    async def page(self, request: Request, token: str) -> Response:
        lang = self.lang(request)
        try:
            opened = await self._shares.opened(token)
        except NotFound:
            return self.gone(lang)
        if framed := request.query_params.get("embed") == "1":
            allow_frames(request, self._server.embed_origins)
        visitor = _visitor(request)
        await self._shares.viewed(opened, visitor.id if visitor else "")
        shown = opened.snapshot
        chars = sum(len(answer.answer) for answer in shown.answers())
        turns = await drawn(chars, self._renderer.turns, shown, lang)
        html = self._renderer.page(
            "shared",
            lang,
            version=self._version,
            token=token,
            kind=shown.kind,
            asked=shown.kind == "chat" or len(shown.turns[0].question) > HEADLINE_CHARS,
            turns=turns,
            title=headline(shown),
            excerpt=excerpt(shown, lang),
            url=address_of_share(request, token),
            made=opened.share.created_at,
            expires=opened.share.expires_at,
            when=when,
            live=bool(opened.live),
            framed=framed,
            then=request.query_params.get("then") == "fork" and visitor is not None,
        )
        return HTMLResponse(html, headers=_PRIVATE)

    def gone(self, lang: Lang) -> Response:
        """The same for what was revoked, has expired, was deleted or never was."""
        html = self._renderer.page("shared_gone", lang, version=self._version)
        return HTMLResponse(html, HTTPStatus.NOT_FOUND, _PRIVATE)

    async def picture(self, request: Request, token: str) -> Response:
        opened = await self._shares.opened(token)
        shown, lang = opened.snapshot, self.lang(request)
        words = (i18n.text(lang, f"shared.{shown.kind}"), headline(shown), excerpt(shown, lang))
        allow_elsewhere(request)
        made_by = " · ".join(methods(shown, self._renderer))
        png = await self._drawing.run(lambda: picture(*words, made_by))
        return Response(png, media_type="image/png", headers=_PRIVATE)

    async def live(self, token: str, key: str, lang: Lang) -> Response:
        """An answer that is being written, for `assets/stream.js`; of one that has ended the whole."""
        opened = await self._shares.opened(token)
        _, answer = opened.snapshot.find(key)
        patches = self._patches(opened, answer, token, lang)
        return StreamingResponse(patches, media_type="text/event-stream", headers=_STREAM)

    async def _patches(self, opened: Opened, answer: Generation, token: str, lang: Lang) -> AsyncIterator[str]:
        key = answer.id
        origin = self._renderer.origin(answer)
        if key not in opened.live:
            state = of_generation(answer)
            whole = {"html": self._renderer.answer(state, origin, lang), "end": state.phase}
            yield f"data: {json.dumps(whole, ensure_ascii=False)}\n\n"
            return
        try:
            log = self._shares.watch(token, key)
            reader = f"share {opened.share.id}"
            async with aclosing(self._live.patches(reader, log, origin, lang, SPECTATORS)) as found:
                async for patch in found:
                    yield patch
        except NotFound:  # revoked while it was watched: the browser asks again, and finds nothing
            return

    async def fork(self, request: Request, token: str, address: str) -> Response:
        lang = self.lang(request)
        page = "text/html" in request.headers.get("accept", "")
        try:
            opened = await self._shares.opened(token)
            visitor = _visitor(request)
            if visitor is None:
                return _log_in(token, "?then=fork", page)
            with fields():
                conversation_id = await self._shares.fork(token, visitor.id, address)
        except NotFound:
            if not page:
                raise
            return self.gone(lang)
        to = f"/compare?id={conversation_id}" if opened.snapshot.kind == "comparison" else f"/?c={conversation_id}"
        if page:
            return RedirectResponse(to, HTTPStatus.SEE_OTHER, _PRIVATE)
        return JSONResponse({"conversation_id": conversation_id, "url": to}, HTTPStatus.CREATED, _PRIVATE)

    async def again(self, request: Request, token: str, key: str, address: str) -> Response:
        await self._shares.opened(token)
        visitor = _visitor(request)
        if visitor is None:
            return _log_in(token, "", page=False)
        with fields():
            ticket = await self._shares.again(token, key, visitor.id, address)
        told = {"conversation_id": ticket.conversation_id, "generation_id": ticket.generation_id}
        return JSONResponse(told, HTTPStatus.ACCEPTED, _PRIVATE)

    async def changes(self, request: Request, token: str, key: str, generation_id: str, lang: Lang) -> Response:
        await self._shares.opened(token)
        visitor = _visitor(request)
        if visitor is None:
            return _log_in(token, "", page=False)
        change = await self._shares.change(token, key, visitor.id, generation_id)
        html = await asyncio.to_thread(self._renderer.change, change, lang)
        return HTMLResponse(html, headers=_PRIVATE)


def add(app: FastAPI, backend: Backend, renderer: PublicRenderer, version: str, server: ServerSettings) -> None:
    """Add the routes of the pages behind links."""
    pages = SharedPages(backend, renderer, version, server)

    @app.get("/s/{token}", include_in_schema=False)
    async def page(request: Request, token: str) -> Response:
        return await pages.page(request, token)

    @app.get("/s/{token}/preview.png", include_in_schema=False)
    async def preview(request: Request, token: str) -> Response:
        return await pages.picture(request, token)

    @app.get("/s/{token}/live/{key}", include_in_schema=False)
    async def live(token: str, key: str, lang: Annotated[Lang, Query()] = "en") -> Response:
        return await pages.live(token, key, lang)

    @app.post("/s/{token}/fork", include_in_schema=False)
    async def fork(request: Request, address: Address, token: str) -> Response:
        return await pages.fork(request, token, address)

    @app.post("/s/{token}/again/{key}", include_in_schema=False)
    async def again(request: Request, address: Address, token: str, key: str) -> Response:
        return await pages.again(request, token, key, address)

    @app.get("/s/{token}/changes/{key}", include_in_schema=False)
    async def changes(
        request: Request,
        token: str,
        key: str,
        g: Annotated[str, Query(max_length=64)] = "",
        lang: Annotated[Lang, Query()] = "en",
    ) -> Response:
        return await pages.changes(request, token, key, g, lang)


def _visitor(request: Request) -> Principal | None:
    principal: Principal | None = request.state.principal
    return principal


def _log_in(token: str, then: str, page: bool) -> Response:
    """To the log-in page and back here."""
    to = f"{LOG_IN}?next={quote(f'/s/{token}{then}', safe='')}"
    if page:
        return RedirectResponse(to, HTTPStatus.SEE_OTHER, _PRIVATE)
    raise HttpError(401, "unauthorized", "Log in first, or send an API key as `Authorization: Bearer KEY`.")
