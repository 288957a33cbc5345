"""The port answers before the interface is loaded: with a start page, which gives way to the interface by itself."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from app.backend import create_backend
from app.backend.service import Backend
from app.server import create_app
from app.settings import Settings
from tests.api.house import Served, a_page, error_of, serving

pytestmark = pytest.mark.anyio


async def test_the_start_page_is_there_until_the_interface_is(tmp_path: Path) -> None:
    loaded = threading.Event()

    def slowly(app: FastAPI) -> None:
        loaded.wait(60)
        a_page(app)

    async with serving(tmp_path, mount=slowly) as served:
        start = await served.guest.get("/", headers={"accept": "text/html"})
        assert (start.status_code, start.headers["cache-control"]) == (200, "no-store")
        assert start.headers["content-type"].startswith("text/html")
        assert 'fetch("/readyz"' in start.text
        assert "http://" not in start.text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in start.text
        state = (await served.guest.get("/readyz")).json()
        assert state["interface"] == "starting"
        assert state["parts"]["interface"]["expected_s"] > 0
        refused = await served.guest.post("/gradio_api/component_server/", json={})
        assert (refused.status_code, error_of(refused)["retry_after_s"]) == (503, 2)
        loaded.set()
        await interface(served, "ready")
        assert (await served.guest.get("/")).text == "<p>The interface.</p>"


async def test_conversations_work_before_the_interface_and_the_engine_do(tmp_path: Path) -> None:
    loaded = threading.Event()
    async with serving(tmp_path, mount=lambda app: loaded.wait(60)) as served:
        assert (await served.guest.post("/api/conversations")).status_code == 201
        assert served.engine.health().state == "stopped"  # its imports must not slow the interface's
        loaded.set()
        await interface(served, "ready")


async def test_an_interface_that_cannot_be_loaded_is_told_and_the_api_goes_on(tmp_path: Path) -> None:
    def broken(app: FastAPI) -> None:
        raise ImportError("no module named hunter2")

    async with serving(tmp_path, mount=broken) as served:
        await interface(served, "down")
        assert (await served.guest.get("/")).status_code == 200
        state = await served.guest.get("/readyz")
        assert "hunter2" not in state.text
        assert (await served.guest.post("/v1/retrieve", json={"query": "rain"})).status_code == 200


async def test_the_lifespan_of_what_is_mounted_runs_from_its_opening_to_the_end(tmp_path: Path) -> None:
    seen: list[str] = []

    def mount(app: FastAPI) -> None:
        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            seen.append("opened")
            yield
            seen.append("closed")

        app.router.lifespan_context = lifespan
        a_page(app)

    async with serving(tmp_path, mount=mount) as served:
        await interface(served, "ready")
        assert seen == ["opened"]
    assert seen == ["opened", "closed"]


async def test_parts_that_cannot_be_started_are_told_and_everything_is_closed_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(backend: Backend) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Backend, "start", fails)
    said: list[str] = []
    settings = Settings(data=tmp_path, engine={"kind": "scripted"})
    backend = create_backend(settings)
    app = create_app(settings, backend=backend, mount=a_page, say=said.append)
    async with asyncio.timeout(30), app.router.lifespan_context(app):
        while not any("could not be started" in line for line in said):
            await asyncio.sleep(0.01)
    assert backend.database_health().state == "stopped"


@pytest.mark.process
async def test_gradio_mounted_late_runs_its_events_and_knows_the_guest(
    tmp_path: Path, opened: Callable[..., None]
) -> None:
    opened("/gradio_api/call/who", "/gradio_api/call/who/{event}")

    def mount(app: FastAPI) -> None:
        import gradio as gr

        def who(name: str, request: gr.Request) -> str:
            return f"{name}: {request.state.owner}"

        with gr.Blocks() as blocks:
            gr.Interface(who, "text", "text", api_name="who")
        blocks.max_threads = 100
        gr.mount_gradio_app(app, blocks, path="/", footer_links=[], run_history=False, enable_monitoring=False)

    async with serving(tmp_path, mount=mount) as served:
        await interface(served, "ready")
        page = await served.guest.get("/")
        assert "gradio_config" in page.text
        owners = []
        for client in (served.guest, served.guest, served.other):
            event = (await client.post("/gradio_api/call/who", json={"data": ["I am"]})).json()["event_id"]
            async with asyncio.timeout(60):
                owners.append((await client.get(f"/gradio_api/call/who/{event}")).text.split("I am: ")[1].split('"')[0])
        assert owners[0] == owners[1] != owners[2]
        assert owners[0].startswith("guest-")


@pytest.mark.parametrize("folder", ["", "/mounted"])
async def test_errors_of_the_interface_are_in_the_one_shape_and_tell_nothing(
    tmp_path: Path, folder: str, opened: Callable[..., None]
) -> None:
    opened(f"{folder}/broken", f"{folder}/number")

    def mount(app: FastAPI) -> None:
        inner = app
        if folder:
            inner = FastAPI(openapi_url=None)
            app.mount(folder, inner)

        @inner.get("/broken")
        async def broken() -> None:
            raise RuntimeError("hunter2")

        @inner.get("/number")
        async def number(n: int) -> int:
            return n

    async with serving(tmp_path, mount=mount) as served:
        await interface(served, "ready")
        for path, status, code in (
            ("/broken", 500, "error"),
            ("/number?n=x", 422, "bad_input"),
            ("/no-such", 404, "not_found"),
        ):
            response = await served.guest.get(folder + path)
            assert (response.status_code, error_of(response)["code"]) == (status, code)
            assert "hunter2" not in response.text


async def test_no_web_socket_is_opened(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        upgrade = {
            "connection": "Upgrade",
            "upgrade": "websocket",
            "sec-websocket-version": "13",
            "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        async with httpx.AsyncClient(base_url=served.url) as client:
            assert (await client.get("/ws", headers=upgrade)).status_code in (200, 403, 404)


async def interface(served: Served, state: str) -> None:
    async with asyncio.timeout(90):
        while (await served.guest.get("/readyz")).json()["interface"] != state:
            await asyncio.sleep(0.01)
