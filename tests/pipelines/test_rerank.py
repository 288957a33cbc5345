"""Reranking: the judge that was asked for, or the first that there is, orders the passages."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import pytest

from app.backend.engines.scripted import Call, Item, ScriptedEngine
from app.backend.errors import Unavailable
from app.backend.events import Degraded, Retrieved, Step
from app.backend.types import Passage, Scored
from tests.pipelines.doubles import BEES, MOON, RUST, Shelf, ask, done, engine, prompts, run

pytestmark = pytest.mark.anyio


class Bare(Shelf):
    """Neither a cross-encoder nor an encoder."""

    async def rerank(self, query: str, passages: Sequence[Passage]) -> tuple[Passage, ...]:
        raise Unavailable("This server has no cross-encoder.")

    async def embed(self, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        raise Unavailable("This server has no encoder.")


def asked_of(events: Sequence[object]) -> list[str]:
    return [event.detail for event in events if isinstance(event, Step) and event.name == "rerank"]


def read(events: Sequence[object]) -> list[tuple[Passage, ...]]:
    return [event.passages for event in events if isinstance(event, Retrieved)]


async def test_more_passages_are_found_than_read_and_the_cross_encoder_orders_them() -> None:
    scripted, shelf = await engine(["Newton did [1]."]), Shelf()
    events = await run("rerank", ask("rerank", "Who?", rerank_topk=2), scripted, shelf)
    assert shelf.searches == [("Who?", "demo", 20, "hybrid")]
    assert asked_of(events) == ["cross-encoder"]
    assert read(events) == [(MOON, BEES)]  # the longest first
    assert RUST.text not in prompts(scripted)[0][-1][1]
    assert [(c.n, c.passage_id) for c in done(events).citations] == [(1, MOON.id)]


async def test_the_encoder_judges_by_likeness() -> None:
    events = await run("rerank", ask("rerank", "Rust, why?", by="bi-encoder"), await engine(["Air."]), Rusty())
    assert asked_of(events) == ["bi-encoder"]
    ((first, *rest),) = read(events)
    assert (first.id, first.score) == (RUST.id, 1.0)
    assert [passage.id for passage in rest] == [BEES.id, MOON.id]


class Rusty(Shelf):
    async def embed(self, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        return tuple((1.0, 0.0) if text.startswith("Rust") else (0.0, 1.0) for text in texts)


async def judging(gate: asyncio.Event, count: int) -> ScriptedEngine:
    """Says yes to the Moon; nobody hears it before `count` were asked."""
    calls: list[Call] = []

    def script(call: Call) -> Sequence[Item]:
        if not call.sampling.logprobs:
            return ["Newton."]
        calls.append(call)
        if len(calls) == count:
            gate.set()
        yes = 0.9 if MOON.text in call.messages[-1].content else 0.2
        top = (("Yes", math.log(yes)), (" no", math.log(1 - yes)))
        return [gate, Scored("Yes", math.log(yes), top)]

    scripted = ScriptedEngine(script, tokens_per_s=0)
    await scripted.start()
    return scripted


async def test_where_there_is_no_encoder_the_engine_judges_all_passages_at_once() -> None:
    scripted = await judging(asyncio.Event(), 3)
    events = await run("rerank", ask("rerank", "Who explained the tides?"), scripted, Bare())
    assert asked_of(events) == ["cross-encoder", "bi-encoder", "engine"]
    assert prompts(scripted)[0] == [
        (
            "user",
            f"Passage: Bees\n{BEES.text}\n\nQuestion: Who explained the tides?\n\n"
            "Does the passage help to answer the question? Answer yes or no.",
        )
    ]
    ((first, second, third),) = read(events)
    assert (first.id, first.score) == (MOON.id, pytest.approx(0.9))
    assert [second.id, third.id] == [BEES.id, RUST.id]


async def test_a_judge_that_is_not_there_is_said_and_the_order_stays() -> None:
    events = await run("rerank", ask("rerank", "Who?", by="bi-encoder"), await engine(["Newton."]), Bare())
    assert Degraded("rerank", "This server has no encoder. The passages stay as they were found.") in events
    assert read(events) == [(BEES, MOON, RUST)]
    assert done(events).answer == "Newton."


async def test_a_model_that_says_neither_yes_nor_no_leaves_the_order() -> None:
    events = await run("rerank", ask("rerank", "Who?", by="engine"), await engine(["42"], ["x"], ["So"], ["z"]))
    assert [[passage.id for passage in passages] for passages in read(events)] == [["b", "a", "c"]]
