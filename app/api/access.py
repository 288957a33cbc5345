"""What every route needs: the owner of the request, and the errors that it may answer with.

Invariant: the owner comes from the identity middleware and from nowhere else.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request

from app.api.schemas import ErrorBody
from app.backend.types import Principal


# Asynchronous, though they wait for nothing: FastAPI takes each plain function to a thread and back.
async def _owner(request: Request) -> str:
    owner: str = request.state.owner
    return owner


async def _principal(request: Request) -> Principal:
    principal: Principal = request.state.principal
    return principal


async def _address(request: Request) -> str:
    """The network address that a request came from; behind a proxy of this machine, the one that it names."""
    return request.client.host if request.client else ""


Address = Annotated[str, Depends(_address)]
Owner = Annotated[str, Depends(_owner)]
Caller = Annotated[Principal, Depends(_principal)]
"""Who asks, with name and role; for addresses that the policy keeps for users or admins."""

ERRORS: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorBody, "description": "It does not exist, or belongs to somebody else"},
    422: {"model": ErrorBody, "description": "The request is wrong; the message says how to mend it"},
}
FULL: dict[int | str, dict[str, Any]] = {
    429: {"model": ErrorBody, "description": "You have too much waiting already"},
    503: {"model": ErrorBody, "description": "Everything is full, or a part is down; see retry_after_s"},
}
