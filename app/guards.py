"""An application with the guards that stand around every address, and errors in our shape.

Invariant: a request meets them in the order in which they are listed, outermost first.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fastapi import FastAPI
from starlette.middleware import Middleware

from app import __version__
from app.api.errors import ErrorBoundary, add_error_handlers
from app.api.health import CountRequests
from app.backend.telemetry import Telemetry
from app.security import BodyLimit, OwnHost, SameSite, SecurityHeaders
from app.settings import ServerSettings

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def guarded(
    title: str, server: ServerSettings, lifespan: Lifespan, telemetry: Telemetry, *innermost: Middleware
) -> FastAPI:
    """`innermost` are the guards of this one application, such as the one that knows who asks."""
    guards = [
        Middleware(SecurityHeaders),
        Middleware(CountRequests, telemetry=telemetry),
        Middleware(ErrorBoundary),
        Middleware(OwnHost, bound_to=server.host, hosts=server.hosts, tunnels=server.share),
        Middleware(SameSite),
        Middleware(BodyLimit),
    ]
    app = FastAPI(
        title=title,
        version=__version__,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        middleware=[*guards, *innermost],
    )
    add_error_handlers(app)
    return app
