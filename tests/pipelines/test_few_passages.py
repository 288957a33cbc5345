"""Where a small model reads one passage by default, the methods that work on several passages still do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from app.backend.engines.scripted import Call, Item, ScriptedEngine
from app.backend.events import Degraded, Event
from app.backend.pipelines.registry import create_registry
from app.backend.types import ParamValue, Passage, Query, RetrieverName, Scored
from app.settings import GenerationSettings, RetrievalSettings, Settings
from tests.pipelines.doubles import BEES, MOON, RUST, SHELF, Shelf, done, engine, prompts, run

pytestmark = pytest.mark.anyio

SMALL = create_registry(
    Settings(retrieval=RetrievalSettings(top_k=3, context_k=1), generation=GenerationSettings(max_tokens=192))
)


def query(pipeline: str, question: str, **params: ParamValue) -> Query:
    return Query(question, "demo", (), SMALL.validate(pipeline, params))


def weighing(call: Call) -> Sequence[Item]:
    if call.sampling.echo:
        return [Scored(f" {word}", -1.0) for word in call.messages[0].content.split()]
    if call.messages[-1].role == "assistant":
        return [Scored(" B", 0.0, ((" B", 0.0),))] if call.sampling.logprobs else [" are; tell by dance>"]
    return ["(a) Newton (b) Kepler"]


@pytest.mark.parametrize("pipeline", ["llmlingua", "selective-context"])
async def test_all_passages_are_refined_and_as_many_read_as_are_wanted(pipeline: str) -> None:
    for params, read in (({}, ["Bees", "Moon", "Rust"]), ({"context_topk": 1}, ["Bees"])):
        scripted = ScriptedEngine(weighing, tokens_per_s=0)
        await scripted.start()
        await run(pipeline, query(pipeline, "Who?", **params), scripted)
        *weighed, answered = prompts(scripted)
        assert all(any(p.text.split()[1] in chat[0][1] for chat in weighed) for p in SHELF)
        assert [p.title for p in SHELF if p.title in answered[-1][1]] == read


async def test_sentences_come_from_all_passages_or_from_the_one_with_the_closest() -> None:
    for params, read in (({}, ["Bees", "Moon", "Rust"]), ({"context_topk": 1}, ["Moon"])):
        scripted = await engine(["Newton."])
        await run("recomp-extractive", query("recomp-extractive", "Its tides?", **params), scripted)
        assert [p.title for p in SHELF if p.title in prompts(scripted)[0][-1][1]] == read


async def test_a_summary_and_candidates_are_made_of_all_passages() -> None:
    for pipeline in ("recomp-abstractive", "sure"):
        scripted = await engine(["(a) Newton"])
        await run(pipeline, query(pipeline, "Who?"), scripted)
        assert all(p.text in prompts(scripted)[0][0][1] for p in SHELF), pipeline


async def test_triples_are_taken_from_all_passages() -> None:
    scripted = await engine()
    await run("trace", query("trace", "Who?"), scripted)
    assert [chat[-1][1] for chat in prompts(scripted)[:3]] == ["<Bees;", "<Moon;", "<Rust;"]


class Growing(Shelf):
    """Finds another passage each time, of which the first has the best score."""

    async def search(
        self,
        query: str,
        *,
        corpus: str,
        top_k: int,
        retriever: RetrieverName | None = None,
        cache_salt: str | None = None,
    ) -> tuple[Passage, ...]:
        self.searches.append((query, corpus, top_k, retriever))
        return (SHELF[min(len(self.searches), len(SHELF)) - 1],)


async def test_a_thought_sees_what_the_one_before_it_found() -> None:
    scripted = await engine(["Bees dance. "], ["So the answer is: Newton"])
    await run("ircot", query("ircot", "Who?"), scripted, Growing())
    first, second = (chat[1][1] for chat in prompts(scripted))
    assert (BEES.text in first, MOON.text in first) == (True, False)
    assert (BEES.text in second, MOON.text in second) == (True, True)


@pytest.mark.parametrize(
    "pipeline", ["llmlingua", "selective-context", "recomp-extractive", "recomp-abstractive", "trace", "sure", "ircot"]
)
async def test_what_does_not_fit_the_small_models_context_is_left_out(pipeline: str) -> None:
    long = [replace(p, text=f"{p.text} And it is said to be so. " * 90) for p in (BEES, MOON, RUST)]
    scripted = ScriptedEngine(weighing, tokens_per_s=0, context_tokens=4096)
    await scripted.start()
    events: list[Event] = await run(pipeline, query(pipeline, "Who?"), scripted, Shelf(long))
    assert done(events).answer
    for call in scripted.calls:
        if not call.sampling.echo:
            assert await scripted.count_tokens(call.messages) + call.sampling.max_tokens <= 4096
    assert not any(isinstance(event, Degraded) and event.part in ("method", "refine") for event in events)
