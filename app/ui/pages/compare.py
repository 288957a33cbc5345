"""The page that compares: one HTML page of our own, and the one address to which its script sends what people do.

Invariant: the owner is the one whom the cookie proves, and what a blind comparison hides is not in anything drawn here:
the backend gives it out masked until the vote.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Annotated, Literal

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse
from markupsafe import Markup
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import cookie_parser

from app.backend.comparisons import COMMENT_CHARS
from app.backend.records import LIVE, Column, Comparison, Side
from app.backend.service import Backend
from app.backend.types import ParamValue
from app.identity import Identity
from app.settings import ServerSettings
from app.ui import i18n, markup
from app.ui.actions import ID, Reply, answered
from app.ui.differences import below
from app.ui.i18n import Lang
from app.ui.pages.chat import by_family
from app.ui.render import Renderer, drawn
from app.ui.shell import COOKIE
from app.ui.view import ViewState, of_generation

SHORTCUTS = (
    ("cmp.keys_ask", ("Enter",)),
    ("cmp.keys_vote", ("1", "2", "3", "4")),
    ("cmp.keys_tie", ("0", "t")),
    ("cmp.keys_bad", ("b",)),
    ("cmp.keys_reasons", ("r",)),
    ("cmp.keys_column", ("[", "]")),
    ("cmp.keys_question", ("/",)),
    ("cmp.keys_new", ("mod", "Shift", "O")),
    ("cmp.keys_stop", ("Esc",)),
    ("keys.help", ("mod", "/")),
)
TAGS = ("correct", "complete", "sources", "clear", "short", "fast")
EARLIER = 6
_Name = Annotated[str, Field(max_length=100)]
_Value = bool | int | float | Annotated[str, Field(max_length=2_000)]


class AskedSide(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    pipeline: _Name = ""
    corpus: str = Field("", max_length=200)
    params: dict[_Name, _Value] = Field({}, max_length=100)
    engine: _Name = ""

    def side(self) -> Side:
        params: dict[str, ParamValue] = dict(self.params)
        return Side(self.pipeline, self.corpus, params, self.engine)


class Asked(BaseModel):
    """One call of the page. Every call names all it means; nothing is remembered between calls."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    do: Literal["open", "begin", "again", "vote", "stop"]
    lang: Lang = "en"
    c: str = ID
    g: str = ID
    letter: str = Field("", max_length=1)
    text: str = Field("", max_length=1_500_000)
    sides: list[AskedSide] = Field([], max_length=8)
    side: AskedSide | None = None
    corpus: str = Field("", max_length=200)
    blind: bool = False
    winner: str = Field("", max_length=20)
    tags: list[Annotated[str, Field(max_length=100)]] = Field([], max_length=20)
    comment: str = Field("", max_length=10_000)


class Comparing:
    """Draws the page and does what it asks."""

    def __init__(self, backend: Backend, renderer: Renderer, examples: Mapping[Lang, tuple[str, ...]]) -> None:
        self._backend = backend
        self._comparisons = backend.comparisons
        self._renderer = renderer
        self._examples = examples
        self._table: Mapping[str, Callable[[str, Asked, str], Awaitable[Reply]]] = {
            "open": self._open,
            "begin": self._begin,
            "again": self._again,
            "vote": self._vote,
            "stop": self._stop,
        }

    async def __call__(self, owner: str, asked: Asked, address: str) -> Reply:
        return await answered(self._table[asked.do](owner, asked, address), owner, asked.lang)

    async def page(self, owner: str, lang: Lang, version: str, server: ServerSettings) -> str:
        backend, renderer = self._backend, self._renderer
        lines = await self._comparisons.listing(owner, EARLIER)
        earlier = renderer.page("compare_earlier", lang, lines=lines, title=lambda name: self._title(name, lang))
        first = server.default_pipeline
        second = "naive" if first != "naive" else "direct"
        second = second if second in renderer.pipelines else first
        return renderer.page(
            "compare",
            lang,
            place="compare",
            version=version,
            families=by_family(backend.pipelines()),
            corpora=backend.corpora(),
            engines=backend.engines(),
            examples=self._examples.get(lang, ()),
            earlier=Markup(earlier),
            shortcuts=SHORTCUTS,
            engine=renderer.engine(backend.engine_health(), backend.retriever_health(), backend.engine_model(), lang),
            start={"sides": [{"pipeline": name, "corpus": server.default_corpus} for name in (first, second)]},
        )

    async def _open(self, owner: str, asked: Asked, address: str) -> Reply:
        return await self._shown(await self._comparisons.get(owner, asked.c), asked.lang)

    async def _begin(self, owner: str, asked: Asked, address: str) -> Reply:
        sides = [side.side() for side in asked.sides]
        ticket = await self._comparisons.begin(
            owner, asked.text, sides, blind=asked.blind, corpus=asked.corpus, address=address
        )
        return await self._shown(await self._comparisons.get(owner, ticket.comparison_id), asked.lang)

    async def _again(self, owner: str, asked: Asked, address: str) -> Reply:
        side = asked.side.side() if asked.side else None
        await self._comparisons.again(owner, asked.c, asked.letter, side, address)
        return await self._open(owner, asked, address)

    async def _vote(self, owner: str, asked: Asked, address: str) -> Reply:
        cast = asked.winner, asked.tags, asked.comment
        voted = await self._comparisons.vote(owner, asked.c, *cast, address=address)
        return await self._shown(voted, asked.lang)

    async def _stop(self, owner: str, asked: Asked, address: str) -> Reply:
        await self._backend.stop(owner, asked.g)
        return {}

    async def _shown(self, comparison: Comparison, lang: Lang) -> Reply:
        chars = sum(len(column.generation.answer) for column in comparison.columns)
        return await drawn(chars, self._draw, comparison, lang)

    def _draw(self, comparison: Comparison, lang: Lang) -> Reply:
        vote = comparison.vote
        return {
            "c": comparison.id,
            "question": comparison.question,
            "title": " ".join(markup.clean(comparison.question).split()),
            "blind": comparison.blind,
            "hidden": comparison.hidden,
            "batch": comparison.batch_id,
            "columns": [self._column(column, comparison, lang) for column in comparison.columns],
            "ballot": self._ballot(comparison, lang),
            "voted": vote.winner if vote else "",
            "below": "" if comparison.hidden else below(self._renderer, comparison, lang),
        }

    def _column(self, column: Column, comparison: Comparison, lang: Lang) -> Reply:
        made = column.generation
        live = made.status in LIVE
        state = ViewState() if live else of_generation(made)
        origin = replace(self._renderer.origin(made), column=True)
        answer = Markup(self._renderer.answer(state, origin, lang))
        side = {
            "pipeline": made.pipeline,
            "corpus": origin.corpus,
            "params": dict(origin.changed),
            "engine": made.engine,
        }
        return {
            "letter": column.letter,
            "g": made.id,
            "live": live,
            "how": made.status,
            "hidden": column.hidden,
            "won": comparison.vote is not None and comparison.vote.winner == column.letter,
            "model": "" if column.hidden else markup.clean(made.model),
            "side": None if column.hidden else side,
            "html": self._renderer.page("compare_result", lang, column=column, live=live, answer=answer),
        }

    def _ballot(self, comparison: Comparison, lang: Lang) -> str:
        """Where to vote, or what was voted; nothing before the last answer has ended."""
        vote, columns = comparison.vote, comparison.columns
        if vote is None and (
            any(column.generation.status in LIVE for column in columns)
            or not any(column.generation.answer for column in columns)
        ):
            return ""
        winner = next((c.generation.pipeline for c in columns if vote and c.letter == vote.winner), "")
        return self._renderer.page(
            "compare_vote",
            lang,
            vote=vote,
            hidden=comparison.hidden,
            blind=comparison.blind,
            copied=comparison.copied,
            whole=all(column.generation.status == "done" for column in columns),
            letters=[column.letter for column in columns],
            tags=TAGS,
            max_comment=COMMENT_CHARS,
            winner_title=self._title(winner, lang) if winner else "",
        )

    def _title(self, name: str, lang: Lang) -> str:
        info = self._renderer.pipelines.get(name)
        return i18n.known(lang, f"pipeline.{name}", info.title if info else name)


def add(
    app: FastAPI,
    backend: Backend,
    renderer: Renderer,
    identity: Identity,
    version: str,
    server: ServerSettings,
    examples: Mapping[Lang, tuple[str, ...]],
) -> None:
    """Add the page's routes."""
    comparing = Comparing(backend, renderer, examples)

    @app.get("/compare", include_in_schema=False)
    async def page(request: Request) -> HTMLResponse:
        chosen = cookie_parser(request.headers.get("cookie", "")).get(COOKIE)
        lang = i18n.pick(chosen, request.headers.get("accept-language", ""), server.language)
        html = await comparing.page(identity.owner_of(request), lang, version, server)
        return HTMLResponse(html, headers={"Cache-Control": "no-store"})

    @app.post("/ui/compare", include_in_schema=False)
    async def act(request: Request, asked: Asked) -> JSONResponse:
        address = request.client.host if request.client else ""
        reply = await comparing(identity.owner_of(request), asked, address)
        return JSONResponse(reply, headers={"Cache-Control": "no-store"})
