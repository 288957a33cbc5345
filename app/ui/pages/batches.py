"""The pages of batches: all of one's own with the form for another, and one with what it says and its rows.

Invariant: the owner is the one whom the cookie proves. What changes by itself is a region, fetched again while it is
watched; what is done goes through /api/batches.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

from fastapi import FastAPI, Query, Request
from fastapi.responses import HTMLResponse, Response
from markupsafe import Markup
from starlette.requests import cookie_parser

from app.backend.batches.records import Batch
from app.backend.experiments.paired import FEWEST
from app.backend.experiments.questions import MOST_QUESTIONS
from app.backend.experiments.report import METRICS, OPINIONS, Report
from app.backend.service import Backend
from app.identity import Identity
from app.settings import ASSETS, ServerSettings
from app.ui import batch_pictures as pictures
from app.ui import i18n
from app.ui.batch_pictures import PAGE, SHOWS, Show
from app.ui.i18n import Lang
from app.ui.pages.chat import by_family
from app.ui.render import Renderer
from app.ui.shell import COOKIE

EXAMPLES = 24
_NO_STORE = {"Cache-Control": "no-store"}
Metric = Annotated[str, Query(max_length=40)]
PairNumber = Annotated[int, Query(ge=0, le=5)]
Upto = Annotated[int, Query(ge=PAGE, le=MOST_QUESTIONS)]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which view of a batch, in which language."""

    lang: Lang
    metric: str = "f1"
    pair: int = 0
    show: Show = "differ"
    upto: int = PAGE

    def query(self, **changed: str | int) -> str:
        """The query of this view, or of one that differs from it a little; what is usual is left out."""
        values = {"metric": self.metric, "pair": self.pair, "show": self.show, "upto": self.upto, **changed}
        usual = {"metric": "f1", "pair": 0, "show": "differ", "upto": PAGE}
        return "?" + urlencode({name: value for name, value in values.items() if value != usual[name]})


class BatchPages:
    """Draws both pages and their regions."""

    def __init__(self, backend: Backend, renderer: Renderer, example: str) -> None:
        self._backend = backend
        self._batches = backend.batches
        self._renderer = renderer
        self._example = example

    async def home(self, owner: str, lang: Lang, version: str, server: ServerSettings) -> str:
        first = server.default_pipeline
        second = "direct" if first != "direct" else "naive"
        return self._renderer.page(
            "batches",
            lang,
            version=version,
            list=Markup(await self.list(owner, lang)),
            families=by_family(self._backend.pipelines()),
            corpora=self._backend.corpora(),
            engines=self._backend.engines(),
            most=self._batches.most_questions(owner),
            example=self._example,
            start={
                "sides": [{"pipeline": name, "corpus": server.default_corpus} for name in (first, second)],
                "example": self._example,
            },
        )

    async def list(self, owner: str, lang: Lang) -> str:
        found = await self._batches.listing(owner)
        return self._renderer.page("batches_list", lang, batches=[self._shown(owner, batch, lang) for batch in found])

    async def one(self, owner: str, batch_id: str, asked: Asked, version: str) -> str:
        seen = await self._batches.version(owner, batch_id)
        board = Markup(await self.board(owner, batch_id, asked))
        batch = await self._batches.get(owner, batch_id)
        return self._renderer.page("batch", asked.lang, batch=batch, board=board, seen=seen, version=version)

    async def news(self, owner: str, batch_id: str, asked: Asked, seen: str) -> tuple[str, str]:
        """The board and its version; nothing when that is the one that was seen."""
        version = await self._batches.version(owner, batch_id)
        return ("", version) if version == seen else (await self.board(owner, batch_id, asked), version)

    async def board(self, owner: str, batch_id: str, asked: Asked) -> str:
        batch = await self._batches.get(owner, batch_id)
        if not batch.golden and asked.metric in METRICS:
            asked = replace(asked, metric="judge" if batch.judged else "vote")
        report = await self._batches.report(owner, batch_id, asked.metric)
        named = pictures.names(batch.sides, self._renderer.pipelines, asked.lang)
        on = pictures.axis(report)
        pair = report.pairs[min(asked.pair, len(report.pairs) - 1)]
        rows = {show: pictures.chosen(report, pair, show) for show in SHOWS}
        return self._renderer.page(
            "batch_board",
            asked.lang,
            **self._shown(owner, batch, asked.lang),
            asked=asked,
            report=report,
            axis=on,
            whiskers=pictures.whiskers(batch, report, named, on, asked.lang),
            shares=pictures.shares,
            pair=pair,
            strip=pictures.strip(pair),
            reach=pictures.reach(pair),
            called=pictures.called,
            counts={show: len(found) for show, found in rows.items()},
            rows=rows[asked.show][: asked.upto],
            more=max(0, len(rows[asked.show]) - asked.upto),
            page=PAGE,
            metrics=[(name, pictures.label(name, asked.lang)) for name in _metrics(batch, report)],
            unread=sum(said.outcome is None for one in report.rows for said in one.row.judged),
            fewest=FEWEST,
        )

    def _shown(self, owner: str, batch: Batch, lang: Lang) -> dict[str, object]:
        progress = self._batches.progress(owner, batch)
        eta = i18n.about(lang, progress.eta_s) if progress.eta_s is not None else ""
        named = pictures.names(batch.sides, self._renderer.pipelines, lang)
        return {"batch": batch, "eta": eta, "held": progress.held, "names": named}


def _metrics(batch: Batch, report: Report) -> tuple[str, ...]:
    """What there is to measure this batch by."""
    voted = any(one.row.winner for one in report.rows)
    there = {"judge": batch.judged, "vote": voted}
    return (*(METRICS if batch.golden else ()), *(name for name in OPINIONS if there[name]))


def example(path: Path) -> str:
    """Questions of the demo corpus as a file to begin with: every so many, so that they are about different things."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if json.loads(line)["golden_answers"]]
    english = [line for line in lines if json.loads(line)["metadata"].get("lang") == "en"]
    return "\n".join(english[:: max(1, len(english) // EXAMPLES)][:EXAMPLES])


def add(
    app: FastAPI, backend: Backend, renderer: Renderer, identity: Identity, version: str, server: ServerSettings
) -> None:
    """Add the routes of both pages."""
    pages = BatchPages(backend, renderer, example(ASSETS / "demo" / "questions.jsonl"))

    def lang_of(request: Request) -> Lang:
        chosen = cookie_parser(request.headers.get("cookie", "")).get(COOKIE)
        return i18n.pick(chosen, request.headers.get("accept-language", ""), server.language)

    @app.get("/compare/batches", include_in_schema=False)
    async def home(request: Request) -> HTMLResponse:
        html = await pages.home(identity.owner_of(request), lang_of(request), version, server)
        return HTMLResponse(html, headers=_NO_STORE)

    @app.get("/ui/batches/list", include_in_schema=False)
    async def listing(request: Request) -> HTMLResponse:
        return HTMLResponse(await pages.list(identity.owner_of(request), lang_of(request)), headers=_NO_STORE)

    @app.get("/compare/batches/{batch_id}", include_in_schema=False)
    async def one(
        request: Request,
        batch_id: str,
        metric: Metric = "f1",
        pair: PairNumber = 0,
        show: Show = "differ",
        upto: Upto = PAGE,
    ) -> Response:
        known = metric if metric in (*METRICS, *OPINIONS) else "f1"
        asked = Asked(lang_of(request), known, pair, show, upto)
        return HTMLResponse(await pages.one(identity.owner_of(request), batch_id, asked, version), headers=_NO_STORE)

    @app.get("/ui/batches/{batch_id}/board", include_in_schema=False)
    async def board(
        request: Request,
        batch_id: str,
        metric: Metric = "f1",
        pair: PairNumber = 0,
        show: Show = "differ",
        upto: Upto = PAGE,
        seen: Annotated[str, Query(max_length=500)] = "",
    ) -> Response:
        """The board again; 204 while it is the one that was seen."""
        asked = Asked(lang_of(request), metric, pair, show, upto)
        html, now = await pages.news(identity.owner_of(request), batch_id, asked, seen)
        headers = _NO_STORE | {"X-Seen": now}
        return HTMLResponse(html, headers=headers) if html else Response(status_code=204, headers=headers)
