"""What the owner of links sees: the dialog that makes one, and the list of all of them.

Invariant: what the dialog shows is drawn from the very snapshot that is published, and by what draws it for readers.
"""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.responses import HTMLResponse
from starlette.requests import cookie_parser

from app.backend.errors import BadField
from app.backend.service import Backend
from app.identity import Identity
from app.settings import ServerSettings
from app.ui import i18n
from app.ui.i18n import Lang
from app.ui.moments import when
from app.ui.public import PublicRenderer
from app.ui.render import drawn
from app.ui.shell import COOKIE

_NO_STORE = {"Cache-Control": "no-store"}


def add(
    app: FastAPI, backend: Backend, renderer: PublicRenderer, identity: Identity, version: str, server: ServerSettings
) -> None:
    """Add the routes."""
    shares = backend.shares

    @app.get("/ui/share/{conversation_id}", include_in_schema=False)
    async def dialog(request: Request, conversation_id: str, lang: Annotated[Lang, Query()] = "en") -> HTMLResponse:
        """The inside of the dialog for one conversation."""
        owner = identity.owner_of(request)
        shown, why_not = None, ""
        try:
            shown = await shares.preview(owner, conversation_id)
        except BadField as error:
            why_not = i18n.known(lang, f"wrong.{error.reason}", error.message)
        links = await shares.listing(owner, conversation_id)
        chars = sum(len(answer.answer) for answer in shown.answers()) if shown else 0
        consents, framed = await shares.consents(owner), bool(server.embed_origins)
        html = await drawn(chars, renderer.dialog, shown, why_not, links, consents, framed, lang)
        return HTMLResponse(html, headers=_NO_STORE)

    @app.get("/links", include_in_schema=False)
    async def page(request: Request) -> HTMLResponse:
        """All links of whoever asks."""
        owner = identity.owner_of(request)
        chosen = cookie_parser(request.headers.get("cookie", "")).get(COOKIE)
        lang = i18n.pick(chosen, request.headers.get("accept-language", ""), server.language)
        html = renderer.page(
            "links",
            lang,
            version=version,
            shares=await shares.listing(owner),
            consents=await shares.consents(owner),
            now=time.time(),
            when=when,
        )
        return HTMLResponse(html, headers=_NO_STORE)
