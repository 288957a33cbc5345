"""A demo, as its visitors see it: ask, read the answers with their sources, see one's own questions again.

Invariant: the page knows its visitor by the token that its script sends, never by a cookie; a demo that is unknown,
switched off or over is the same page, and a stream of one ends within a second after it is.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated

from fastapi import FastAPI, Header, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from markupsafe import Markup
from starlette.requests import cookie_parser

from app.backend.demos.records import Demo, DemoQuestion
from app.backend.errors import ColloquyError, DemoEarly, NotFound
from app.backend.records import LIVE, Generation, Winner
from app.backend.service import Backend
from app.backend.types import Principal
from app.security import allow_frames
from app.settings import ServerSettings
from app.ui import accent, i18n, markup
from app.ui.i18n import Lang
from app.ui.render import Renderer, drawn
from app.ui.shell import COOKIE
from app.ui.turn import LiveTurns
from app.ui.view import ViewState, fold_all, of_generation
from app.visitors import HEADER, Visitors

LOOK_AGAIN_S = 0.8
_NO_STORE = {"Cache-Control": "no-store"}
_STREAM_HEADERS = {**_NO_STORE, "X-Accel-Buffering": "no"}
_Token = Annotated[str, Header(alias=HEADER, max_length=200)]
_Lang = Annotated[Lang, Query()]


@dataclass(frozen=True, slots=True)
class Answer:
    """One side's answer as it is drawn. `stream` is where it can be followed while it is `live`."""

    generation: Generation
    live: bool
    html: Markup
    title: str
    stream: str


class DemoPage:
    """Draws the page and its regions."""

    def __init__(self, backend: Backend, renderer: Renderer, visitors: Visitors, version: str) -> None:
        self._demos = backend.demos
        self._renderer = renderer
        self._visitors = visitors
        self._version = version

    def page(self, demo: Demo, lang: Lang, *, embedded: bool, owned: bool) -> str:
        setup = demo.setup
        return self._renderer.page(
            "demo",
            lang,
            demo=setup,
            sides=[(s.pipeline, self._title(s.pipeline)) for s in setup.sides],
            welcome=markup.answer(setup.welcome, (), (), lang),
            style=accent.style(setup.accent),
            visitor=self._visitors.token(demo, self._visitors.met(demo, "")),
            embedded=embedded,
            owned=owned,
            version=self._version,
        )

    def closed(self, lang: Lang, opens_at: float | None = None, *, embedded: bool = False) -> str:
        """In the place of a demo that cannot be used; the same whatever the reason, but for when one begins."""
        wait = None if opens_at is None else max(0.0, opens_at - time.time())
        return self._renderer.page(
            "demo_closed", lang, wait=wait, at=opens_at, embedded=embedded, version=self._version
        )

    async def thread(self, demo: Demo, visitor: str, lang: Lang) -> str:
        """The visitor's own questions with their answers, oldest first."""
        asked = await self._demos.own(demo, visitor)
        turns = [(question, await self._answers(demo, question, lang)) for question in asked]

        def voted(winner: Winner) -> str:
            key = {"tie": "voted_tie", "both_bad": "voted_bad"}.get(winner, "voted_for")
            return i18n.text(lang, f"cmp.{key}", letter=winner.upper())

        return self._renderer.page("demo_thread", lang, turns=turns, letters="ABCD", voted=voted)

    async def _answers(self, demo: Demo, question: DemoQuestion, lang: Lang) -> list[Answer]:
        answers = []
        for g in await self._demos.answers(demo, question):
            origin, live = self._renderer.origin(g), g.status in LIVE
            state = ViewState() if live else of_generation(g)
            html = await drawn(len(g.answer), self._renderer.answer, state, origin, lang)
            stream = f"/ui/d/{demo.setup.name}/live/{self._visitors.ticket(g.id)}"
            answers.append(Answer(g, live, Markup(html), self._title(g.pipeline), stream))
        return answers

    def _title(self, pipeline: str) -> str:
        info = self._renderer.pipelines.get(pipeline)
        return info.title if info else pipeline


def add(
    app: FastAPI, backend: Backend, renderer: Renderer, visitors: Visitors, version: str, server: ServerSettings
) -> None:
    """Add the page's routes."""
    demos, live = backend.demos, LiveTurns(backend, renderer)
    pages = DemoPage(backend, renderer, visitors, version)

    @app.get("/d/{name}", include_in_schema=False)
    async def page(request: Request, name: str, embed: str = "") -> HTMLResponse:
        lang = language(request, server)
        embedded = embed == "1"
        if embedded:  # also the page that says that there is nothing to use, which is the same for all demos
            allow_frames(request, server.embed_origins)
        try:
            demo = await demos.by_name(name)
        except DemoEarly as error:
            opens_at = time.time() + (error.retry_after_s or 0)
            return HTMLResponse(pages.closed(lang, opens_at, embedded=embedded), 200, _NO_STORE)
        except NotFound:
            return HTMLResponse(pages.closed(lang, embedded=embedded), 404, _NO_STORE)
        if embedded:
            allow_frames(request, framers(demo.setup.origins, server))
        principal: Principal | None = request.state.principal
        owned = principal is not None and principal.id == demo.owner and not embedded
        return HTMLResponse(pages.page(demo, lang, embedded=embedded, owned=owned), headers=_NO_STORE)

    @app.get("/ui/d/{name}/thread", include_in_schema=False)
    async def thread(name: str, lang: _Lang = "en", token: _Token = "") -> HTMLResponse:
        demo = await demos.by_name(name)
        return HTMLResponse(await pages.thread(demo, visitors.met(demo, token), lang), headers=_NO_STORE)

    @app.get("/ui/d/{name}/live/{ticket}", include_in_schema=False)
    async def follow(name: str, ticket: str, lang: _Lang = "en") -> Response:
        """The answer as it is written; the ticket was in the visitor's own thread."""
        demo = await demos.by_name(name)
        generation_id = visitors.opened_by(ticket)
        origin = await live.origin(demo.runs_as, generation_id)
        stream = live.stream(demo.runs_as, generation_id, origin, lang, reader=ticket)
        return StreamingResponse(_while_open(stream, name), media_type="text/event-stream", headers=_STREAM_HEADERS)

    @app.get("/ui/d/{name}/trace/{generation_id}", include_in_schema=False)
    async def trace(name: str, generation_id: str, lang: _Lang = "en", token: _Token = "") -> JSONResponse:
        """The steps of a finished answer, when they are unfolded."""
        demo = await demos.by_name(name)
        await demos.check_own(demo, visitors.met(demo, token), generation_id)
        generation = await backend.generation(demo.runs_as, generation_id)
        if generation.status in LIVE:
            return JSONResponse({"steps": ""}, headers=_NO_STORE)
        async with aclosing(backend.events(demo.runs_as, generation_id)) as log:
            recorded = [r async for r in log]
        return JSONResponse({"steps": renderer.steps(fold_all(recorded), lang)}, headers=_NO_STORE)

    async def _while_open(stream: AsyncGenerator[str, None], name: str) -> AsyncIterator[str]:
        next_look = time.monotonic() + LOOK_AGAIN_S
        async with aclosing(stream):
            async for patch in stream:  # one comes every second at least
                if time.monotonic() >= next_look:
                    next_look = time.monotonic() + LOOK_AGAIN_S
                    try:
                        await demos.by_name(name)
                    except ColloquyError:
                        return
                yield patch


def framers(chosen: tuple[str, ...], server: ServerSettings) -> list[str]:
    """Who may show a page in a frame: of the sites that the server allows those `chosen`, or all when none was."""
    return [origin for origin in server.embed_origins if not chosen or origin in chosen]


def language(request: Request, server: ServerSettings) -> Lang:
    wanted: Mapping[str, str] = cookie_parser(request.headers.get("cookie", ""))
    asked = request.query_params.get("lang")
    return i18n.pick(asked or wanted.get(COOKIE), request.headers.get("accept-language", ""), server.language)
