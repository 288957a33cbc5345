"""Demos over HTTP: whoever has the link may ask, nobody sees another's questions, and a full room holds nobody up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from app.visitors import HEADER
from tests.api.house import Served, error_of, serving
from tests.api.visiting import ask, finished, own, publish, visitor

pytestmark = pytest.mark.anyio


async def test_a_visitor_asks_and_reads_and_sees_nobody_elses_questions(served: Served) -> None:
    await publish(served.guest)
    async with visitor(served) as one, visitor(served) as other:
        assert (await ask(one, question="Mine?")).status_code == 202
        [mine] = await finished(one)
        assert mine["question"] == "Mine?"
        assert mine["answers"][0]["status"] == "done" and mine["answers"][0]["answer"]
        assert await own(other) == []
        stopped = await other.post(f"/api/d/room/generations/{mine['answers'][0]['generation_id']}/stop")
        never = await other.post(f"/api/d/room/generations/{'0' * 32}/stop")
        assert error_of(stopped)["message"] == error_of(never)["message"]
        assert (stopped.status_code, never.status_code) == (404, 404)


async def test_a_visitors_answer_is_not_an_answer_of_a_guest(served: Served) -> None:
    await publish(served.guest)
    async with visitor(served) as one:
        g = (await ask(one)).json()["generation_ids"][0]
        for client in (one, served.guest, served.other):
            assert (await client.get(f"/api/generations/{g}")).status_code == 404
        assert (await served.guest.get("/api/conversations")).json() == {"conversations": []}


async def test_a_token_of_another_demo_or_a_damaged_one_is_somebody_new(served: Served) -> None:
    await publish(served.guest)
    await publish(served.guest, "hall")
    async with visitor(served) as one, visitor(served, "hall") as elsewhere:
        await ask(one)
        assert len(await finished(one)) == 1
        token = one.headers[HEADER]
        elsewhere.headers[HEADER] = token
        assert await own(elsewhere, "hall") == []
        for bad in (elsewhere.headers[HEADER][:-2], f"x{token}", "", "nonsense"):
            elsewhere.headers[HEADER] = bad
            assert await own(elsewhere) == []


async def test_a_comparison_answers_in_every_column(served: Served) -> None:
    await publish(served.guest, sides=[{"pipeline": "direct"}, {"pipeline": "naive"}, {"pipeline": "direct"}])
    async with visitor(served) as one:
        assert len((await ask(one)).json()["generation_ids"]) == 3
        [asked] = await finished(one)
        assert [a["pipeline"] for a in asked["answers"]] == ["direct", "naive", "direct"]
        assert {a["status"] for a in asked["answers"]} == {"done"}


async def test_unknown_switched_off_and_over_look_the_same(served: Served) -> None:
    off = await publish(served.guest, "off-now")
    await served.guest.patch(f"/api/demos/{off['id']}", json={"on": False})
    await publish(served.guest, "over-now", closes_at="2020-01-01T00:00:00Z")
    seen = []
    for name in ("off-now", "over-now", "never-was"):
        for method, path in (("GET", ""), ("GET", "/questions"), ("POST", "/questions")):
            body = {"question": "Anybody?"} if method == "POST" else None
            answer = await served.other.request(method, f"/api/d/{name}{path}", json=body)
            assert answer.status_code == 404
            error = error_of(answer)
            error.pop("id")
            seen.append(tuple(error.items()))
    assert len(set(seen)) == 1


async def test_one_that_has_not_begun_says_when(served: Served) -> None:
    await publish(served.guest, opens_at="2199-01-01T00:00:00Z")
    early = await served.other.get("/api/d/room")
    assert error_of(early)["code"] == "demo_early"
    assert error_of(early)["retry_after_s"] > 1_000_000
    assert "A room" not in early.text


async def test_a_visitor_and_a_demo_have_quotas(tmp_path: Path) -> None:
    quotas = {"visitor": {"live": 1, "per_minute": 100, "per_day": 3}}
    async with serving(tmp_path, quotas=quotas) as served:
        await publish(served.guest, visitor_per_day=2, per_day=3)
        async with visitor(served) as one, visitor(served) as other, visitor(served) as third:
            for _ in range(2):
                assert (await ask(one)).status_code == 202
                await finished(one)
            refused = await ask(one)
            assert refused.status_code == 429
            assert error_of(refused)["code"] == "demo_full"
            assert (await ask(other)).status_code == 202
            assert "all of its questions" in error_of(await ask(third))["message"]
            assert len(await own(one)) == 2, "a refused question is not kept"


async def test_new_visitors_of_one_network_leave_a_part_of_the_day_to_others(tmp_path: Path) -> None:
    quotas = {"demo": {"per_day": 8}}
    async with serving(tmp_path, quotas=quotas) as served:
        await publish(served.guest, per_day=8)
        for _ in range(6):
            async with visitor(served) as one:
                assert (await ask(one)).status_code == 202
                await finished(one)
        async with visitor(served) as one:
            refused = await ask(one)
            assert (refused.status_code, error_of(refused)["code"]) == (429, "demo_full")
            assert "Your network" in error_of(refused)["message"]
        elsewhere = served.backend.demos.new_visitor()
        assert (await served.backend.demos.ask("room", elsewhere, "Who?", "203.0.113.5")).generation_ids


async def test_a_visitor_asks_one_thing_at_a_time(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with serving(tmp_path, gate=gate) as served:
        await publish(served.guest)
        async with visitor(served) as one:
            answers = await asyncio.gather(*(ask(one) for _ in range(4)))
            assert sorted(a.status_code for a in answers) == [202, 429, 429, 429]
            gate.set()
            await finished(one)
            assert (await ask(one)).status_code == 202


async def test_a_full_room_holds_up_nobody_else(tmp_path: Path) -> None:
    gate = asyncio.Event()
    admission = {"max_running": 3, "max_queued": 40}
    quotas = {"demo": {"running": 2, "queued": 30}}
    async with serving(tmp_path, [["a ", gate, "b"]] * 40, admission=admission, quotas=quotas) as served:
        demo = await publish(served.guest)
        codes = []
        for _ in range(25):
            async with visitor(served) as one:
                codes.append((await ask(one)).status_code)
        assert codes[:22] == [202] * 22
        assert set(codes[22:]) == {503}, "at most half of the queue is for demos"
        mine = await served.ask()
        queue = served.backend.queue()
        inside = [v.owner for v in queue.visits if v.state == "running"]
        assert inside.count(f"demo-{demo['id']}") == 2
        assert next(v.state for v in queue.visits if v.generation_id == mine) == "running"
        gate.set()


@pytest.mark.parametrize("sides", [1, 2])
async def test_demos_have_a_lane_of_their_own(tmp_path: Path, sides: int) -> None:
    gate = asyncio.Event()
    async with serving(tmp_path, [["a ", gate, "b"]] * sides) as served:
        await publish(served.guest, sides=[{"pipeline": "direct"}] * sides)
        async with visitor(served) as one:
            assert (await ask(one)).status_code == 202
        assert [v.lane for v in served.backend.queue().visits] == ["demo"] * sides
        gate.set()
