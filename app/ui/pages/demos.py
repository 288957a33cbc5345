"""The publisher's side of demos: the list with its form, and the presenter's view of what a room asks.

Invariant: both are for who published the demo; what is changed here goes through /api/demos.
"""

from __future__ import annotations

import time
from http import HTTPStatus

import segno
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from markupsafe import Markup

from app.api.demos import Publisher, link, publisher
from app.api.errors import HttpError
from app.backend.demos.records import DemoLine
from app.backend.service import Backend
from app.backend.types import Principal
from app.policy import LOG_IN
from app.settings import Settings, is_loopback
from app.ui import accent
from app.ui.frames import frame_line
from app.ui.i18n import Lang, known
from app.ui.pages.chat import by_family
from app.ui.pages.demo import framers, language
from app.ui.render import Renderer

_NO_STORE = {"Cache-Control": "no-store"}


def add(app: FastAPI, backend: Backend, renderer: Renderer, version: str, settings: Settings) -> None:
    """Add the routes of both pages."""
    demos, server, quotas = backend.demos, settings.server, settings.quotas

    async def listed(owner: str, request: Request, lang: Lang) -> str:
        now = time.time()

        def shown(line: DemoLine) -> dict[str, object]:
            url, setup = link(request, line.demo.setup.name), line.demo.setup
            frame = frame_line(url, setup.title) if framers(setup.origins, server) else ""
            infos = [renderer.pipelines[s.pipeline] for s in setup.sides if s.pipeline in renderer.pipelines]
            sides = [known(lang, f"pipeline.{info.name}", info.title) for info in infos]
            state = line.demo.state(now)
            return {"line": line, "url": url, "qr": qr(url), "embed": frame, "sides": sides, "state": state}

        lines = [shown(line) for line in await demos.listing(owner)]
        return renderer.page("demos_list", lang, lines=lines)

    @app.get("/demos", include_in_schema=False)
    async def page(request: Request) -> Response:
        lang = language(request, server)
        principal: Principal = request.state.principal
        if principal.role == "guest":
            if server.mode == "accounts":
                return RedirectResponse(f"{LOG_IN}?next=/demos", HTTPStatus.SEE_OTHER, _NO_STORE)
            raise HttpError(403, "forbidden", "Publishing a demo needs an account.")
        html = renderer.page(
            "demos",
            lang,
            version=version,
            list=Markup(await listed(publisher(principal), request, lang)),
            families=by_family(backend.pipelines()),
            corpora=backend.corpora(),
            engines=backend.engines(),
            defaults=server,
            most=(quotas.demo.per_day, quotas.visitor.per_day),
            origins=server.embed_origins,
        )
        return HTMLResponse(html, headers=_NO_STORE)

    @app.get("/ui/demos/list", include_in_schema=False)
    async def listing(owner: Publisher, request: Request) -> HTMLResponse:
        return HTMLResponse(await listed(owner, request, language(request, server)), headers=_NO_STORE)

    @app.get("/d/{name}/present", include_in_schema=False)
    async def present(owner: Publisher, request: Request, name: str) -> HTMLResponse:
        lang = language(request, server)
        demo = await demos.owned_by_name(owner, name)
        url = link(request, demo.setup.name)
        html = renderer.page(
            "present",
            lang,
            version=version,
            demo=demo,
            style=accent.style(demo.setup.accent),
            url=url,
            qr=qr(url),
            near=is_loopback(request.base_url.hostname or ""),
            board=Markup(await board(owner, demo.id, lang)),
        )
        return HTMLResponse(html, headers=_NO_STORE)

    @app.get("/ui/demos/{demo_id}/board", include_in_schema=False)
    async def region(owner: Publisher, request: Request, demo_id: str) -> HTMLResponse:
        return HTMLResponse(await board(owner, demo_id, language(request, server)), headers=_NO_STORE)

    async def board(owner: str, demo_id: str, lang: Lang) -> str:
        demo = await demos.get(owner, demo_id)
        now = time.time()
        shown = await demos.board(owner, demo_id)
        titles = {name: info.title for name, info in renderer.pipelines.items()}
        return renderer.page("present_board", lang, board=shown, state=demo.state(now), demo=demo, titles=titles)


def qr(url: str) -> Markup:
    """The QR code of an address, dark on light whatever the page looks like, because cameras want that."""
    code = segno.make(url, error="m", micro=False)
    return Markup(code.svg_inline(border=2, omitsize=True, dark="#111", light="#fff", svgclass="qr", lineclass=None))
