"""Share links over HTTP: who may make, read, copy and end them, and that what is gone looks like what never was."""

from __future__ import annotations

import asyncio
import json
import re
import struct
import threading
from pathlib import Path

import httpx
import pytest

from app.ui.pages import shared
from tests.api.house import error_of
from tests.api.links import PAGE, answered, house, share

pytestmark = pytest.mark.anyio


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
