"""What all doors together tell of one's own blind columns before the vote: neither how nor how fast they were made."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from app.backend.engines.scripted import Item
from tests.api.house import SentEvent, Served, events_of, read_stream, serving

pytestmark = pytest.mark.anyio

QUICK = "Quickly said."
SIDES = [{"pipeline": "direct"}, {"pipeline": "naive"}]
TELLING = ('"direct"', "naive", "topk", "scripted", "demo", "generate", "at_ms", '"step"', '"query"')
EMPTY = {
    "pipeline": "",
    "corpus": "",
    "engine": "",
    "params": {},
    "model": "",
    "started_at": None,
    "finished_at": None,
    "search_query": "",
    "usage": {"prompt_tokens": 0, "cached_tokens": 0, "completion_tokens": 0, "engine_calls": 0, "engine_ms": 0},
    "timings_ms": {},
}
UNWRITTEN = {"status": "running", "answer": "", "passages": [], "citations": [], "error_code": "", "error_message": ""}


@pytest.fixture
async def go_on() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
async def served(tmp_path: Path, go_on: asyncio.Event) -> AsyncIterator[Served]:
    """Of two columns the second to reach the engine waits in the middle of its answer."""
    script: Sequence[Sequence[Item]] = [[*QUICK], ["Slowly ", go_on, "said."]]
    async with serving(tmp_path, script) as served:
        yield served


async def begun(served: Served) -> tuple[str, list[str]]:
    ticket = await served.guest.post("/api/compare", json={"question": "Which?", "sides": SIDES, "blind": True})
    assert ticket.status_code == 202, ticket.text
    return ticket.json()["comparison_id"], ticket.json()["generation_ids"]


async def one_ended(served: Served) -> None:
    with sqlite3.connect(served.data / "colloquy.db") as db:
        while db.execute("SELECT count(*) FROM generations WHERE status = 'done'").fetchone() != (1,):
            await asyncio.sleep(0.01)


async def walk(served: Served, comparison: str, generations: Sequence[str]) -> str:
    """All that the doors show of a comparison, but for the streams; fails where an answer tells how it was made."""
    pages = [
        "/api/comparisons",
        f"/api/comparisons/{comparison}",
        f"/api/comparisons/{comparison}/export?format=md",
        f"/api/comparisons/{comparison}/export?format=json",
        "/api/conversations",
        "/api/conversations?q=said",
        f"/api/conversations/{comparison}",
        f"/api/conversations/{comparison}/export?format=md",
        f"/api/conversations/{comparison}/export?format=json",
        *(f"/api/generations/{generation}" for generation in generations),
    ]
    texts = []
    for page in pages:
        answer = await served.guest.get(page)
        assert answer.status_code == 200, page
        assert [word for word in TELLING if word in answer.text.lower()] == [], page
        texts.append(answer.text)
    for generation in generations:
        told = (await served.guest.get(f"/api/generations/{generation}")).json()
        assert {name: told[name] for name in EMPTY} == EMPTY
        assert {(passage["score"], passage["corpus"]) for passage in told["passages"]} <= {(0.0, "")}
    shown = (await served.guest.get(f"/api/comparisons/{comparison}")).json()
    assert {column["engine_s"] for column in shown["columns"]} == {0.0}
    return "\n".join(texts)


async def test_while_a_blind_column_is_written_no_door_tells_that_another_has_ended(
    served: Served, go_on: asyncio.Event
) -> None:
    comparison, generations = await begun(served)
    heard: list[list[SentEvent]] = [[] for _ in range(4)]

    async def listen(generation: str, into: list[SentEvent]) -> None:
        async with served.guest.stream("GET", f"/api/generations/{generation}/events") as response:
            async for event in read_stream(response.aiter_lines()):
                into += [event] if isinstance(event, SentEvent) else []

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for generation, into in zip(generations, heard[:2], strict=True):
            group.create_task(listen(generation, into))
        await one_ended(served)
        for generation, into in zip(generations, heard[2:], strict=True):
            group.create_task(listen(generation, into))
        assert "ly" not in await walk(served, comparison, generations)
        for generation in generations:
            told = (await served.guest.get(f"/api/generations/{generation}")).json()
            assert {name: told[name] for name in UNWRITTEN} == UNWRITTEN
        assert {event.kind for events in heard for event in events} <= {"queued", "started"}
        for letter in "ab":
            again = await served.guest.post(f"/api/comparisons/{comparison}/columns/{letter}/again", json={})
            assert again.status_code == 422
        go_on.set()
    for events in heard:
        assert [event.kind for event in events if event.kind not in ("queued", "retrieved")] == [
            "started",
            "token",
            "done",
        ]
    assert "Slowly said." in await walk(served, comparison, generations)


async def test_after_the_end_the_streams_hold_no_times_counts_or_steps_until_the_vote(
    served: Served, go_on: asyncio.Event
) -> None:
    go_on.set()
    comparison, generations = await begun(served)
    for generation in (*generations, *generations):
        events = await events_of(served.guest, generation)
        assert {event.kind for event in events} <= {"queued", "started", "retrieved", "token", "done"}
        assert events[-1].data["usage"] == EMPTY["usage"]
        assert events[-1].data["timings_ms"] == {}
        assert [event.data["ms"] for event in events if event.kind == "retrieved"] in ([], [0.0])
        assert sum(event.kind == "token" for event in events) == 1
        numbers = [event.id for event in events if event.kind != "queued"]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    await walk(served, comparison, generations)
    voted = await served.guest.post(f"/api/comparisons/{comparison}/vote", json={"winner": "tie"})
    assert {column["generation"]["pipeline"] for column in voted.json()["columns"]} == {"direct", "naive"}
    assert all(column["generation"]["timings_ms"]["total"] > 0 for column in voted.json()["columns"])
    assert "step" in {event.kind for event in await events_of(served.guest, generations[0])}
