"""Generations over HTTP: their event stream, stop, another answer, choose an answer.

Invariant: a stream is resumed from the number of the last event that was read, and gives each later event exactly once.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response

from app.api import schemas
from app.api.access import ERRORS, FULL, Address, Owner
from app.api.streams import EventStream, replay
from app.backend.records import LIVE
from app.backend.service import Backend
from app.backend.telemetry import Telemetry

_MAX_SEQ = 2**63 - 1  # what the database can count
_EVENT = {"type": "object", "properties": {name: {"type": "string"} for name in ("id", "event", "data")}}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events: `id` is the event's number, `event` its kind, `data` its fields as JSON",
        "content": {"text/event-stream": {"schema": _EVENT}},
    },
    204: {"description": "It has ended, and there is nothing after the number given"},
}


def routes(backend: Backend, telemetry: Telemetry) -> APIRouter:
    router = APIRouter(prefix="/api/generations", tags=["generations"], responses=ERRORS)

    @router.get("/{generation_id}")
    async def read(owner: Owner, generation_id: str) -> schemas.GenerationOut:
        """One answer as it is now."""
        return schemas.GenerationOut.of(await backend.generation(owner, generation_id))

    @router.get("/{generation_id}/events", response_class=Response, responses=_STREAM)
    async def events(
        owner: Owner,
        generation_id: str,
        after: Annotated[int, Query(ge=0, le=_MAX_SEQ, description="the number of the last event you have")] = 0,
        last_event_id: Annotated[int | None, Header(ge=0, le=_MAX_SEQ)] = None,
    ) -> Response:
        """Everything that happens, from the question to one terminal event: `done`, `stopped` or `failed`."""
        generation = await backend.generation(owner, generation_id)
        log = backend.events(owner, generation_id, after if last_event_id is None else last_event_id)
        return EventStream(log, telemetry.streams) if generation.status in LIVE else await replay(log)

    @router.post("/{generation_id}/stop", status_code=204)
    async def stop(owner: Owner, generation_id: str) -> None:
        """End a running answer; it keeps what it has."""
        await backend.stop(owner, generation_id)

    @router.post("/{generation_id}/regenerate", status_code=202, responses=FULL)
    async def regenerate(owner: Owner, address: Address, generation_id: str, response: Response) -> schemas.TicketOut:
        """Answer the same question once more, beside the answers it has."""
        ticket = await backend.regenerate(owner, generation_id, address)
        response.headers["Location"] = f"/api/generations/{ticket.generation_id}/events"
        return schemas.TicketOut.of(ticket)

    @router.post("/{generation_id}/choose", status_code=204)
    async def choose(owner: Owner, generation_id: str) -> None:
        """Show this answer of its question, and build on it."""
        await backend.choose_answer(owner, generation_id)

    return router
