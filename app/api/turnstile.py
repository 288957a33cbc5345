"""How many retrieval requests are inside at once: of one caller, of all together, and how many of them search.

A pipeline's own searches do not come by here, so a flood of requests delays them by a few searches at most.
Invariant: who is let in leaves again, however the request ends.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fastapi import Request

from app.backend.admission import network_of
from app.backend.errors import Busy, Refused
from app.backend.types import Principal

RETRY_S = 2.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """Requests inside at once of one caller and of all; of these, so many search one query each at the same time."""

    caller: int
    everybody: int
    searching: int


BESIDE_CHATS = Bounds(caller=32, everybody=256, searching=16)
ALONE = Bounds(caller=512, everybody=512, searching=512)
"""A service that only retrieves has other servers as callers, each with all of its users."""


class Turnstile:
    """One per application; `who` names the caller of a request, `refused` hears why one was turned away."""

    def __init__(
        self, bounds: Bounds, who: Callable[[Request], str], refused: Callable[[str], None] = lambda reason: None
    ) -> None:
        self._bounds = bounds
        self._who = who
        self._refused = refused
        self._inside: Counter[str] = Counter()
        self.searching = asyncio.Semaphore(bounds.searching)

    async def inside(self, request: Request) -> AsyncIterator[None]:
        """A dependency of a route: raises Refused above the caller's own bound, Busy above everybody's."""
        caller, retry_s = self._who(request), round(RETRY_S * random.uniform(0.5, 1.5), 1)
        if self._inside[caller] >= self._bounds.caller:
            words = f"You have {self._bounds.caller} retrieval requests here already; send several queries in one."
            self._refused("retrieval")
            raise Refused(words, retry_after_s=retry_s)
        if self._inside.total() >= self._bounds.everybody:
            self._refused("retrieval_full")
            raise Busy("Too many retrieval requests are here; please try again shortly.", retry_after_s=retry_s)
        with counted(self._inside, caller):
            yield


@contextmanager
def counted(inside: Counter[str], *keys: str) -> Iterator[None]:
    """Each of `keys` is inside once more meanwhile; what is not inside takes no room."""
    inside.update(keys)
    try:
        yield
    finally:
        inside.subtract(keys)
        for key in keys:
            if not inside[key]:
                del inside[key]


def caller(request: Request) -> str:
    """An account, or the network of a guest: who drops the cookie is the same caller."""
    principal: Principal | None = getattr(request.state, "principal", None)
    if principal is not None and principal.role != "guest":
        return principal.id
    return network_of(request.client.host if request.client else "")
