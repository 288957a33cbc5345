"""Share links over HTTP: who may make, read, copy and end them, and that what is gone looks like what never was."""

from __future__ import annotations

import asyncio
import json
import re
import struct
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.backend.comparing import compare_answers
from app.backend.engines.scripted import Item
from app.settings import ServerSettings
from app.ui import public
from app.ui.pages import shared
from app.ui.public import PublicRenderer
from tests.api.house import Served, a_page, error_of, events_of, serving, until_part
from tests.api.team import ACCOUNTS, log_in

pytestmark = pytest.mark.anyio

PAGE = {"accept": "text/html"}
MANY = {"running": 64, "queued": 64, "per_minute": 10_000, "per_day": 100_000}


@asynccontextmanager
async def house(folder: Path, *script: list[Item], doors: ServerSettings | None = None) -> AsyncIterator[Served]:
    """A server with the pages behind links, without the rest of the interface."""
    interfaces: list[FastAPI] = []

    def mount(app: FastAPI) -> None:
        a_page(app)
        interfaces.append(app)

    async with serving(folder, script, mount=mount, doors=doors) as served:
        await until_part(served, "interface", "ready")
        served.guest.cookies.clear()
        renderer = PublicRenderer(served.backend.pipelines())
        shared.add(interfaces[0], served.backend, renderer, "0", doors or ServerSettings())
        yield served


async def share(client: httpx.AsyncClient, generation_id: str, **body: object) -> tuple[str, str]:
    """A link to the conversation of an answer: its id and its path."""
    found = (await client.get("/api/conversations")).json()["conversations"][0]["id"]
    made = await client.post(f"/api/conversations/{found}/share", json=body)
    assert made.status_code == 201, made.text
    assert made.headers["location"] == made.json()["url"]
    return made.json()["id"], httpx.URL(made.json()["url"]).path


async def answered(served: Served, question: str = "What is RAG?", **fields: object) -> str:
    generation_id = await served.ask(question, **fields)
    await events_of(served.guest, generation_id)
    return generation_id


async def test_a_link_is_read_without_a_cookie_and_says_nothing_of_its_owner(tmp_path: Path) -> None:
    async with house(tmp_path, ["Retrieval **augmented** generation [1]."]) as served:
        generation_id = await answered(served, pipeline="naive", corpus="demo")
        _, path = await share(served.guest, generation_id)
        async with httpx.AsyncClient(base_url=served.url) as nobody:
            page = await nobody.get(path, headers=PAGE)
        assert page.status_code == 200
        assert (page.headers["cache-control"], page.headers["x-robots-tag"]) == ("no-store", "noindex")
        for words in ("What is RAG?", "<strong>augmented</strong>", "Title 1", "naive", "v1", "seed"):
            assert words.lower() in page.text.lower()
        owner = served.guest.cookies["colloquy_guest"].split(".")[0]
        found = (await served.guest.get("/api/conversations")).json()["conversations"][0]["id"]
        for name in (owner, found, generation_id):
            assert name not in page.text


async def test_the_social_preview_is_whole_and_made_here(tmp_path: Path) -> None:
    async with house(tmp_path, ["Retrieval **augmented** generation."]) as served:
        _, path = await share(served.guest, await answered(served))
        page = (await served.other.get(path, headers=PAGE)).text
        told = dict(re.findall(r'<meta (?:property|name)="([^"]+)" content="([^"]*)"', page))
        assert told["og:title"] == "What is RAG?"
        assert told["og:description"] == "Retrieval augmented generation."
        assert told["og:image"] == f"{told['og:url']}/preview.png" == f"{served.url.rstrip('/')}{path}/preview.png"
        picture = await served.other.get(told["og:image"])
        assert picture.headers["content-type"] == "image/png"
        assert picture.headers["cross-origin-resource-policy"] == "cross-origin", "other sites show it"
        assert struct.unpack(">II", picture.content[16:24]) == (1200, 630)


async def test_revoked_expired_deleted_and_unknown_look_the_same_everywhere(tmp_path: Path) -> None:
    async with house(tmp_path) as served:
        await answered(served)
        revoked_id, revoked = await share(served.guest, "")
        _, expired = await share(served.guest, "", expires_in_s=0.05)
        await answered(served, "Another?")
        _, deleted = await share(served.guest, "")
        other = (await served.guest.get("/api/conversations")).json()["conversations"][0]["id"]
        assert (await served.guest.delete(f"/api/shares/{revoked_id}")).status_code == 204
        assert (await served.guest.delete(f"/api/conversations/{other}")).status_code == 204
        await asyncio.sleep(0.06)
        gone = [revoked, expired, deleted, "/s/" + "A" * 43, "/s/x", "/s/" + "A" * 5000, "/s/%00"]
        for method, tail in (
            ("GET", ""),
            ("GET", "/preview.png"),
            ("GET", "/live/1"),
            ("POST", "/fork"),
            ("POST", "/again/1"),
            ("GET", "/changes/1?g=x"),
        ):
            for accept in ("text/html", "application/json"):
                answers = set()
                for path in gone:
                    answer = await served.other.request(method, path + tail, headers={"accept": accept})
                    text = re.sub(r'"id":"[0-9a-f]+"', "", answer.text)
                    kept = {
                        k: v for k, v in answer.headers.items() if k not in ("date", "set-cookie", "content-length")
                    }
                    answers.add((answer.status_code, text, json.dumps(kept, sort_keys=True)))
                assert len(answers) == 1, (method, tail, answers)
                assert answers.pop()[0] == 404


async def test_foreign_conversations_and_links_are_like_unknown_ones(tmp_path: Path) -> None:
    async with house(tmp_path) as served:
        await answered(served)
        share_id, _ = await share(served.guest, "")
        theirs = (await served.guest.get("/api/conversations")).json()["conversations"][0]["id"]
        for mine, never in (
            (("POST", f"/api/conversations/{theirs}/share"), ("POST", f"/api/conversations/{'0' * 32}/share")),
            (("DELETE", f"/api/shares/{share_id}"), ("DELETE", f"/api/shares/{'0' * 32}")),
        ):
            bodies = []
            for method, path in (mine, never):
                body = {"expires_in_s": 60} if method == "POST" else None
                answer = await served.other.request(method, path, json=body)
                assert answer.status_code == 404
                bodies.append({**error_of(answer), "id": ""})
            assert bodies[0] == bodies[1]
        assert (await served.other.get("/api/shares")).json() == {"shares": []}


async def test_a_visitor_goes_on_in_a_copy_and_the_owner_sees_only_the_count(tmp_path: Path) -> None:
    async with house(tmp_path, ["Yes."], ["Mine."]) as served:
        await answered(served)
        share_id, path = await share(served.guest, "")
        await served.other.get(path, headers=PAGE)
        await served.guest.get(path, headers=PAGE)
        copied = await served.other.post(f"{path}/fork")
        assert copied.status_code == 201
        copy = copied.json()["conversation_id"]
        assert copied.json()["url"] == f"/?c={copy}"
        form = await served.other.post(f"{path}/fork", headers=PAGE)
        assert (form.status_code, form.headers["location"][:4]) == (303, "/?c=")
        tree = (await served.other.get(f"/api/conversations/{copy}")).json()
        assert tree["turns"][0]["generations"][0]["answer"] == "Yes."
        assert (await served.guest.get(f"/api/conversations/{copy}")).status_code == 404
        [line] = (await served.guest.get("/api/shares")).json()["shares"]
        assert (line["id"], line["views"]) == (share_id, 1)
        assert "url" not in line
        assert path.endswith(line["hint"])


async def test_with_accounts_a_link_is_public_and_a_copy_leads_through_the_log_in(tmp_path: Path) -> None:
    from app.backend.accounts import membership
    from tests.api.team import PASSWORD

    async with house(tmp_path, doors=ACCOUNTS) as served:
        for name in ("Ann", "Bob"):
            membership.add(served.data / "colloquy.db", name, "user", PASSWORD)
        await log_in(served.guest, "Ann")
        await answered(served)
        _, path = await share(served.guest, "")
        page = await served.other.get(path, headers=PAGE)
        assert page.status_code == 200
        assert "set-cookie" not in page.headers
        assert "Ann" not in page.text
        assert (await served.other.get(f"{path}/preview.png")).status_code == 200
        sent = await served.other.post(f"{path}/fork", headers=PAGE)
        assert sent.status_code == 303
        login = httpx.URL(sent.headers["location"])
        assert (login.path, login.params["next"]) == ("/login", f"{path}?then=fork")
        assert (await served.other.post(f"{path}/fork")).status_code == 401
        assert (await served.other.post(f"{path}/again/1")).status_code == 401
        assert (await served.other.get(f"{path}/changes/1?g=x")).status_code == 401
        back = await log_in(served.other, "Bob", next=login.params["next"])
        assert back.headers["location"] == f"{path}?then=fork"
        assert "You are logged in" in (await served.other.get(back.headers["location"], headers=PAGE)).text
        assert (await served.other.post(f"{path}/fork")).status_code == 201


async def test_run_again_shows_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on: list[threading.Thread] = []

    def noting(*args: Any) -> Any:
        on.append(threading.current_thread())
        return compare_answers(*args)

    monkeypatch.setattr(public, "compare_answers", noting)
    async with house(tmp_path, ["It is tall. It is old."], ["It is tall. It is new."]) as served:
        await answered(served)
        _, path = await share(served.guest, "")
        asked = await served.other.post(f"{path}/again/1")
        assert asked.status_code == 202
        generation_id = asked.json()["generation_id"]
        await events_of(served.other, generation_id)
        change = await served.other.get(f"{path}/changes/1?g={generation_id}")
        assert "worded differently" in change.text
        assert len(on) == 1
        assert on[0] is not threading.current_thread(), "answers are compared beside the event loop"
        assert "Same pipeline, settings, model, corpus version and seed" in change.text
        assert re.findall(r"<mark>(\w+)", change.text) == ["old", "new"]
        assert (await served.guest.get(f"{path}/changes/1?g={generation_id}")).status_code == 404
        assert (await served.other.post(f"{path}/again/7")).status_code == 404


async def test_what_a_link_cannot_give_now_has_a_code_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()
    async with house(tmp_path, ["It is tall."], ["one ", gate]) as served:
        await answered(served, pipeline="naive", corpus="demo")
        _, path = await share(served.guest, "")
        monkeypatch.setattr(served.retriever, "corpora", lambda: ())
        refused = await served.other.post(f"{path}/again/1")
        assert (refused.status_code, error_of(refused)["code"]) == (422, "share_again")
        _, live = await share(served.guest, await served.ask())
        refused = await served.other.post(f"{live}/fork", headers={"accept": "application/json"})
        assert (refused.status_code, error_of(refused)["code"]) == (422, "share_unfinished")
        gate.set()


async def test_a_running_answer_is_watched_by_whoever_has_the_link(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with house(tmp_path, ["one ", gate, "two"]) as served:
        generation_id = await served.ask()
        _, path = await share(served.guest, generation_id)
        page = await served.other.get(path, headers=PAGE)
        assert f'data-live="{path}/live/1"' in page.text
        assert generation_id not in page.text
        patches = []
        async with served.other.stream("GET", f"{path}/live/1") as stream:
            async for line in stream.aiter_lines():
                if line.startswith("data: "):
                    patches.append(json.loads(line.removeprefix("data: ")))
                    if "one" in line:
                        gate.set()
        assert patches[-1]["end"] == "done"
        assert "one two" in patches[-1]["html"]
        assert generation_id not in json.dumps(patches)
        again = await served.other.get(f"{path}/live/1")
        assert "one two" in again.text


async def test_what_is_wrong_with_a_wish_is_said(tmp_path: Path) -> None:
    async with house(tmp_path) as served:
        await answered(served)
        found = (await served.guest.get("/api/conversations")).json()["conversations"][0]["id"]
        for body in ({"expires_in_s": 0}, {"expires_in_s": -5}, {"expires_in_s": 1e12}, {"for": 1}):
            assert (await served.guest.post(f"/api/conversations/{found}/share", json=body)).status_code == 422
        empty = (await served.guest.post("/api/conversations")).json()["id"]
        refused = await served.guest.post(f"/api/conversations/{empty}/share", json={})
        assert (refused.status_code, error_of(refused)["code"]) == (422, "share_empty")


async def test_consent_is_given_and_taken_back_by_oneself(tmp_path: Path) -> None:
    async with house(tmp_path) as served:
        assert (await served.guest.get("/api/consent")).json() == {"research": False}
        assert (await served.guest.put("/api/consent", json={"research": True})).json() == {"research": True}
        assert (await served.guest.get("/api/consent")).json() == {"research": True}
        assert (await served.other.get("/api/consent")).json() == {"research": False}


async def test_what_opens_a_link_is_never_in_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with house(tmp_path) as served:
        await answered(served)
        share_id, path = await share(served.guest, "")
        assert error_of(await served.other.get(f"{path}/live/7"))["code"] == "not_found"
        await served.other.post(f"{path}/again/7")
        await served.guest.delete(f"/api/shares/{share_id}")
        await served.other.get(f"{path}/preview.png")
        log = "".join(capsys.readouterr())
    assert "/s/…/again/7" in log
    assert path.removeprefix("/s/") not in log


async def test_however_many_ask_for_pictures_one_is_drawn_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, drawing, most = threading.Event(), threading.Semaphore(0), [0, 0]

    def draw(*words: str) -> bytes:
        most[0] += 1
        most[1] = max(most)
        drawing.release()
        gate.wait(30)
        most[0] -= 1
        return b"PNG"

    monkeypatch.setattr(shared, "picture", draw)
    async with house(tmp_path, ["One."]) as served:
        _, path = await share(served.guest, await answered(served))
        asked = [asyncio.ensure_future(served.other.get(f"{path}/preview.png")) for _ in range(8)]
        try:
            assert await asyncio.to_thread(drawing.acquire, True, 30)
            assert not await asyncio.to_thread(drawing.acquire, True, 1)
        finally:
            gate.set()
        assert {(await one).content for one in asked} == {b"PNG"}
        assert most[1] == 1
