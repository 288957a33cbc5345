"""Comparisons over HTTP: one question in two to four columns, what differs between the answers, and the vote.

Invariant: what a blind comparison hides is shown after its vote and by no route before.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Response

from app.api import compare_export, export
from app.api.access import ERRORS, FULL, Address, Owner
from app.api.compare_schemas import AgainIn, CompareIn, ComparisonList, ComparisonOut, ComparisonTicketOut, VoteIn
from app.api.schemas import TicketOut
from app.backend.comparisons import Comparisons
from app.backend.records import Comparison


def routes(comparisons: Comparisons) -> APIRouter:
    router = APIRouter(tags=["comparisons"], responses=ERRORS)

    @router.post("/api/compare", status_code=202, responses=FULL)
    async def compare(owner: Owner, address: Address, asked: CompareIn, response: Response) -> ComparisonTicketOut:
        """Ask one question in 2 to 4 columns. Each answer is read from its own events, at
        `/api/generations/{generation_id}/events`, and needs a reader like any other.

        When `blind`, the columns are shuffled and what made them is hidden until the vote; without `sides` the server
        then picks the two whose comparison it would learn most from.
        """
        sides = [side.side() for side in asked.sides]
        ticket = await comparisons.begin(
            owner, asked.question, sides, blind=asked.blind, corpus=asked.corpus, address=address
        )
        response.headers["Location"] = f"/api/comparisons/{ticket.comparison_id}"
        return ComparisonTicketOut(comparison_id=ticket.comparison_id, generation_ids=list(ticket.generation_ids))

    @router.get("/api/comparisons")
    async def listing(owner: Owner, limit: Annotated[int, Query(ge=1, le=1000)] = 200) -> ComparisonList:
        """Your comparisons, newest first."""
        return ComparisonList.of(await comparisons.listing(owner, limit))

    @router.get("/api/comparisons/{comparison_id}")
    async def read(owner: Owner, comparison_id: str) -> ComparisonOut:
        """The answers as they are now, and what differs between them."""
        return await _shown(await comparisons.get(owner, comparison_id))

    @router.post("/api/comparisons/{comparison_id}/columns/{letter}/again", status_code=202, responses=FULL)
    async def again(
        owner: Owner, address: Address, comparison_id: str, letter: str, to: AgainIn, response: Response
    ) -> TicketOut:
        """Answer in one column anew, as before or with another `side`; the other columns are left alone.

        Before the vote on a blind comparison only an answer that failed or was stopped is made again, as it was.
        """
        side = to.side.side() if to.side else None
        ticket = await comparisons.again(owner, comparison_id, letter, side, address)
        response.headers["Location"] = f"/api/generations/{ticket.generation_id}/events"
        return TicketOut.of(ticket)

    @router.post("/api/comparisons/{comparison_id}/vote")
    async def vote(owner: Owner, address: Address, comparison_id: str, cast: VoteIn) -> ComparisonOut:
        """Vote, which reveals a blind comparison. One vote a comparison; it may be changed, unless it was blind."""
        voted = await comparisons.vote(owner, comparison_id, cast.winner, cast.tags, cast.comment, address=address)
        return await _shown(voted)

    @router.get("/api/comparisons/{comparison_id}/export", response_class=Response)
    async def download(
        owner: Owner, comparison_id: str, kind: Annotated[Literal["md", "json"], Query(alias="format")] = "md"
    ) -> Response:
        """The answers with their sources as Markdown, or everything as JSON."""
        comparison = await comparisons.get(owner, comparison_id)
        if kind == "md":
            text, media_type = compare_export.markdown(comparison), "text/markdown; charset=utf-8"
        else:
            text, media_type = (await _shown(comparison)).model_dump_json(indent=2), "application/json"
        name = f"{export.file_stem(comparison.question)}.{kind}"
        disposition = f"attachment; filename=\"comparison.{kind}\"; filename*=UTF-8''{quote(name)}"
        return Response(text, media_type=media_type, headers={"Content-Disposition": disposition})

    return router


async def _shown(comparison: Comparison) -> ComparisonOut:
    return await asyncio.to_thread(ComparisonOut.of, comparison)  # comparing long answers takes a moment
