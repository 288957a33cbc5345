"""Demos over HTTP, for who publishes them: they are nobody else's, show what was asked, and end when switched off."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import pytest

from app.backend.accounts import membership
from app.settings import ServerSettings
from tests.api.house import Served, error_of, serving
from tests.api.visiting import ask, finished, own, publish, visitor

pytestmark = pytest.mark.anyio


async def test_switching_off_stops_what_runs_and_holds_from_the_next_moment_on(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with serving(tmp_path, [["a ", gate, "b"]]) as served:
        demo = await publish(served.guest)
        async with visitor(served) as one:
            g = (await ask(one)).json()["generation_ids"][0]
            await served.guest.patch(f"/api/demos/{demo['id']}", json={"on": False})
            assert (await ask(one)).status_code == 404
            owner = f"demo-{demo['id']}"
            async with asyncio.timeout(30):
                while (await served.backend.generation(owner, g)).status in ("queued", "running"):
                    await asyncio.sleep(0.02)
            assert (await served.backend.generation(owner, g)).status == "stopped"
            await served.guest.patch(f"/api/demos/{demo['id']}", json={"on": True})
            assert [a["status"] for q in await own(one) for a in q["answers"]] == ["stopped"]


async def test_what_belongs_to_another_publisher_is_not_there(served: Served) -> None:
    demo = await publish(served.guest)
    async with visitor(served) as one:
        question = (await ask(one)).json()["question_id"]
    for path, method, body in (
        ("", "GET", None),
        ("", "PATCH", {"on": False}),
        ("", "DELETE", None),
        ("/questions", "GET", None),
        (f"/questions/{question}", "PATCH", {"hidden": True}),
    ):
        foreign = await served.other.request(method, f"/api/demos/{demo['id']}{path}", json=body)
        assert foreign.status_code == 404, path
    assert (await served.other.get("/api/demos")).json() == []
    assert len((await served.guest.get("/api/demos")).json()) == 1


async def test_a_presenter_sees_questions_and_hides_one(served: Served) -> None:
    demo = await publish(served.guest)
    async with visitor(served) as one, visitor(served) as other:
        first = (await ask(one, question="First?")).json()["question_id"]
        await ask(other, question="Second?")
        await finished(one)
        await finished(other)
    board = (await served.guest.get(f"/api/demos/{demo['id']}/questions")).json()
    assert [q["question"] for q in board["shown"]] == ["Second?", "First?"]
    assert (board["visitors"], board["questions"], board["answered"], board["running"]) == (2, 2, 2, 0)
    await served.guest.patch(f"/api/demos/{demo['id']}/questions/{first}", json={"hidden": True})
    board = (await served.guest.get(f"/api/demos/{demo['id']}/questions")).json()
    assert [q["question"] for q in board["shown"]] == ["Second?"]
    assert board["hidden"] == 1


async def test_deleting_a_demo_deletes_what_its_visitors_asked(served: Served) -> None:
    demo = await publish(served.guest)
    async with visitor(served) as one:
        g = (await ask(one)).json()["generation_ids"][0]
        await finished(one)
        assert (await served.guest.delete(f"/api/demos/{demo['id']}")).status_code == 204
        assert (await one.get("/api/d/room")).status_code == 404
    assert (await served.backend.conversations(f"demo-{demo['id']}")) == ()
    with pytest.raises(Exception, match="no such"):
        await served.backend.generation(f"demo-{demo['id']}", g)


WRONG: Mapping[str, dict[str, object]] = {
    "demo_name": {"name": "No Spaces!"},
    "demo_taken": {"name": "room"},
    "demo_title": {"title": "x" * 81},
    "demo_welcome": {"welcome": "x" * 4_001},
    "demo_examples": {"examples": ["x"] * 7},
    "demo_sides": {"sides": [{}] * 5},
    "demo_accent": {"accent": "red;}x{"},
    "demo_year": {"closes_at": "9999-12-31T23:59:59-23:59"},
    "demo_window": {"opens_at": "2030-01-02T00:00:00Z", "closes_at": "2030-01-01T00:00:00Z"},
    "demo_per_day": {"per_day": 10_000_000},
    "demo_origins": {"origins": ["https://evil.example"]},
    "bad_input": {"sides": [{"pipeline": "direct", "params": {"nonsense": 1}}]},
}


@pytest.mark.parametrize("code", sorted(WRONG))
async def test_what_cannot_be_published_is_said_in_one_sentence(served: Served, code: str) -> None:
    await publish(served.guest)
    body = {"name": "another", "title": "T", **WRONG[code]}
    refused = await served.guest.post("/api/demos", json=body)
    assert refused.status_code == 422, refused.text
    assert error_of(refused)["code"] == code
    assert len((await served.guest.get("/api/demos")).json()) == 1


async def test_a_time_stored_before_times_were_bounded_breaks_no_listing(served: Served, tmp_path: Path) -> None:
    demo = await publish(served.guest, opens_at="2030-01-01T00:00:00Z")
    with sqlite3.connect(tmp_path / "colloquy.db") as db:
        db.execute(
            "UPDATE demos SET setup = json_set(setup, '$.opens_at', -62135683140.0, '$.closes_at', 253402387139.0)"
        )
    [shown] = (await served.guest.get("/api/demos")).json()
    assert (shown["id"], shown["opens_at"][:4], shown["closes_at"][:4]) == (demo["id"], "2000", "2200")


async def test_guests_beyond_this_machine_publish_nothing(tmp_path: Path) -> None:
    doors = ServerSettings(hosts=("localhost",), allow_guests=True)
    async with serving(tmp_path, doors=doors) as served:
        refused = await served.guest.post("/api/demos", json={"title": "T"})
        assert refused.status_code == 403


async def test_with_accounts_strangers_may_use_a_demo_until_its_publisher_is_shut_out(tmp_path: Path) -> None:
    async with serving(tmp_path, doors=ServerSettings(mode="accounts")) as served:
        membership.add(tmp_path / "colloquy.db", "ada", "user", "correct horse")
        await served.guest.post("/login", data={"name": "ada", "password": "correct horse"})
        await publish(served.guest)
        assert (await served.other.post("/api/demos", json={"title": "T"})).status_code == 401
        async with visitor(served) as one:
            assert (await ask(one)).status_code == 202
            await finished(one)
            assert "set-cookie" not in (await one.get("/api/d/room")).headers
            assert (await one.get("/api/conversations")).status_code == 401
            membership.set_disabled(tmp_path / "colloquy.db", "ada", True)
            assert (await ask(one)).status_code == 404
