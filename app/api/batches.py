"""Batches over HTTP: the same comparison over a file of questions, how it gets on, and what it says.

Invariant: a batch is its owner's; its rows are comparisons like any other, read at `/api/comparisons/{comparison_id}`.
"""

from __future__ import annotations

import asyncio
from pathlib import PurePath
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Response

from app.api import batch_export, export
from app.api.access import ERRORS, FULL, Address, Owner
from app.api.batch_schemas import BatchIn, BatchOut, ReportOut
from app.backend.batches.records import Batch
from app.backend.batches.service import Batches

Metric = Annotated[
    str, Query(max_length=40, description="as f1, em, acc; `judge`: the engine's opinion, `vote`: your own")
]


def routes(batches: Batches) -> APIRouter:
    router = APIRouter(prefix="/api/batches", tags=["batches"], responses=ERRORS)

    def shown(owner: str, batch: Batch) -> BatchOut:
        return BatchOut.of(batch, batches.progress(owner, batch))

    @router.post("", status_code=202, responses=FULL)
    async def begin(owner: Owner, address: Address, asked: BatchIn, response: Response) -> BatchOut:
        """Ask every question of a file on 2 to 4 sides. It needs no reader, and goes on after a restart."""
        sides = [side.side() for side in asked.sides]
        batch = await batches.begin(
            owner, asked.name, asked.questions, sides, corpus=asked.corpus, judged=asked.judged, address=address
        )
        response.headers["Location"] = f"/api/batches/{batch.id}"
        return shown(owner, batch)

    @router.get("")
    async def listing(owner: Owner) -> list[BatchOut]:
        """Your batches, newest first."""
        return [shown(owner, batch) for batch in await batches.listing(owner)]

    @router.get("/{batch_id}")
    async def read(owner: Owner, batch_id: str, metric: Metric = "f1") -> ReportOut:
        """The answers so far, and what they say by a metric."""
        batch = await batches.get(owner, batch_id)
        report = await batches.report(owner, batch_id, metric)
        return await asyncio.to_thread(ReportOut.of, shown(owner, batch), report)

    @router.get("/{batch_id}/export", response_class=Response)
    async def download(
        owner: Owner,
        batch_id: str,
        kind: Annotated[Literal["csv", "jsonl"], Query(alias="format")] = "jsonl",
        metric: Metric = "f1",
    ) -> Response:
        """All rows as a file: the question, its right answers, each side's answer with its score, and the ids."""
        batch = await batches.get(owner, batch_id)
        report = await batches.report(owner, batch_id, metric)
        write, media_type = (
            (batch_export.csv, "text/csv") if kind == "csv" else (batch_export.jsonl, "application/jsonl")
        )
        text = await asyncio.to_thread(write, batch, report)
        name = f"{export.file_stem(PurePath(batch.name).stem)}.{kind}"
        disposition = f"attachment; filename=\"batch.{kind}\"; filename*=UTF-8''{quote(name)}"
        headers = {"Content-Disposition": disposition}
        return Response(text, media_type=f"{media_type}; charset=utf-8", headers=headers)

    @router.post("/{batch_id}/stop")
    async def stop(owner: Owner, batch_id: str) -> BatchOut:
        """Ask no more, and stop what runs; what was answered stays."""
        return shown(owner, await batches.stop(owner, batch_id))

    @router.post("/{batch_id}/continue", status_code=202)
    async def go_on(owner: Owner, address: Address, batch_id: str) -> BatchOut:
        """Ask what was not answered, and once more what failed."""
        return shown(owner, await batches.go_on(owner, batch_id, address))

    @router.delete("/{batch_id}", status_code=204)
    async def delete(owner: Owner, batch_id: str) -> None:
        """Delete a batch with all of its comparisons."""
        await batches.delete(owner, batch_id)

    return router
