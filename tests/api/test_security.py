"""Every answer carries the policy, no other site can write, and none is let in."""

import asyncio
from pathlib import Path

import httpx
import pytest
from starlette.responses import PlainTextResponse

from app.security import CONTENT_SECURITY_POLICY, MAX_BODY_BYTES, BodyLimit, OwnHost
from tests.api.house import Served, error_of, events_of, serving, text_of, until_part

pytestmark = pytest.mark.anyio

POLICY = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
}


def test_the_policy_loads_nothing_from_elsewhere_and_cannot_be_framed() -> None:
    directives = dict(part.strip().split(" ", 1) for part in CONTENT_SECURITY_POLICY.split(";"))
    assert directives["default-src"] == directives["connect-src"] == directives["base-uri"] == "'self'"
    assert directives["object-src"] == directives["frame-ancestors"] == "'none'"
    assert directives["img-src"] == "'self' data: blob:"
    assert not any("http" in sources or "*" in sources for sources in directives.values())


async def test_every_answer_carries_the_policy(served: Served) -> None:
    @served.app.get("/api/broken")
    async def broken() -> None:
        raise RuntimeError

    generation = await served.ask()
    paths = [
        "/",
        "/no-such-page",
        "/api/conversations",
        "/api/no-such",
        "/api/broken",
        "/healthz",
        "/readyz",
        "/metrics",
    ]
    for path in [*paths, f"/api/generations/{generation}/events", "/api/openapi.json"]:
        response = await served.guest.get(path)
        assert {name: response.headers.get(name) for name in POLICY} == POLICY, path
    refused = await served.guest.post("/api/conversations", headers={"origin": "https://evil.test"})
    assert {name: refused.headers.get(name) for name in POLICY} == POLICY


async def test_what_the_api_tells_is_kept_out_of_caches(served: Served) -> None:
    assert (await served.guest.get("/api/conversations")).headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.test"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "same host by https"},
        {"origin": "http://127.0.0.1.evil.test"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "origin": "same"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
async def test_a_write_from_another_site_is_refused_and_does_nothing(
    served: Served, headers: dict[str, str], method: str
) -> None:
    conversation = (await served.guest.post("/api/conversations")).json()["id"]
    meant = {"same": served.url, "same host by https": served.url.replace("http:", "https:")}
    headers = {name: meant.get(value, value) for name, value in headers.items()}
    body = None if method == "DELETE" else {"title": "Stolen", "question": "Stolen?", "pipeline": "direct"}
    path = f"/api/conversations/{conversation}" + ("/ask" if method == "POST" else "")
    refused = await served.guest.request(method, path, headers=headers, json=body)
    assert (refused.status_code, error_of(refused)["code"]) == (403, "forbidden")
    assert (await served.guest.get(f"/api/conversations/{conversation}")).json()["turns"] == []


async def test_our_own_page_and_programs_may_write(served: Served) -> None:
    for headers in ({}, {"origin": served.url}, {"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}):
        assert (await served.guest.post("/api/conversations", headers=headers)).status_code == 201


async def test_no_other_site_is_let_in_by_cors_not_even_by_a_mounted_part(tmp_path: Path) -> None:
    from fastapi import FastAPI
    from starlette.middleware.cors import CORSMiddleware

    def generous(app: FastAPI) -> None:
        app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_credentials=True)

        @app.get("/")
        async def page() -> str:
            return "page"

    async with serving(tmp_path, mount=generous) as served, httpx.AsyncClient(base_url=served.url) as client:
        await until_part(served, "interface", "ready")
        for path in ("/", "/api/conversations"):
            response = await client.get(path, headers={"origin": "https://evil.test"})
            assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize("host", ["evil.test", "evil.test:80", "127.0.0.1.evil.test", "localhost.evil.test", "[::", ""])
async def test_on_loopback_no_other_name_is_answered(served: Served, host: str) -> None:
    for path in ("/", "/api/conversations", "/metrics"):
        refused = await served.guest.get(path, headers={"host": host})
        assert (refused.status_code, error_of(refused)["code"]) == (421, "wrong_host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:7860", "[::1]", "[::1]:7860"])
async def test_the_names_of_loopback_are_answered(served: Served, host: str) -> None:
    assert (await served.guest.get("/api/conversations", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    ("bound_to", "hosts", "host", "status"),
    [
        ("127.0.0.1", ("chat.test",), "chat.test:443", 200),
        ("127.0.0.1", ("chat.test",), "evil.test", 421),
        ("0.0.0.0", (), "chat.test", 200),
        ("0.0.0.0", ("Chat.test",), "chat.test", 200),
        ("0.0.0.0", ("chat.test",), "evil.test", 421),
        ("0.0.0.0", ("chat.test",), "localhost", 200),
    ],
)
async def test_more_names_can_be_set(bound_to: str, hosts: tuple[str, ...], host: str, status: int) -> None:
    guarded = OwnHost(PlainTextResponse("in"), bound_to, hosts)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guarded), base_url=f"http://{host}") as client:
        assert (await client.get("/")).status_code == status


async def test_a_body_that_does_not_come_to_its_end_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BodyLimit.__init__, "__defaults__", (MAX_BODY_BYTES, 0.2))
    async with serving(tmp_path) as served, asyncio.timeout(30):
        url = httpx.URL(served.url)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        head = "POST /v1/retrieve HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        writer.write(f"{head}content-length: 100\r\n\r\n{{".encode())
        answer = await reader.read()  # to its end: the connection is closed too
        writer.close()
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"code":"too_slow"' in answer


async def test_a_stream_goes_on_after_the_time_for_a_body(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BodyLimit.__init__, "__defaults__", (MAX_BODY_BYTES, 0.01))
    gate = asyncio.Event()
    async with serving(tmp_path, [["One", gate, " two"]]) as served:
        reading = asyncio.create_task(events_of(served.guest, await served.ask()))
        await asyncio.sleep(0.1)
        gate.set()
        assert text_of(await reading) == "One two"
