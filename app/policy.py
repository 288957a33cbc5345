"""Who may go where: every address of every application, and the one middleware that asks.

Invariant: what is not listed is 404 to everybody, so that a new route is closed until somebody decides who it is for.
The audience of an address holds for all of its methods; whose rows a route may touch is still the route's own question.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from typing import Literal
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.errors import HttpError, error_response
from app.backend.types import Principal

Audience = Literal["public", "user", "admin"]
"""`user` is whoever the server recognises, also a guest where guests are let in."""

AUDIENCES: Mapping[str, Audience] = {
    "/healthz": "public",
    "/readyz": "public",
    "/metrics": "admin",
    "/api/openapi.json": "user",
    # accounts
    "/login": "public",
    "/logout": "public",
    "/join": "public",
    "/account": "user",
    "/account/keys": "user",
    "/account/keys/{key_id}/revoke": "user",
    "/account/password": "user",
    "/account/sessions/end": "user",
    # the page
    "/": "user",
    "/theme.css": "public",
    "/assets/{path:path}": "public",
    "/static/{path:path}": "public",
    "/ui/static/{name}": "public",
    "/ui/generations/{generation_id}/live": "user",
    "/gradio_api/component_server/": "user",
    # conversations and answers
    "/api/conversations": "user",
    "/api/conversations/{conversation_id}": "user",
    "/api/conversations/{conversation_id}/ask": "user",
    "/api/conversations/{conversation_id}/branch": "user",
    "/api/conversations/{conversation_id}/export": "user",
    "/api/conversations/{conversation_id}/restore": "user",
    "/api/generations/{generation_id}": "user",
    "/api/generations/{generation_id}/choose": "user",
    "/api/generations/{generation_id}/events": "user",
    "/api/generations/{generation_id}/regenerate": "user",
    "/api/generations/{generation_id}/stop": "user",
    "/api/pipelines": "user",
    # comparisons
    "/compare": "user",
    "/ui/compare": "user",
    "/api/compare": "user",
    "/api/comparisons": "user",
    "/api/comparisons/{comparison_id}": "user",
    "/api/comparisons/{comparison_id}/columns/{letter}/again": "user",
    "/api/comparisons/{comparison_id}/export": "user",
    "/api/comparisons/{comparison_id}/vote": "user",
    # batches
    "/compare/batches": "user",
    "/compare/batches/{batch_id}": "user",
    "/ui/batches/list": "user",
    "/ui/batches/{batch_id}/board": "user",
    "/api/batches": "user",
    "/api/batches/{batch_id}": "user",
    "/api/batches/{batch_id}/export": "user",
    "/api/batches/{batch_id}/stop": "user",
    "/api/batches/{batch_id}/continue": "user",
    # the leaderboard
    "/leaderboard": "user",
    "/ui/leaderboard/battles": "user",
    "/ui/leaderboard/board": "user",
    "/api/leaderboard": "user",
    # share links
    "/links": "user",
    "/ui/share/{conversation_id}": "user",
    "/api/conversations/{conversation_id}/share": "user",
    "/api/shares": "user",
    "/api/shares/{share_id}": "user",
    "/api/consent": "user",
    "/s/{token}": "public",
    "/s/{token}/preview.png": "public",
    "/s/{token}/live/{key}": "public",
    "/s/{token}/fork": "public",
    "/s/{token}/again/{key}": "public",
    "/s/{token}/changes/{key}": "public",
    # demos
    "/demos": "user",
    "/d/{name}": "public",
    "/d/{name}/present": "user",
    "/ui/demos/list": "user",
    "/ui/demos/{demo_id}/board": "user",
    "/ui/d/{name}/thread": "public",
    "/ui/d/{name}/live/{ticket}": "public",
    "/ui/d/{name}/trace/{generation_id}": "public",
    "/api/demos": "user",
    "/api/demos/{demo_id}": "user",
    "/api/demos/{demo_id}/questions": "user",
    "/api/demos/{demo_id}/questions/{question_id}": "user",
    "/api/d/{name}": "public",
    "/api/d/{name}/questions": "public",
    "/api/d/{name}/questions/{question_id}/vote": "public",
    "/api/d/{name}/generations/{generation_id}/stop": "public",
    # operators
    "/admin": "admin",
    "/ui/admin/{part}": "admin",
    "/api/admin/audit": "admin",
    "/api/admin/backups": "admin",
    "/api/admin/conversations": "admin",
    "/api/admin/conversations/{conversation_id}": "admin",
    "/api/admin/drain": "admin",
    "/api/admin/generations/{generation_id}/stop": "admin",
    "/api/admin/now": "admin",
    "/api/admin/people": "admin",
    "/api/admin/people/{owner}/links": "admin",
    "/api/admin/people/{owner}/out": "admin",
    "/api/admin/people/{owner}/quota": "admin",
    "/api/admin/storage": "admin",
    # retrieval
    "/api/corpora": "user",
    "/retrieve": "user",
    "/v1/embeddings": "user",
    "/v1/rerank": "user",
    "/v1/retrieve": "user",
}
"""Paths as their routes are declared."""

LOG_IN = "/login"
ADMINS_ONLY = "/account?done=admins"


def audience_of(path: str) -> Audience | None:
    """Who an address is for; None when it is not listed."""
    if path in AUDIENCES:
        return AUDIENCES[path]
    return next((audience for listed, audience in AUDIENCES.items() if _pattern(listed).match(path)), None)


def admits(audience: Audience, principal: Principal | None) -> bool:
    """Whether an audience includes a caller; nobody is recognised as None."""
    match audience:
        case "public":
            return True
        case "user":
            return principal is not None
        case "admin":
            return principal is not None and principal.role == "admin"


class PolicyMiddleware:
    """Lets a request through to the address it is for, or answers it. Stands inside `IdentityMiddleware`."""

    def __init__(self, app: ASGIApp, accounts: bool = False) -> None:
        self._app = app
        self._accounts = accounts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            refusal = _refusal(scope, self._accounts)
            if refusal is not None:
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _refusal(scope: Scope, accounts: bool) -> Response | None:
    """`accounts`: there is a page to log in, also for who is a guest so far."""
    audience, principal = audience_of(scope["path"]), scope["state"]["principal"]
    if audience is None:
        return error_response(HttpError(404, "not_found", "There is nothing at this address."), scope)
    if admits(audience, principal):
        return None
    if principal is not None and principal.role == "user" and wants_a_page(scope):
        return RedirectResponse(ADMINS_ONLY, HTTPStatus.SEE_OTHER, {"Cache-Control": "no-store"})
    guest = principal is not None and principal.role == "guest" and accounts
    if principal is not None and not (guest and wants_a_page(scope)):
        return error_response(HttpError(403, "forbidden", "This is for administrators."), scope)
    if wants_a_page(scope):
        wanted = scope["path"] + ("?" + scope["query_string"].decode("latin-1") if scope["query_string"] else "")
        to = LOG_IN if wanted == "/" else f"{LOG_IN}?next={quote(wanted, safe='')}"
        return RedirectResponse(to, HTTPStatus.SEE_OTHER, {"Cache-Control": "no-store"})
    sentence = "Log in first, or send an API key as `Authorization: Bearer KEY`."
    response = error_response(HttpError(401, "unauthorized", sentence), scope)
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def wants_a_page(scope: Scope) -> bool:
    """Whether a browser asks, to show what it gets."""
    if scope["method"] not in ("GET", "HEAD") or scope["path"].startswith(("/api/", "/v1/")):
        return False
    return scope["path"] == "/" or "text/html" in Headers(scope=scope).get("accept", "")


@cache
def _pattern(listed: str) -> re.Pattern[str]:
    return compile_path(listed)[0]
