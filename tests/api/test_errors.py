"""Whatever goes wrong has one shape, one sentence, and an id that is in the log; nothing inside is shown."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import structlog
from fastapi import FastAPI

from app.backend.errors import Busy, StoreError
from app.settings import ServerSettings
from tests.api.house import Served, error_of, on_loopback, serving

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/no-such", 404, "not_found"),
        ("POST", "/api/no-such", 404, "not_found"),
        ("GET", "/v1/no-such", 404, "not_found"),
        ("GET", "/api/conversations/none", 404, "not_found"),
        ("PUT", "/api/conversations", 405, "method_not_allowed"),
        ("GET", "/v1/retrieve", 405, "method_not_allowed"),
        ("GET", "/api/conversations?limit=0", 422, "bad_input"),
        ("GET", "/api/conversations?q=" + "x" * 201, 422, "bad_input"),
    ],
)
async def test_every_refusal_has_the_one_shape(served: Served, method: str, path: str, status: int, code: str) -> None:
    response = await served.guest.request(method, path)
    assert (response.status_code, error_of(response)["code"]) == (status, code)
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", ["/no/such", "/login", "/compare/batches/none", "/api/no-such"])
async def test_a_browser_where_there_is_nothing_gets_a_page_with_the_way_back(served: Served, path: str) -> None:
    response = await served.guest.get(path, headers={"accept": "text/html", "accept-language": "zh"})
    assert response.status_code == 404
    if path.startswith("/api/"):
        assert error_of(response)["code"] == "not_found"
        return
    assert response.headers["content-type"].startswith("text/html")
    assert response.headers["cache-control"] == "no-store"
    assert "default-src" in response.headers["content-security-policy"]
    assert '<a class="button" href="/">' in response.text and "这里没有内容" in response.text


async def test_a_browser_that_is_refused_gets_a_page_that_says_why(tmp_path: Path) -> None:
    async with serving(tmp_path, doors=ServerSettings(hosts=("localhost",), allow_guests=True, share=True)) as served:
        page = {"accept": "text/html", "accept-language": "zh"}
        for path, status in (("/admin", 403), ("/metrics", 403)):
            response = await served.guest.get(path, headers=page)
            assert response.status_code == status
            assert response.headers["content-type"].startswith("text/html")
            assert '<a class="button" href="/">' in response.text and "无法显示此页面" in response.text
            assert "你无权访问此内容。" in response.text
            assert error_of(await served.guest.get(path))["code"] == "forbidden"


async def test_what_a_browser_is_told_that_is_no_refusal_stays_as_it_is(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        (tmp_path / "colloquy.db").unlink()
        told = await served.guest.get("/readyz", headers={"accept": "text/html"})
        assert (told.status_code, told.json()["database"]) == (503, "down")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"question": "secret-word", "extra": 1}', b"null"])
async def test_a_body_that_is_not_what_was_asked_for_is_not_echoed(served: Served, body: bytes) -> None:
    conversation = (await served.guest.post("/api/conversations")).json()["id"]
    headers = {"content-type": "application/json"}
    response = await served.guest.post(f"/api/conversations/{conversation}/ask", content=body, headers=headers)
    assert response.status_code in (400, 422)
    assert error_of(response)["code"] == "bad_input"
    assert "secret-word" not in response.text


@pytest.mark.parametrize("title", ["", "x" * 201])
async def test_a_title_of_the_wrong_length_is_refused_in_words_for_people(served: Served, title: str) -> None:
    conversation = (await served.guest.post("/api/conversations")).json()["id"]
    response = await served.guest.patch(f"/api/conversations/{conversation}", json={"title": title})
    assert (response.status_code, error_of(response)["message"]) == (422, "A title has 1 to 200 characters.")


@pytest.mark.parametrize("body", [b"[]", b"null", b"1"])
async def test_json_that_is_no_object_is_told_to_be_one(served: Served, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    response = await served.guest.post("/v1/retrieve", content=body, headers=headers)
    message = "The request needs an object of JSON as its body, with the content type application/json."
    assert (response.status_code, error_of(response)["message"]) == (422, message)


async def test_a_text_that_is_too_long_is_told_in_characters(served: Served) -> None:
    response = await served.guest.post("/api/demos", json={"name": "long", "title": "x" * 1_001})
    message = "`title` is wrong: it has more than 1000 characters."
    assert (response.status_code, error_of(response)["message"]) == (422, message)


async def test_half_a_character_is_refused_in_words_for_people(served: Served) -> None:
    conversation = (await served.guest.post("/api/conversations")).json()["id"]
    headers = {"content-type": "application/json"}
    response = await served.guest.patch(
        f"/api/conversations/{conversation}", content=b'{"title": "\\ud800"}', headers=headers
    )
    message = "`title` is wrong: it contains half a character."
    assert (response.status_code, error_of(response)["message"]) == (422, message)


async def test_a_body_that_grows_too_large_without_saying_so_is_refused(served: Served) -> None:
    async def endless():  # a generator makes httpx send chunks without a length
        yield b'{"question": "'
        for _ in range(100):
            yield b"x" * 65536

    conversation = (await served.guest.post("/api/conversations")).json()["id"]
    headers = {"content-type": "application/json"}
    response = await served.guest.post(f"/api/conversations/{conversation}/ask", content=endless(), headers=headers)
    assert (response.status_code, error_of(response)["code"]) == (413, "too_large")


async def test_an_unforeseen_failure_shows_an_id_and_nothing_else(served: Served, opened: Callable[..., None]) -> None:
    opened("/api/broken")

    @served.app.get("/api/broken")
    async def broken() -> None:
        raise RuntimeError("the password is hunter2, in /etc/secrets.py")

    with structlog.testing.capture_logs() as records:
        response = await served.guest.get("/api/broken")
    error = error_of(response)
    assert (response.status_code, error["code"]) == (500, "error")
    assert not any(word in response.text for word in ("hunter2", "secrets.py", "Traceback", "RuntimeError"))
    assert [record["error_id"] for record in records if "error_id" in record] == [error["id"]]


async def test_the_id_of_a_refusal_is_in_its_log_line(served: Served) -> None:
    with structlog.testing.capture_logs() as records:
        error = error_of(await served.guest.get("/api/conversations/none"))
    [record] = [record for record in records if record.get("error_id") == error["id"]]
    assert (record["status"], record["path"]) == (404, "/api/conversations/none")


async def test_the_log_alone_tells_anothers_id_from_one_that_never_was(served: Served) -> None:
    generation = await served.ask()
    mine = (await served.guest.get("/api/conversations")).json()["conversations"][0]["id"]
    shared = (await served.guest.post(f"/api/conversations/{mine}/share", json={})).json()["id"]
    gone = (await served.other.post("/api/conversations")).json()["id"]
    await served.other.delete(f"/api/conversations/{gone}")

    async def lines(method: str, path: str) -> list[str]:
        with structlog.testing.capture_logs() as records:
            answer = await served.other.request(method, path)
        assert (answer.status_code, error_of(answer)["code"]) == (404, "not_found")
        return [record["event"] for record in records if record.get("path") == path and record["owner"]]

    for method, path in (
        ("GET", f"/api/conversations/{mine}"),
        ("POST", f"/api/conversations/{mine}/restore"),
        ("GET", f"/api/generations/{generation}/events"),
        ("DELETE", f"/api/shares/{shared}"),
    ):
        assert await lines(method, path) == ["foreign id"]
        assert await lines(
            method, path.replace(mine, "0" * 32).replace(generation, "0" * 32).replace(shared, "0" * 32)
        ) == ["request refused"]
    assert await lines("GET", f"/api/conversations/{gone}") == ["request refused"], "it was one's own"


async def test_a_refusal_that_passes_says_when_to_come_back(served: Served, opened: Callable[..., None]) -> None:
    opened("/api/full")

    @served.app.get("/api/full")
    async def full() -> None:
        raise Busy("Everybody is here already.", retry_after_s=2.5)

    response = await served.guest.get("/api/full")
    assert (response.status_code, response.headers["retry-after"]) == (503, "3")
    assert error_of(response)["retry_after_s"] == 2.5


async def test_an_error_of_the_store_is_a_500_in_the_shape(served: Served, opened: Callable[..., None]) -> None:
    opened("/api/store")

    @served.app.get("/api/store")
    async def store() -> None:
        raise StoreError("The database cannot be written to.")

    response = await served.guest.get("/api/store")
    assert (response.status_code, error_of(response)["code"]) == (500, "store_error")


async def test_the_openapi_document_names_every_route_and_the_error_shape(served: Served) -> None:
    document = (await served.guest.get("/api/openapi.json")).json()
    paths = set(document["paths"])
    assert {"/api/conversations/{conversation_id}/ask", "/api/generations/{generation_id}/events", "/retrieve"} <= paths
    ask = document["paths"]["/api/conversations/{conversation_id}/ask"]["post"]["responses"]
    for status in ("404", "422", "429", "503"):
        assert json.dumps(ask[status]).count("ErrorBody") == 1
    assert "HTTPValidationError" not in json.dumps(ask)


async def test_a_stream_that_breaks_ends_without_details() -> None:
    from starlette.responses import StreamingResponse

    from app.api.errors import ErrorBoundary

    app = FastAPI()

    @app.get("/")
    async def half() -> StreamingResponse:
        async def body():
            yield b"half"
            raise RuntimeError("hunter2")

        return StreamingResponse(body())

    app.add_middleware(ErrorBoundary)
    async with on_loopback(app) as url, httpx.AsyncClient() as client, client.stream("GET", url) as response:
        chunks = response.aiter_bytes()
        assert await anext(chunks) == b"half"
        with pytest.raises(httpx.RemoteProtocolError):
            await anext(chunks)
