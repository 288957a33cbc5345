"""Of all that Gradio offers to strangers, only what our page asks for is there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import Receive, Scope, Send

from app import ui
from app.backend.engines.scripted import ScriptedEngine
from app.backend.pipelines.registry import create_registry
from app.backend.service import Backend
from app.backend.storage.database import Database
from app.backend.types import Principal
from app.identity import Identity
from app.policy import AUDIENCES
from tests.doubles import Shelf, settings

pytestmark = pytest.mark.anyio
READ_ONLY = ("/", "/theme.css", "/assets/{path:path}", "/static/{path:path}")  # Gradio's own
NEW_SINCE = ("/gradio_api/upload", "/gradio_api/upload/", "/gradio_api/anything", "//gradio_api/upload", "/docs", "/x")


@pytest.fixture
async def interface(tmp_path: Path) -> FastAPI:  # async: without a running loop Gradio leaks one for each lock
    chosen = settings(tmp_path)
    backend = Backend(chosen, Database(tmp_path / "c.db"), ScriptedEngine(), Shelf(), create_registry(chosen))
    app = FastAPI(openapi_url=None)
    ui.mount(app, backend, chosen, Identity(b"secret"))
    return app


@pytest.fixture
async def visitor(interface: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async def operated(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["principal"] = Principal("guest-1", "admin")
        await interface(scope, receive, send)

    transport = httpx.ASGITransport(operated)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


def doors(routes: Sequence[BaseRoute]) -> Iterator[tuple[str, str]]:
    for route in routes:
        if isinstance(route, Mount):
            yield from doors(route.routes)
        else:
            assert isinstance(route, Route)
            yield from ((method, route.path) for method in route.methods or ())


async def test_every_route_that_the_page_does_not_need_is_not_there(
    interface: FastAPI, visitor: httpx.AsyncClient
) -> None:
    closed = {
        (method, path)
        for method, path in doors(interface.routes)
        if path not in AUDIENCES or (path in READ_ONLY and method not in ("GET", "HEAD"))
    }
    assert len(closed) > 50
    for method, path in sorted(closed | {(m, p) for m in ("GET", "POST", "PUT", "OPTIONS") for p in NEW_SINCE}):
        answer = await visitor.request(method, path)
        assert answer.status_code == 404, (method, path)
        if method != "HEAD":
            assert answer.json()["error"]["code"] == "not_found", (method, path)


async def test_an_upload_is_not_taken(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.post("/gradio_api/upload", files={"files": ("a.txt", b"x")})
    assert answer.status_code == 404


async def test_the_page_does_not_repeat_the_host_that_a_stranger_names(visitor: httpx.AsyncClient) -> None:
    forwarded = {"x-forwarded-host": "evil.test", "x-forwarded-proto": "https", "X-Forwarded-Server": "evil.test"}
    page = await visitor.get("/", headers=forwarded)
    assert page.status_code == 200
    assert "gradio_config" in page.text
    assert "evil.test" not in page.text
