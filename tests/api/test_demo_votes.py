"""Votes of a demo's visitors: on their own comparisons, once each, for the presenter and not for the leaderboard."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.backend.storage import research
from app.visitors import HEADER
from tests.api.house import Served, error_of, serving
from tests.api.visiting import ask, finished, own, publish, visitor

pytestmark = pytest.mark.anyio

TWO: list[dict[str, Any]] = [{"pipeline": "direct"}, {"pipeline": "naive"}]


async def vote(client: httpx.AsyncClient, question_id: str, winner: str) -> httpx.Response:
    client.cookies.clear()
    return await client.post(f"/api/d/room/questions/{question_id}/vote", json={"winner": winner})


async def answered(client: httpx.AsyncClient, question: str = "Which?") -> str:
    """A question of this visitor, whose answers have ended."""
    asked = await ask(client, question=question)
    assert asked.status_code == 202, asked.text
    await finished(client)
    return str(asked.json()["question_id"])


async def test_a_visitor_votes_once_on_each_comparison_and_the_presenter_sees_the_tally(served: Served) -> None:
    demo = await publish(served.guest, sides=TWO)
    board = f"/api/demos/{demo['id']}/questions"
    async with visitor(served) as one, visitor(served) as two:
        mine, theirs = await answered(one), await answered(two)
        assert (await vote(one, mine, "a")).status_code == 204
        assert [q["vote"] for q in await own(one)] == ["a"]
        sides = [{"letter": "a", "pipeline": "direct", "votes": 1}, {"letter": "b", "pipeline": "naive", "votes": 0}]
        assert (await served.guest.get(board)).json()["tally"] == {"sides": sides, "tie": 0, "both_bad": 0}
        again = await vote(one, mine, "b")
        assert (again.status_code, "the vote stays" in error_of(again)["message"]) == (422, True)
        assert (await vote(two, theirs, "both_bad")).status_code == 204
        told = (await served.guest.get(board)).json()
        assert told["tally"] == {"sides": sides, "tie": 0, "both_bad": 1}
        assert [q["vote"] for q in told["shown"]] == ["both_bad", "a"]


async def test_what_is_not_ones_own_or_was_not_compared_has_no_vote(served: Served) -> None:
    await publish(served.guest, sides=TWO)
    await publish(served.guest, "hall")
    async with visitor(served) as one, visitor(served) as other:
        mine = await answered(one)
        never = error_of(await vote(one, "0" * 32, "a"))["message"]
        for who in (other, served.guest):
            refused = await vote(who, mine, "a")
            assert (refused.status_code, error_of(refused)["message"]) == (404, never)
        for wrong in ("c", "", "A", "x" * 50):
            assert (await vote(one, mine, wrong)).status_code == 422
        assert [q["vote"] for q in await own(one)] == [None]
    async with visitor(served, "hall") as alone:
        chat = (await ask(alone, "hall")).json()["question_id"]
        await finished(alone, "hall")
        refused = await alone.post(f"/api/d/hall/questions/{chat}/vote", json={"winner": "a"})
        assert refused.status_code == 404


async def test_answers_are_voted_on_when_all_have_ended(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with serving(tmp_path, [["one ", gate, "two"]] * 2) as served:
        await publish(served.guest, sides=TWO)
        async with visitor(served) as one:
            question_id = (await ask(one)).json()["question_id"]
            early = await vote(one, question_id, "tie")
            assert (early.status_code, "have ended" in error_of(early)["message"]) == (422, True)
            gate.set()
            await finished(one)
            assert (await vote(one, question_id, "tie")).status_code == 204


async def test_votes_of_visitors_are_marked_for_research_and_not_rated(served: Served) -> None:
    await publish(served.guest, sides=TWO)
    async with visitor(served) as one:
        await vote(one, await answered(one), "b")
        visitors_bits = json.dumps(one.headers[HEADER])
    (line,) = research.lines(served.data / "colloquy.db")
    assert (line["visitor"], line["counted"], line["winner"]) == (True, False, "b")
    assert line["why_not"] == "A visitor of a demo cast it."
    assert visitors_bits.split(".")[1] not in json.dumps(line)
    assert (await served.guest.get("/api/leaderboard")).json()["votes"] == 0


async def test_a_vote_of_ones_own_is_not_marked_as_a_visitors(served: Served) -> None:
    compared = (await served.guest.post("/api/compare", json={"question": "Which?", "sides": TWO})).json()
    await served.guest.post(f"/api/comparisons/{compared['comparison_id']}/vote", json={"winner": "a"})
    (line,) = research.lines(served.data / "colloquy.db")
    assert line["visitor"] is False


async def test_what_stood_in_a_place_before_has_a_line_of_its_own(served: Served) -> None:
    demo = await publish(served.guest, sides=TWO)
    async with visitor(served) as one:
        await vote(one, await answered(one), "b")
        changed = {"sides": [{"pipeline": "direct"}, {"pipeline": "direct", "params": {"temperature": 0.5}}]}
        await served.guest.patch(f"/api/demos/{demo['id']}", json=changed)
        await vote(one, await answered(one, "And now?"), "b")
    tally = (await served.guest.get(f"/api/demos/{demo['id']}/questions")).json()["tally"]
    assert [(s["letter"], s["pipeline"], s["votes"]) for s in tally["sides"]] == [
        ("a", "direct", 0),
        ("b", "direct", 1),
        ("b", "naive", 1),
    ]


async def test_a_demo_that_is_deleted_takes_its_votes_along_and_one_that_is_off_takes_none(served: Served) -> None:
    demo = await publish(served.guest, sides=TWO)
    async with visitor(served) as one:
        first = await answered(one)
        await vote(one, first, "a")
        second = await answered(one, "Another?")
        await served.guest.patch(f"/api/demos/{demo['id']}", json={"on": False})
        assert (await vote(one, second, "a")).status_code == 404
    assert len(list(research.lines(served.data / "colloquy.db"))) == 1
    await served.guest.delete(f"/api/demos/{demo['id']}")
    assert list(research.lines(served.data / "colloquy.db")) == []
