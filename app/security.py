"""What every answer and every request must keep to: security headers, our host name, no cross-site writes, bounded
bodies.

Pure ASGI, because a stream must pass through untouched and a disconnect must arrive at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import TOO_LARGE, HttpError, answer_error

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'none'"
)
TUNNELS = ".gradio.live"
MAX_BODY_BYTES = 2 * 1024 * 1024
MAX_BODY_S = 30.0
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def allow_frames(request: HTTPConnection, origins: Iterable[str]) -> None:
    """Let pages of these origins show the answer to this request in a frame; without it, nobody may."""
    request.state.frame_ancestors = " ".join(origins)


def allow_elsewhere(request: HTTPConnection) -> None:
    """Let pages of any site show the answer to this request as a picture; without it, only ours may."""
    request.state.resource_policy = "cross-origin"


class SecurityHeaders:
    """Adds the policy to every answer and takes away what would open it to other sites (Gradio's CORS headers)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        private = scope["path"].startswith(("/api/", "/v1/"))
        state = scope.setdefault("state", {})

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name in [name for name in headers if name.startswith("access-control-")]:
                    del headers[name]
                headers["content-security-policy"] = _policy(state.get("frame_ancestors", ""))
                headers["x-content-type-options"] = "nosniff"
                headers["referrer-policy"] = "same-origin"
                headers["cross-origin-resource-policy"] = state.get("resource_policy", "same-origin")
                if private:
                    headers["cache-control"] = "no-store"
            await send(message)

        await self._app(scope, receive, send_guarded)


def _policy(frame_ancestors: str) -> str:
    if not frame_ancestors:
        return CONTENT_SECURITY_POLICY
    return CONTENT_SECURITY_POLICY.replace("frame-ancestors 'none'", f"frame-ancestors {frame_ancestors}")


class OwnHost:
    """Refuses requests by another name than ours: a site that points its own name here would be the same site to a
    browser. Bound beyond loopback, any name is right until `hosts` says which are. With `tunnels`, Gradio's are too:
    who comes by one came over https, which the tunnel's client does not say.
    """

    def __init__(self, app: ASGIApp, bound_to: str, hosts: tuple[str, ...], tunnels: bool = False) -> None:
        self._app = app
        self._tunnels = tunnels
        names = frozenset(host.lower() for host in hosts)
        self._hosts = names | _LOOPBACK if names or bound_to in _LOOPBACK else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            name = _host_name(scope)
            if not self._ours(name):
                sentence = "This server does not answer to this name; whoever runs it can add it to `server.hosts`."
                await answer_error(HttpError(421, "wrong_host", sentence), scope, receive, send)
                return
            if self._by_tunnel(name):
                scope["scheme"] = "https"
        await self._app(scope, receive, send)

    def _ours(self, name: str) -> bool:
        return self._hosts is None or name in self._hosts or self._by_tunnel(name)

    def _by_tunnel(self, name: str) -> bool:
        return self._tunnels and name.endswith(TUNNELS)


def _host_name(scope: Scope) -> str:
    try:
        return urlsplit("//" + Headers(scope=scope).get("host", "")).hostname or ""
    except ValueError:
        return ""


class SameSite:
    """Refuses what another site's page makes a browser send: the cookie would come along. Programs send no Origin."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in _SAFE_METHODS and not _same_site(scope):
            refused = HttpError(403, "forbidden", "This request came from another site's page and was refused.")
            await answer_error(refused, scope, receive, send)
            return
        await self._app(scope, receive, send)


def _same_site(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    if origin is None:
        return True
    return origin.lower() == f"{scope['scheme']}://{headers.get('host', '')}".lower()


class BodyLimit:
    """Answers 413 to a body above the limit, as soon as that is known, and 408 to one that does not come to its end."""

    def __init__(self, app: ASGIApp, max_bytes: int = MAX_BODY_BYTES, max_s: float = MAX_BODY_S) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_s = max_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > self._max_bytes:
            await answer_error(HttpError(413, *TOO_LARGE), scope, receive, send)
            return
        received = 0
        until: float | None = asyncio.get_running_loop().time() + self._max_s

        async def receive_counted() -> Message:
            nonlocal received, until
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError as error:
                raise HTTPException(408, headers={"Connection": "close"}) from error
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise HTTPException(413)  # FastAPI turns any other exception of a body into a 400
            if not message.get("more_body"):
                until = None  # from here on this waits for the reader to leave
            return message

        await self._app(scope, receive_counted, send)
