"""A generation's stream can be left and taken up anywhere, is never silent, and ends when nobody reads it."""

import asyncio
import time
from pathlib import Path

import httpx
import pytest

from app.api.streams import KEEP_ALIVE_S
from app.backend.engines.scripted import Silence
from tests.api.house import SentEvent, Served, error_of, events_of, read_stream, serving, text_of

pytestmark = pytest.mark.anyio
WORDS = ["Retrieval", " augmented", "\n\ngeneration", " → 检索增强", " 🙂\r\nend"]


async def test_the_stream_gives_numbered_events_with_one_terminal_event_at_the_end(tmp_path: Path) -> None:
    async with serving(tmp_path, [WORDS]) as served:
        events = await events_of(served.guest, await served.ask())
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert [event.kind for event in events if event.kind in ("done", "stopped", "failed")] == ["done"]
    assert events[-1].data["answer"] == text_of(events) == "".join(WORDS)


async def test_resuming_at_every_event_loses_and_repeats_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path, [WORDS]) as served:
        generation = await served.ask()
        whole = await events_of(served.guest, generation)
        for cut in range(len(whole)):
            assert await events_of(served.guest, generation, after=cut) == whole[cut:]
            assert await events_of(served.guest, generation, headers={"Last-Event-ID": str(cut)}) == whole[cut:]


async def test_a_reader_that_is_cut_off_after_every_event_of_a_running_answer_sees_the_whole_of_it(
    tmp_path: Path,
) -> None:
    gates = [asyncio.Event() for _ in WORDS]
    script = [item for pair in zip(gates, WORDS, strict=True) for item in pair]
    seen: list[SentEvent] = []
    async with serving(tmp_path, [script]) as served:
        generation = await served.ask()
        while not seen or seen[-1].kind != "done":
            for gate in gates[: 1 + sum(event.kind == "token" for event in seen)]:
                gate.set()
            url = f"/api/generations/{generation}/events?after={seen[-1].id if seen else 0}"
            async with served.guest.stream("GET", url) as response:
                async for event in read_stream(response.aiter_lines()):
                    if isinstance(event, SentEvent):
                        seen.append(event)
                        break
    assert [event.id for event in seen] == list(range(1, len(seen) + 1))
    assert seen[-1].data["answer"] == text_of(seen) == "".join(WORDS)


async def test_an_answer_that_has_ended_and_was_read_to_its_end_is_204_which_stops_a_browser(tmp_path: Path) -> None:
    async with serving(tmp_path, [["word"]]) as served:
        generation = await served.ask()
        last = (await events_of(served.guest, generation))[-1].id
        response = await served.guest.get(f"/api/generations/{generation}/events", headers={"Last-Event-ID": str(last)})
    assert response.status_code == 204


@pytest.mark.parametrize("number", [2**63, 10**30, -1])
async def test_a_number_that_no_event_can_have_is_refused(served: Served, number: int) -> None:
    generation = await served.ask()
    await events_of(served.guest, generation)
    url = f"/api/generations/{generation}/events"
    for response in (
        await served.guest.get(url, params={"after": number}),
        await served.guest.get(url, headers={"Last-Event-ID": str(number)}),
    ):
        assert (response.status_code, error_of(response)["code"]) == (422, "bad_input")
    assert (await served.guest.get(url, params={"after": 2**63 - 1})).status_code == 204


async def test_a_silent_stream_carries_a_comment_at_least_every_second(tmp_path: Path) -> None:
    async with serving(tmp_path, [["Word", Silence()]]) as served:
        generation = await served.ask()
        began, comments = time.monotonic(), 0
        async with served.guest.stream("GET", f"/api/generations/{generation}/events") as response:
            async for event in read_stream(response.aiter_lines()):
                comments += isinstance(event, str)
                if comments == 4:
                    break
            took_s = time.monotonic() - began
        await served.guest.post(f"/api/generations/{generation}/stop")
    assert KEEP_ALIVE_S < 1
    assert 4 * KEEP_ALIVE_S <= took_s < 4 * KEEP_ALIVE_S + 8, "a busy machine may be late with them, never too early"


async def test_a_reader_who_leaves_frees_its_subscription_and_then_the_engine(tmp_path: Path) -> None:
    async with serving(tmp_path, [["Word", Silence()]], grace_s=0.5) as served:
        generation = await served.ask()
        async with served.guest.stream("GET", f"/api/generations/{generation}/events") as response:
            async for event in read_stream(response.aiter_lines()):
                if isinstance(event, SentEvent) and event.kind == "token":
                    break
        ended = await stored_end(served.guest, generation)
        [last] = (await events_of(served.guest, generation))[-1:]
    assert (last.kind, last.data["reason"]) == ("stopped", "abandoned")
    assert (ended["status"], ended["answer"]) == ("stopped", "Word")
    assert (served.engine.open, served.engine.aborted) == (0, 1)


async def test_the_grace_time_spans_a_reload(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with serving(tmp_path, [["Before", gate, " and after"]], grace_s=30) as served:
        generation = await served.ask()
        async with served.guest.stream("GET", f"/api/generations/{generation}/events") as response:
            async for event in read_stream(response.aiter_lines()):
                if isinstance(event, SentEvent) and event.kind == "token":
                    break
        gate.set()
        events = await events_of(served.guest, generation, after=event.id)
    assert (text_of(events), events[-1].data["answer"]) == (" and after", "Before and after")


async def test_open_streams_are_counted_and_the_count_falls_to_zero(tmp_path: Path) -> None:
    async with serving(tmp_path, [["Word", Silence()]]) as served:
        generation = await served.ask()
        async with served.guest.stream("GET", f"/api/generations/{generation}/events") as response:
            async for _ in read_stream(response.aiter_lines()):
                break
            assert "colloquy_streams_open 1.0" in (await served.other.get("/metrics")).text
        async with asyncio.timeout(30):
            while "colloquy_streams_open 0.0" not in (await served.other.get("/metrics")).text:
                pass
        await served.guest.post(f"/api/generations/{generation}/stop")


async def test_stop_ends_the_stream_with_the_partial_text(tmp_path: Path) -> None:
    async with serving(tmp_path, [["Half", Silence()]]) as served:
        generation = await served.ask()
        async with served.guest.stream("GET", f"/api/generations/{generation}/events") as response:
            async for event in read_stream(response.aiter_lines()):
                if isinstance(event, SentEvent) and event.kind == "token":
                    stopped = await served.guest.post(f"/api/generations/{generation}/stop")
        assert stopped.status_code == 204
        assert (await served.guest.post(f"/api/generations/{generation}/stop")).status_code == 204
    assert isinstance(event, SentEvent)
    assert (event.kind, event.data["answer"], event.data["reason"]) == ("stopped", "Half", "user")


async def test_regenerate_adds_an_alternative_and_choose_goes_back(tmp_path: Path) -> None:
    async with serving(tmp_path, [["First"], ["Second"]]) as served:
        first = await served.ask()
        await events_of(served.guest, first)
        again = await served.guest.post(f"/api/generations/{first}/regenerate")
        assert again.status_code == 202
        ticket = again.json()
        assert again.headers["location"] == f"/api/generations/{ticket['generation_id']}/events"
        await events_of(served.guest, ticket["generation_id"])
        conversation = f"/api/conversations/{ticket['conversation_id']}"
        turn = (await served.guest.get(conversation)).json()["turns"][0]
        assert [generation["answer"] for generation in turn["generations"]] == ["First", "Second"]
        assert turn["chosen_id"] == ticket["generation_id"]
        assert (await served.guest.post(f"/api/generations/{first}/choose")).status_code == 204
        assert (await served.guest.get(conversation)).json()["turns"][0]["chosen_id"] == first


@pytest.mark.parametrize("after", ["-1", "x", "1.5"])
async def test_a_resume_point_that_is_no_number_is_refused(served: Served, after: str) -> None:
    generation = await served.ask()
    response = await served.guest.get(f"/api/generations/{generation}/events", params={"after": after})
    assert (response.status_code, error_of(response)["code"]) == (422, "bad_input")


async def stored_end(client: httpx.AsyncClient, generation: str) -> dict[str, object]:
    """The generation as it is stored once it has ended."""
    async with asyncio.timeout(30):
        while (stored := (await client.get(f"/api/generations/{generation}")).json())["status"] in (
            "queued",
            "running",
        ):
            await asyncio.sleep(0.01)
    return dict(stored)
