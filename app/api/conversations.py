"""Conversations over HTTP: make, list, search, read, rename, pin, delete and restore, branch, export, and ask.

Invariant: the owner comes from the identity middleware; what belongs to somebody else is the same 404 as what never
was.
"""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Response

from app.api import export, schemas
from app.api.access import ERRORS, FULL, Address, Owner
from app.backend.errors import BadInput
from app.backend.service import Backend, Question


def routes(backend: Backend) -> APIRouter:
    router = APIRouter(prefix="/api/conversations", tags=["conversations"], responses=ERRORS)

    @router.post("", status_code=201, responses={429: FULL[429]})
    async def create(owner: Owner, address: Address) -> schemas.ConversationLine:
        """Begin an empty conversation. Of those in which nothing was asked yet, the newest hundred are kept, for an
        hour."""
        return schemas.ConversationLine.of(await backend.create_conversation(owner, address))

    @router.get("")
    async def listing(
        owner: Owner,
        q: Annotated[str, Query(max_length=200, description="words in questions and answers")] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    ) -> schemas.ConversationList:
        """Your conversations, pinned and newest first; with `q`, those that match."""
        found = await backend.conversations(owner, q, limit)
        return schemas.ConversationList(conversations=[schemas.ConversationLine.of(line) for line in found])

    @router.get("/{conversation_id}")
    async def read(owner: Owner, conversation_id: str) -> schemas.ConversationOut:
        """The whole tree of questions and answers."""
        return schemas.ConversationOut.of(await backend.conversation(owner, conversation_id))

    @router.patch("/{conversation_id}", status_code=204)
    async def update(owner: Owner, conversation_id: str, change: schemas.ConversationPatch) -> None:
        """Rename or pin."""
        title = change.title.strip() if change.title is not None else None
        if title == "":
            raise BadInput("The title is empty: give it at least one character.")
        await backend.update_conversation(owner, conversation_id, title=title, pinned=change.pinned)

    @router.delete("/{conversation_id}", status_code=204)
    async def delete(owner: Owner, conversation_id: str) -> None:
        """Delete; `restore` undoes it for a while."""
        await backend.delete_conversation(owner, conversation_id)

    @router.post("/{conversation_id}/restore", status_code=204)
    async def restore(owner: Owner, conversation_id: str) -> None:
        """Undo a deletion."""
        await backend.restore_conversation(owner, conversation_id)

    @router.post("/{conversation_id}/branch", status_code=204)
    async def branch(owner: Owner, conversation_id: str, to: schemas.BranchIn) -> None:
        """Show the branch that a turn is on."""
        await backend.show_branch(owner, conversation_id, to.turn_id)

    @router.post("/{conversation_id}/ask", status_code=202, responses=FULL)
    async def ask(
        owner: Owner, address: Address, conversation_id: str, asked: schemas.AskIn, response: Response
    ) -> schemas.TicketOut:
        """Ask. The question is stored when this answers; read the answer from the generation's events."""
        question = Question(
            asked.question,
            asked.pipeline,
            asked.corpus,
            asked.params,
            asked.parent_id,
            address=address,
            engine=asked.engine,
        )
        ticket = await backend.ask(owner, conversation_id, question)
        response.headers["Location"] = f"/api/generations/{ticket.generation_id}/events"
        return schemas.TicketOut.of(ticket)

    @router.get("/{conversation_id}/export", response_class=Response)
    async def download(
        owner: Owner, conversation_id: str, kind: Annotated[Literal["md", "json"], Query(alias="format")] = "md"
    ) -> Response:
        """The branch that is shown as Markdown with its sources, or the whole tree as JSON."""
        conversation = await backend.conversation(owner, conversation_id)
        if kind == "md":
            text, media_type = export.markdown(conversation), "text/markdown; charset=utf-8"
        else:
            text, media_type = export.json(conversation), "application/json"
        name = f"{export.file_stem(conversation.title)}.{kind}"
        disposition = f"attachment; filename=\"conversation.{kind}\"; filename*=UTF-8''{quote(name)}"
        return Response(text, media_type=media_type, headers={"Content-Disposition": disposition})

    return router
