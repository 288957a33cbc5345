"""How many requests one caller may have open at once, event streams among them.

An account is counted by its name. Guests are counted by their cookie and, as strangers are, by network, because who
drops the cookie is a new guest. Invariant: a request is counted until it ends, however it ends.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.errors import HttpError, answer_error
from app.api.turnstile import counted
from app.backend.admission import network_of
from app.backend.types import Principal
from app.settings import ServerSettings

ONE_PERSONS = 128
"""Eight tabs with four streaming columns each, four times."""
ONE_NETWORKS = 1_024
_RETRY_S = 2.0
_TOO_MANY = "You have too many requests open here: close some of your pages, or wait until some have ended."


class Crowd:
    """Middleware: answers 429 to a request above its caller's bound. Stands inside `IdentityMiddleware`.
    `refused` hears of it.

    On a machine that serves only itself nobody is counted: there is nobody whom it could keep out.
    """

    def __init__(self, app: ASGIApp, server: ServerSettings, refused: Callable[[str], None]) -> None:
        self._app = app
        self._refused = refused
        self._counts = server.mode == "accounts" or not server.local
        self._open: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._counts:
            await self._app(scope, receive, send)
            return
        bounds = _bounds(scope)
        if any(self._open[key] >= most for key, most in bounds.items()):
            self._refused("open_requests")
            error = HttpError(429, "crowded", _TOO_MANY, round(_RETRY_S * random.uniform(0.5, 1.5), 1))
            await answer_error(error, scope, receive, send)
            return
        with counted(self._open, *bounds):
            await self._app(scope, receive, send)


def _bounds(scope: Scope) -> Mapping[str, int]:
    """Under which names a request is counted, and how many there may be of each."""
    principal: Principal | None = scope["state"]["principal"]
    person = {principal.id: ONE_PERSONS} if principal else {}
    if principal and principal.role != "guest":
        return person
    client = scope.get("client")
    return person | {network_of(client[0] if client else ""): ONE_NETWORKS}
