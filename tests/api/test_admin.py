"""The operators' doors: who is let in, what each look leaves behind, and what draining does."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi.routing import APIRoute

from app.api import admin
from app.backend.accounts import membership
from app.backend.types import Principal
from app.settings import ServerSettings
from app.ui.pages.admin import Admin, Asked
from app.ui.render import Renderer
from tests.api.house import Served, error_of, events_of, serving

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse battery"


@pytest.fixture
async def held(tmp_path: Path) -> AsyncIterator[tuple[Served, asyncio.Event]]:
    """A server whose engine says one word and then waits for the event."""
    go_on = asyncio.Event()
    async with serving(tmp_path, [["Well", go_on, " then."]] * 4) as served:
        yield served, go_on
        go_on.set()  # or the end would wait for what still runs


async def audit(served: Served) -> list[tuple[str, str, str]]:
    lines = (await served.guest.get("/api/admin/audit")).json()
    return [(line["deed"], line["subject"], line["detail"]) for line in lines]


async def conversation_of(served: Served, question: str = "What is a zeppelin?") -> str:
    await events_of(served.guest, await served.ask(question))
    return str((await served.guest.get("/api/conversations")).json()["conversations"][0]["id"])


async def test_every_search_leaves_a_line_also_one_that_finds_nothing(served: Served) -> None:
    await conversation_of(served)
    found = (await served.other.get("/api/admin/conversations", params={"q": "zeppelin"})).json()
    assert [f["line"]["title"] for f in found] == ["What is a zeppelin?"]
    assert (await served.other.get("/api/admin/conversations", params={"q": "submarine"})).json() == []
    assert await audit(served) == [("search", "", "submarine"), ("search", "", "zeppelin")]


async def test_opening_a_conversation_is_a_look_of_its_own(served: Served) -> None:
    id_ = await conversation_of(served)
    opened = (await served.other.get(f"/api/admin/conversations/{id_}")).json()
    assert opened["owner"].startswith("guest-")
    assert opened["conversation"]["turns"][0]["question"] == "What is a zeppelin?"
    assert await audit(served) == [("open", id_, "")]
    missing = await served.other.get("/api/admin/conversations/nowhere")
    assert missing.status_code == 404
    assert (await audit(served))[0] == ("open", "nowhere", "")


async def test_nothing_is_listed_before_somebody_searches(served: Served) -> None:
    await conversation_of(served)
    refused = await served.other.get("/api/admin/conversations")
    assert refused.status_code == 422
    assert "Type what to look for" in error_of(refused)["message"]
    assert await audit(served) == []


async def test_a_look_that_cannot_be_put_into_the_audit_does_not_happen(served: Served) -> None:
    id_ = await conversation_of(served)
    with sqlite3.connect(served.data / "colloquy.db") as db:
        db.execute("CREATE TRIGGER broken BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no'); END")
    refused = await served.other.get(f"/api/admin/conversations/{id_}")
    assert refused.status_code == 500
    assert "zeppelin" not in refused.text


async def test_the_audit_cannot_be_changed_or_cut(served: Served) -> None:
    await served.guest.get("/api/admin/conversations", params={"q": "zeppelin"})
    with sqlite3.connect(served.data / "colloquy.db") as db:
        for sentence in ("DELETE FROM audit", "UPDATE audit SET operator = 'somebody else'"):
            with pytest.raises(sqlite3.DatabaseError, match="the audit is kept"):
                db.execute(sentence)


async def test_draining_refuses_new_questions_lets_running_ones_finish_and_ends(
    held: tuple[Served, asyncio.Event],
) -> None:
    served, go_on = held
    running = await served.ask()
    assert (await served.guest.put("/api/admin/drain", json={"on": True})).status_code == 204
    conversation = (await served.guest.post("/api/conversations")).json()["id"]
    asked = {"question": "And now?", "pipeline": "direct"}
    refused = await served.guest.post(f"/api/conversations/{conversation}/ask", json=asked)
    assert refused.status_code == 503
    assert error_of(refused)["code"] == "draining"
    assert int(refused.headers["retry-after"]) > 0
    again = await served.guest.post(f"/api/generations/{running}/regenerate")
    assert error_of(again)["code"] == "draining"
    assert (await served.guest.get("/api/admin/now")).json()["drain"]
    go_on.set()
    assert (await events_of(served.guest, running))[-1].kind == "done"
    assert (await served.guest.put("/api/admin/drain", json={"on": False})).status_code == 204
    accepted = await served.guest.post(f"/api/conversations/{conversation}/ask", json=asked)
    assert accepted.status_code == 202
    assert [deed for deed, _, _ in await audit(served)] == ["resume", "drain"]


async def test_draining_goes_on_after_a_restart_until_it_is_ended(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        assert (await served.guest.put("/api/admin/drain", json={"on": True})).status_code == 204
        before = (await served.guest.get("/api/admin/now")).json()["drain"]
    async with serving(tmp_path) as served:
        conversation = (await served.guest.post("/api/conversations")).json()["id"]
        path, asked = f"/api/conversations/{conversation}/ask", {"question": "Now?", "pipeline": "direct"}
        assert error_of(await served.guest.post(path, json=asked))["code"] == "draining"
        after = (await served.guest.get("/api/admin/now")).json()["drain"]
        assert after["by"] == before["by"]
        assert abs(after["since"] - before["since"]) < 0.01
        assert (await served.guest.put("/api/admin/drain", json={"on": False})).status_code == 204
        assert (await served.guest.post(path, json=asked)).status_code == 202
    async with serving(tmp_path) as served:
        assert (await served.guest.get("/api/admin/now")).json()["drain"] is None


async def test_an_operator_stops_anybodys_answer_and_it_says_so(held: tuple[Served, asyncio.Event]) -> None:
    served, _ = held
    running = await served.ask()
    stopped = await served.other.post(f"/api/admin/generations/{running}/stop")
    assert stopped.status_code == 204
    last = (await events_of(served.guest, running))[-1]
    assert (last.kind, last.data["reason"]) == ("stopped", "operator")
    (line,) = await audit(served)
    assert (line[0], line[2]) == ("stop", running)
    assert (await served.other.post(f"/api/admin/generations/{running}/stop")).status_code == 404


async def test_the_queue_is_shown_without_anybodys_words(held: tuple[Served, asyncio.Event]) -> None:
    served, go_on = held
    running = await served.ask("What is a zeppelin?")
    now = await served.other.get("/api/admin/now")
    (answer,) = now.json()["answers"]
    assert answer["standing"]["generation_id"] == running
    assert answer["standing"]["pipeline"] == "direct"
    assert "zeppelin" not in now.text
    go_on.set()
    await events_of(served.guest, running)


async def test_a_backup_is_made_beside_the_running_server_and_its_age_is_known(served: Served) -> None:
    await conversation_of(served)
    assert (await served.guest.get("/api/admin/storage")).json()["backup"] is None
    storage = await backed_up(served)
    (copy,) = (served.data / "backups").glob("*.db")
    assert storage["backup"]["bytes"] == copy.stat().st_size == storage["backups"]
    assert storage["backup"]["file"] == copy.name, "no path reaches a browser"
    assert storage["contents"]["conversations"] == 1
    with sqlite3.connect(copy) as db:
        assert db.execute("SELECT question FROM turns").fetchall() == [("What is a zeppelin?",)]
    assert (await audit(served))[0][0] == "backup"


async def test_a_backup_does_not_stand_in_the_way_of_the_next_however_soon_that_comes(served: Served) -> None:
    for _ in range(3):
        await backed_up(served)
    assert len([*(served.data / "backups").glob("*.db")]) == 3


async def backed_up(served: Served) -> dict[str, Any]:
    """Make a backup; what is known of the storage then."""
    assert (await served.guest.post("/api/admin/backups")).status_code == 202
    while (storage := (await served.guest.get("/api/admin/storage")).json())["copying"]:
        assert not storage["copying"]["failure"], storage["copying"]["failure"]
    return storage


async def test_whoever_is_shut_out_gets_nothing_from_the_next_request_on(held: tuple[Served, asyncio.Event]) -> None:
    served, _ = held
    running = await served.ask()
    owner = (await served.other.get("/api/admin/people")).json()[0]["owner"]
    assert (await served.other.put(f"/api/admin/people/{owner}/out", json={"on": True})).status_code == 204
    refused = await served.guest.get("/api/conversations")
    assert refused.status_code == 403
    while (await served.other.get("/api/admin/now")).json()["answers"]:
        await asyncio.sleep(0.01)
    assert (await served.other.put(f"/api/admin/people/{owner}/out", json={"on": False})).status_code == 204
    last = (await events_of(served.guest, running))[-1]
    assert (last.kind, last.data["reason"]) == ("stopped", "operator")
    assert [deed for deed, _, _ in await audit(served)] == ["unban", "ban"]


async def test_an_operator_cannot_shut_itself_out_and_nobody_unknown(served: Served) -> None:
    await served.ask()
    owner = (await served.guest.get("/api/admin/people")).json()[0]["owner"]
    myself = await served.guest.put(f"/api/admin/people/{owner}/out", json={"on": True})
    assert myself.status_code == 422
    unknown = await served.guest.put("/api/admin/people/user-nobody/out", json={"on": True})
    assert unknown.status_code == 404
    assert await audit(served) == []


async def test_a_quota_of_ones_own_holds_at_once_and_can_be_taken_back(held: tuple[Served, asyncio.Event]) -> None:
    served, _ = held
    await served.ask()
    (person,) = (await served.other.get("/api/admin/people")).json()
    assert not person["own"]
    path = f"/api/admin/people/{person['owner']}/quota"
    quota = {"running": 1, "queued": 0, "per_minute": 1, "per_day": 1, "weight": 1.0}
    assert (await served.other.put(path, json=quota)).status_code == 204
    conversation = (await served.guest.post("/api/conversations")).json()["id"]
    asked = {"question": "One more?", "pipeline": "direct"}
    assert (await served.guest.post(f"/api/conversations/{conversation}/ask", json=asked)).status_code == 429
    assert (await served.other.put(path, json={**quota, "running": 0})).status_code == 422
    assert (await served.other.delete(path)).status_code == 204
    assert (await served.guest.post(f"/api/conversations/{conversation}/ask", json=asked)).status_code == 202


@pytest.mark.parametrize(
    "wrong",
    [{"weight": float("inf")}, {"weight": float("nan")}, {"weight": 1e-300}, {"running": 10**30}, {"per_day": 10**30}],
)
async def test_a_quota_is_finite_and_within_reason(served: Served, wrong: dict[str, float]) -> None:
    quota = {"running": 1, "queued": 0, "per_minute": 1, "per_day": 1, "weight": 1.0, **wrong}
    path = f"/api/admin/people/guest-{'a' * 22}/quota"
    refused = await served.guest.put(path, content=json.dumps(quota), headers={"content-type": "application/json"})
    assert (refused.status_code, error_of(refused)["code"]) == (422, "bad_input")
    assert await audit(served) == []


@pytest.mark.parametrize("owner", ["guest-<script>", "guest-", f"guest-{'a' * 23}", "nobody"])
async def test_what_cannot_be_a_guest_has_no_quota_and_is_not_shut_out(served: Served, owner: str) -> None:
    person = f"/api/admin/people/{quote(owner)}"
    assert (await served.guest.put(f"{person}/quota", json={})).status_code == 404
    assert (await served.guest.put(f"{person}/out", json={"on": True})).status_code == 404
    assert await audit(served) == []


async def test_a_line_of_the_audit_that_can_never_be_is_refused_in_a_sentence(served: Served) -> None:
    refused = await served.guest.get("/api/admin/audit", params={"before": "9" * 20})
    assert (refused.status_code, error_of(refused)["code"]) == (422, "bad_input")


async def test_nobody_and_a_user_are_kept_out_of_every_door_and_an_admin_is_let_in(tmp_path: Path) -> None:
    async with serving(tmp_path, doors=ServerSettings(mode="accounts")) as served:
        membership.add(tmp_path / "colloquy.db", "Root", "admin", PASSWORD)
        membership.add(tmp_path / "colloquy.db", "Ann", "user", PASSWORD)
        doors = [
            (method, route.path)
            for route in admin.routes(served.backend.operations).routes
            if isinstance(route, APIRoute)
            for method in route.methods
        ]
        assert len(doors) >= 12
        doors += [("GET", "/admin"), ("GET", "/ui/admin/now"), ("GET", "/ui/admin/opened")]
        async with httpx.AsyncClient(base_url=served.url) as nobody:
            for method, path in doors:
                assert (await nobody.request(method, path)).status_code == 401, path
        await served.guest.post("/login", data={"name": "Ann", "password": PASSWORD})
        for method, path in doors:
            assert (await served.guest.request(method, path)).status_code == 403, path
        told = await served.guest.get("/admin", headers={"accept": "text/html"}, follow_redirects=True)
        assert "for administrators" in told.text
        await served.other.post("/login", data={"name": "Root", "password": PASSWORD})
        assert (await served.other.get("/api/admin/conversations", params={"q": "x"})).status_code == 200
        lines = (await served.other.get("/api/admin/audit")).json()
        (line,) = [line for line in lines if line["operator"] != "command-line"]  # which made the accounts
        people = {person["name"]: person for person in (await served.other.get("/api/admin/people")).json()}
        assert line["operator"] == people["Root"]["owner"]
        ann = f"/api/admin/people/{people['Ann']['owner']}/out"
        assert (await served.other.put(ann, json={"on": True})).status_code == 204
        assert (await served.guest.get("/api/conversations")).status_code == 401


@pytest.mark.parametrize("guests", [True, False])
async def test_guests_are_among_the_people_only_where_they_can_come_in(served: Served, guests: bool) -> None:
    await served.backend.accounts.set_banned("guest-AAAAAAAAAAAAAAAAAAAAAA", True)
    page = Admin(served.backend, Renderer([]), guests)
    listed = await page.part("people", Asked(Principal("user-root", "admin", "Root"), "en"))
    assert ("p-guest-AAAA" in listed) is guests
