"""Share links over HTTP, for their owner: make, list, revoke; and the say over what research may have.

Invariant: a link's address is given once, when it is made; afterwards only how it ends is known.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.access import ERRORS, FULL, Address, Owner
from app.api.errors import fields
from app.backend.shares import snapshots
from app.backend.shares.service import Shares

TEN_YEARS_S = 10 * 365 * 24 * 3600
Expiry = Annotated[
    float | None,
    Field(gt=0, le=TEN_YEARS_S, allow_inf_nan=False, description="seconds until the link shows nothing; null: never"),
]


class ShareIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    expires_in_s: Expiry = None
    seen: str = Field("", max_length=64, description="digest of a preview: refuse when that is not what would be shown")


class SharedOut(BaseModel):
    """The link. It is not shown again."""

    id: str
    url: str
    expires_at: float | None


class ShareOut(BaseModel):
    """A link. Times are Unix seconds; `hint` is how the address ends."""

    id: str
    conversation_id: str
    kind: Literal["chat", "comparison"]
    title: str
    hint: str
    views: int
    created_at: float
    expires_at: float | None

    @classmethod
    def of(cls, share: snapshots.Share) -> ShareOut:
        return cls(
            id=share.id,
            conversation_id=share.conversation_id,
            kind=share.kind,
            title=share.title,
            hint=share.hint,
            views=share.views,
            created_at=share.created_at,
            expires_at=share.expires_at,
        )


class ShareList(BaseModel):
    shares: list[ShareOut]


class Consent(BaseModel):
    """Whether your conversations may be given to research, without your name."""

    model_config = ConfigDict(extra="forbid")

    research: bool


def address_of_share(request: Request, token: str) -> str:
    """The address of a link, by the name that the server was asked by."""
    return str(request.base_url.replace(path=f"/s/{token}"))


def routes(shares: Shares) -> APIRouter:
    router = APIRouter(prefix="/api", tags=["shares"], responses=ERRORS)

    @router.post("/conversations/{conversation_id}/share", status_code=201)
    async def publish(
        owner: Owner, request: Request, conversation_id: str, wanted: ShareIn, response: Response
    ) -> SharedOut:
        """A link to what the conversation or comparison is now; what happens later does not show."""
        with fields():
            made = await shares.publish(owner, conversation_id, wanted.expires_in_s, wanted.seen)
        response.headers["Location"] = url = address_of_share(request, made.token)
        return SharedOut(id=made.share.id, url=url, expires_at=made.share.expires_at)

    @router.get("/shares")
    async def listing(owner: Owner) -> ShareList:
        """Your links, newest first, with their views."""
        return ShareList(shares=[ShareOut.of(share) for share in await shares.listing(owner)])

    @router.delete("/shares/{share_id}", status_code=204)
    async def revoke(owner: Owner, share_id: str) -> None:
        """From now on there is nothing behind the link."""
        await shares.revoke(owner, share_id)

    @router.get("/consent")
    async def consents(owner: Owner) -> Consent:
        """Whether your conversations may be given to research, without your name."""
        return Consent(research=await shares.consents(owner))

    @router.put("/consent", responses={429: FULL[429]})
    async def consent(owner: Owner, address: Address, wanted: Consent) -> Consent:
        """Give or take back your consent; what is exported afterwards follows it."""
        await shares.consent(owner, wanted.research, address)
        return wanted

    return router
