"""What answers everywhere but in the API: a small start page at once, the interface as soon as it is there.

Importing Gradio takes seconds and happens in a thread, beside a server that already answers. The interface is mounted
on an application of its own, whose start-up runs here, because Gradio hangs its start-up on the lifespan of what it is
mounted on, and the server's own is long running by then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

from app.api.errors import ErrorBoundary, HttpError, add_error_handlers
from app.backend.types import Health

USUAL_S = 6.0
_API = ("/api/", "/v1/")


class FrontDoor:
    """An ASGI application that becomes the interface."""

    def __init__(self, start_page: str) -> None:
        self._start_page = start_page
        self._interface: FastAPI | None = None
        self._health = Health("starting", "", time.time(), USUAL_S)

    def health(self) -> Health:
        return self._health

    @asynccontextmanager
    async def interface(self, mount: Callable[[FastAPI], None]) -> AsyncIterator[None]:
        """Load the interface with `mount`, in a thread, and show it while the context is open."""
        interface = FastAPI(openapi_url=None)

        async def load() -> None:
            mount(interface)
            _shape_errors(interface)

        try:
            # In a running loop of its own: without one Gradio makes, and leaks, a loop for every lock that it creates.
            await asyncio.to_thread(lambda: asyncio.run(load()))
        except Exception:
            detail = "The page could not be loaded; the server's log says why."
            self._health = replace(self._health, state="down", detail=detail)
            raise
        async with interface.router.lifespan_context(interface):
            self._interface = interface
            self._health = Health("ready", since=time.time())
            try:
                yield
            finally:
                self._health = replace(self._health, state="stopped")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
        elif scope["path"].startswith(_API):
            raise HTTPException(404)
        elif self._interface is not None:
            await self._interface(scope, receive, send)
        elif _wants_a_page(scope):
            await HTMLResponse(self._start_page, headers={"Cache-Control": "no-store"})(scope, receive, send)
        else:
            raise HttpError(503, "starting", "The page is being prepared; try again in a few seconds.", retry_after_s=2)


def _shape_errors(app: FastAPI) -> None:
    """Errors in our shape from here and from what is mounted; each application answers its own before we see them."""
    app.add_middleware(ErrorBoundary)
    add_error_handlers(app)
    for route in app.routes:
        if isinstance(route, Mount) and isinstance(route.app, FastAPI):
            _shape_errors(route.app)


def _wants_a_page(scope: Scope) -> bool:
    if scope["method"] not in ("GET", "HEAD"):
        return False
    return scope["path"] == "/" or "text/html" in Headers(scope=scope).get("accept", "")
