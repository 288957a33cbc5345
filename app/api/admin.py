"""What operators do over HTTP, under /api/admin/: the queue, draining, the database and its backups, everybody's
conversations, the audit.

Invariant: thin doors; the policy lets only admins here, and every deed and look is in the audit before it happens.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from app.api import schemas
from app.api.access import ERRORS, Caller
from app.backend.operations.people import Person
from app.backend.operations.service import Now, Operations, Storage
from app.backend.records import AuditLine, Found
from app.settings import Quota

MAX_ID = 2**63 - 1
"""The largest number that SQLite keeps."""


class SwitchIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    on: bool


class OpenedOut(BaseModel):
    """Anybody's conversation, with whose it is."""

    owner: str
    conversation: schemas.ConversationOut


def routes(operations: Operations) -> APIRouter:
    router = APIRouter(prefix="/api/admin", tags=["admin"], responses=ERRORS)

    @router.get("/now")
    async def now() -> Now:
        """Who is being answered, who waits, and the last minutes. Nobody's words are in it."""
        return operations.now()

    @router.post("/generations/{generation_id}/stop", status_code=204)
    async def stop(caller: Caller, generation_id: str) -> None:
        """End anybody's answer; it keeps its partial text."""
        await operations.stop(caller, generation_id)

    @router.put("/drain", status_code=204)
    async def drain(caller: Caller, to: SwitchIn) -> None:
        """Refuse new questions and let the accepted ones be answered, or accept questions again."""
        await operations.drain(caller, to.on)

    @router.get("/storage")
    async def storage() -> Storage:
        """The database, its disk and its last backup."""
        return await operations.storage()

    @router.post("/backups", status_code=202)
    async def back_up(caller: Caller) -> None:
        """Begin a backup into the data folder; /api/admin/storage tells how it goes."""
        await operations.back_up(caller)

    @router.get("/conversations")
    async def search(
        caller: Caller,
        q: Annotated[str, Query(max_length=200, description="words in titles, questions and answers")] = "",
        owner: Annotated[str, Query(max_length=64, description="only this owner's")] = "",
    ) -> list[Found]:
        """Search everybody's conversations. The search goes into the audit."""
        return list(await operations.search(caller, q, owner))

    @router.get("/conversations/{conversation_id}")
    async def read(caller: Caller, conversation_id: str) -> OpenedOut:
        """Read anybody's conversation. The look goes into the audit."""
        opened = await operations.open(caller, conversation_id)
        return OpenedOut(owner=opened.owner, conversation=schemas.ConversationOut.of(opened.conversation))

    @router.get("/people")
    async def people() -> list[Person]:
        """Accounts, the guests of the last day, and those with links."""
        return list(await operations.people.listing())

    @router.put("/people/{owner}/out", status_code=204)
    async def shut_out(caller: Caller, owner: str, to: SwitchIn) -> None:
        """Shut somebody out and end what runs for them, or let them in again; from their next request on."""
        await operations.people.shut_out(caller, owner, to.on)

    @router.put("/people/{owner}/quota", status_code=204)
    async def set_quota(caller: Caller, owner: str, quota: Quota) -> None:
        """Give somebody a quota of their own."""
        await operations.people.set_quota(caller, owner, quota)

    @router.delete("/people/{owner}/quota", status_code=204)
    async def reset_quota(caller: Caller, owner: str) -> None:
        """Give somebody the quota of their role again."""
        await operations.people.set_quota(caller, owner, None)

    @router.delete("/people/{owner}/links", status_code=204)
    async def revoke_links(caller: Caller, owner: str) -> None:
        """Revoke all share links of somebody."""
        await operations.people.revoke_links(caller, owner)

    @router.get("/audit")
    async def audit(
        before: Annotated[int | None, Query(ge=1, le=MAX_ID, description="lines older than this one")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> list[AuditLine]:
        """What operators did and looked at, newest first."""
        return list(await operations.audit(before, limit))

    return router
