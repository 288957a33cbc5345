"""Who has to wait is told where they stand, and who is refused when to come back."""

import asyncio
import time
from pathlib import Path

import httpx
import pytest

from app.backend.admission.visit import TOLD_AGAIN_S
from app.backend.engines.scripted import Silence
from tests.api.house import SentEvent, Served, error_of, read_stream, serving

pytestmark = pytest.mark.anyio
ONE = {"max_running": 1}


async def post(served: Served, client: httpx.AsyncClient) -> httpx.Response:
    conversation = (await client.post("/api/conversations")).json()["id"]
    return await client.post(f"/api/conversations/{conversation}/ask", json={"question": "Why?", "pipeline": "direct"})


async def stop_all(served: Served) -> None:
    for standing in served.backend.queue().visits:
        await served.backend.stop(standing.owner, standing.generation_id)


async def test_who_waits_is_told_place_seconds_and_reason_every_second_for_people_and_for_programs(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, [[Silence()]] * 3, admission=ONE) as served:
        await post(served, served.guest)
        ticket = (await post(served, served.other)).json()
        assert (ticket["position"], ticket["eta_s"] > 0) == (1, True)
        places: list[tuple[float, SentEvent]] = []
        url = f"/api/generations/{ticket['generation_id']}/events"
        async with served.other.stream("GET", url) as response:
            async for event in read_stream(response.aiter_lines()):
                if isinstance(event, SentEvent):
                    places.append((time.monotonic(), event))
                if len(places) == 4:
                    break
        assert {event.kind for _, event in places} == {"queued"}
        assert [event.data["position"] for _, event in places] == [1] * 4
        assert (places[0][1].data["reason"], places[0][1].data["code"]) == ("you are next", "next")
        assert places[-1][0] - places[0][0] < 3 * TOLD_AGAIN_S + 8, "also on a busy machine"
        await stop_all(served)


async def test_ones_own_limit_is_429_and_a_full_server_503_both_at_once_and_with_retry_after(tmp_path: Path) -> None:
    quotas = {"local": {"queued": 1}}
    async with serving(tmp_path, [[Silence()]] * 9, admission=ONE | {"max_queued": 2}, quotas=quotas) as served:
        assert [(await post(served, served.guest)).status_code for _ in range(2)] == [202, 202]
        began = time.monotonic()
        refused = await post(served, served.guest)
        assert (refused.status_code, error_of(refused)["code"]) == (429, "refused")
        assert (await post(served, served.other)).status_code == 202
        async with httpx.AsyncClient(base_url=served.url) as third:
            full = await post(served, third)
        assert (full.status_code, error_of(full)["code"]) == (503, "busy")
        assert time.monotonic() - began < 20, "nothing is waited for: the engine never ends an answer"
        for answer in (refused, full):
            assert int(answer.headers["retry-after"]) >= error_of(answer)["retry_after_s"] >= 1
        await stop_all(served)


async def test_a_reader_who_loses_the_line_while_waiting_goes_on_where_it_was(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with serving(tmp_path, [["word"]], gate=gate) as served:
        url = f"/api/generations/{await served.ask()}/events"
        seen: list[SentEvent] = []
        while not seen or seen[-1].kind != "done":
            async with served.guest.stream("GET", url, params={"after": seen[-1].id if seen else 0}) as response:
                async for event in read_stream(response.aiter_lines()):
                    if isinstance(event, SentEvent):
                        seen.append(event)
                        break
            if len(seen) == 2:
                gate.set()
    numbers = [event.id for event in seen]
    assert numbers == sorted(set(numbers))
    assert [event.kind for event in seen if event.kind != "queued"] == ["started", "step", "token", "done"]
