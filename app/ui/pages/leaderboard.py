"""The leaderboard: a page of our own, drawn on the server, whose board is fetched again when a vote has arrived.

Invariant: it shows what is counted, and of questions only those of the reader; it works without its script, but for
the battles behind a cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import FastAPI, Query, Request
from fastapi.responses import HTMLResponse, Response
from markupsafe import Markup
from starlette.requests import cookie_parser

from app.backend.arena.battles import MIN_VOTES, Filters
from app.backend.arena.board import Score
from app.backend.arena.live import Arena
from app.identity import Identity
from app.settings import ServerSettings
from app.ui import i18n
from app.ui.i18n import Lang
from app.ui.render import Renderer
from app.ui.shell import COOKIE
from app.ui.standings import name_of, standings

PENDING = 20
VOTE = "/compare?blind=1"
Text = Annotated[str, Query(max_length=200)]
Contender = Annotated[str, Query(max_length=1000)]
Judge = Annotated[Literal["", "human", "model"], Query()]
_USUAL = {"judge": "human"}
"""What an address leaves out, where that is not nothing: people's votes are shown unless a model's are asked for."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which leaderboard, in which language."""

    lang: Lang
    filters: Filters
    style: bool

    def address(self, **changed: str) -> str:
        """Where this leaderboard is, or one that differs from it a little."""
        of = self.filters
        chosen = {"corpus": of.corpus, "language": of.language, "judge": of.judge}
        chosen |= {"blind": "1" if of.blind else "", "style": "1" if self.style else ""}
        query = urlencode({name: value for name, value in (chosen | changed).items() if value != _USUAL.get(name, "")})
        return f"/leaderboard?{query}" if query else "/leaderboard"


class Leaderboard:
    """Draws the page and its parts."""

    def __init__(self, arena: Arena, renderer: Renderer) -> None:
        self._arena = arena
        self._renderer = renderer

    async def page(self, asked: Asked, version: str) -> str:
        seen = await self._arena.version()
        facets = await self._arena.facets()
        board = Markup(await self.board(asked))
        return self._renderer.page(
            "leaderboard", asked.lang, asked=asked, facets=facets, board=board, seen=seen, version=version, vote=VOTE
        )

    async def news(self, asked: Asked, seen: str) -> tuple[str, str]:
        """The board and its version; nothing when that is the one that was seen."""
        version = await self._arena.version()
        return ("", version) if version == seen else (await self.board(asked), version)

    async def board(self, asked: Asked) -> str:
        board = await self._arena.board(asked.filters, style=asked.style)
        return self._renderer.page(
            "leaderboard_board",
            asked.lang,
            asked=asked,
            board=board,
            drawn=standings(board, self._renderer.pipelines),
            pending=[(p, name_of(p.contender, self._renderer.pipelines)) for p in board.pending[:PENDING]],
            more=max(0, len(board.pending) - PENDING),
            least=MIN_VOTES,
            vote=VOTE,
        )

    async def battles(self, owner: str, asked: Asked, one: str, other: str) -> str:
        """The battles behind a cell."""
        seen = await self._arena.behind(owner, one, other, asked.filters)
        board = await self._arena.board(asked.filters, style=asked.style)
        names = [name_of(contender, self._renderer.pipelines) for contender in (one, other)]
        score = board.cells.get((one, other), Score())
        return self._renderer.page(
            "leaderboard_battles", asked.lang, names=names, score=score, seen=seen, iso=_iso, vote=VOTE
        )


def add(
    app: FastAPI, arena: Arena, renderer: Renderer, identity: Identity, version: str, server: ServerSettings
) -> None:
    """Add the page's routes."""
    page = Leaderboard(arena, renderer)

    @app.get("/leaderboard", include_in_schema=False)
    async def leaderboard(
        request: Request,
        corpus: Text = "",
        language: Text = "",
        judge: Judge = "human",
        blind: bool = False,
        style: bool = False,
    ) -> HTMLResponse:
        chosen = cookie_parser(request.headers.get("cookie", "")).get(COOKIE)
        lang = i18n.pick(chosen, request.headers.get("accept-language", ""), server.language)
        html = await page.page(Asked(lang, Filters(corpus, language, judge, blind), style), version)
        return HTMLResponse(html, headers={"Cache-Control": "no-store"})

    @app.get("/ui/leaderboard/board", include_in_schema=False)
    async def board(
        corpus: Text = "",
        language: Text = "",
        judge: Judge = "human",
        blind: bool = False,
        style: bool = False,
        lang: Annotated[Lang, Query()] = "en",
        seen: Text = "",
    ) -> Response:
        """The board again; 204 while it is the one that was seen."""
        asked = Asked(lang, Filters(corpus, language, judge, blind), style)
        html, now = await page.news(asked, seen)
        headers = {"Cache-Control": "no-store", "X-Seen": now}
        return HTMLResponse(html, headers=headers) if html else Response(status_code=204, headers=headers)

    @app.get("/ui/leaderboard/battles", include_in_schema=False)
    async def battles(
        request: Request,
        one: Contender = "",
        other: Contender = "",
        corpus: Text = "",
        language: Text = "",
        judge: Judge = "human",
        blind: bool = False,
        style: bool = False,
        lang: Annotated[Lang, Query()] = "en",
    ) -> HTMLResponse:
        asked = Asked(lang, Filters(corpus, language, judge, blind), style)
        html = await page.battles(identity.owner_of(request), asked, one, other)
        return HTMLResponse(html, headers={"Cache-Control": "no-store"})


def _iso(at: float) -> str:
    """A moment for the page's script, which writes it in the reader's time zone."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
