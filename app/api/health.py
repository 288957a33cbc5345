"""Whether the server lives, what it waits for, what it counts: /healthz, /readyz, /metrics.

Invariant: none of them waits for a part, but /metrics a second at most for engine servers elsewhere; they answer while
the engine starts.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.backend.telemetry import Telemetry
from app.backend.types import Health

Parts = Mapping[str, Callable[[], Health]]
"""The parts by name, with what tells their health."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"})


def routes(parts: Parts, render: Callable[[], Awaitable[bytes]], *, needed: frozenset[str]) -> APIRouter:
    """`needed` are the parts without which no question can be answered; `render` gives the metrics."""
    router = APIRouter(tags=["health"])

    @router.head("/healthz", include_in_schema=False)
    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """200 as soon as HTTP is up."""
        return {"status": "ok"}

    @router.head("/readyz", include_in_schema=False, response_class=JSONResponse)
    @router.get("/readyz", response_class=JSONResponse)
    async def readyz() -> JSONResponse:
        """200 when questions can be answered, else 503; each part's state, and under `parts` what it is doing."""
        health = {name: part() for name, part in parts.items()}
        ready = all(health[name].state == "ready" for name in needed)
        states: dict[str, object] = {name: _state(part) for name, part in health.items()}
        states["parts"] = {name: _shown(part) for name, part in health.items()}
        return JSONResponse(states, 200 if ready else 503, {"Cache-Control": "no-store"})

    @router.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Prometheus' text format."""
        return Response(await render(), media_type=CONTENT_TYPE_LATEST)

    return router


def _state(health: Health) -> str:
    """A part whose turn to start has not come is starting, to whoever waits for it."""
    return "starting" if health.state == "stopped" else health.state


def _shown(health: Health) -> dict[str, object]:
    begun = health.state != "stopped" and health.since
    elapsed = round(time.time() - health.since, 1) if begun else None
    return {
        "state": _state(health),
        "detail": health.detail,
        "elapsed_s": elapsed,
        "expected_s": health.expected_s,
    }


class CountRequests:
    """Middleware: counts answers by method and status, not by path, which anybody can invent."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else "other"

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._telemetry.requests.labels(method, str(message["status"])).inc()
            await send(message)

        await self._app(scope, receive, send_counted)
