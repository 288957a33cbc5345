"""All methods at once on one engine and one retriever: nothing of one answer gets into another, and each can be stopped
at any of its stages."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import pytest

from app.backend.engines.scripted import Call, Item, ScriptedEngine, Silence
from app.backend.events import Done
from app.backend.pipelines.registry import PIPELINES
from app.backend.protocols import Tools
from app.backend.types import Exchange, Passage, RetrieverName, Scored
from tests.pipelines.doubles import SHELF, Shelf, ask, registry, run

pytestmark = pytest.mark.anyio


def topics(text: str) -> set[str]:
    return set(re.findall(r"topic(\d+)", text))


def about_its_topic(call: Call) -> Sequence[Item]:
    """What a model says that knows nothing but its prompt, in which there must be nothing of another topic."""
    prompt = "\n".join(message.content for message in call.messages)
    topic = call.request_id
    assert topics(prompt) == {topic}
    if call.sampling.echo:
        return [Scored(f" {word}", -1.0) for word in prompt.split()]
    if call.sampling.logprobs and call.sampling.max_tokens == 1:
        words = (" yes", " B", " fully", " 5", f" topic{topic}")
        top = tuple((word, -1.0 - place) for place, word in enumerate(words))
        return [Scored(*top[0], top)]
    if "<search>" in prompt:
        asks = call.messages[-1].role == "user" and "</answer>" in call.sampling.stop
        return (
            [f"<search> topic{topic} </search>"] if asks else [f"<answer> Fact {topic} is of topic{topic}. </answer>"]
        )
    return [f"(a) topic{topic} (b) Fact {topic} ", f"is of topic{topic}."]


class Topics(Shelf):
    """Has three passages for each topic."""

    async def search(
        self,
        query: str,
        *,
        corpus: str,
        top_k: int,
        retriever: RetrieverName | None = None,
        cache_salt: str | None = None,
    ) -> tuple[Passage, ...]:
        (topic,) = topics(query)
        text = f"Fact {topic} is of topic{topic}. So topic{topic} is said to be."
        return tuple(Passage(f"{topic}-{n}", f"Title topic{topic}", text, 1.0 - n / 10, "demo") for n in range(3))


async def test_all_methods_at_once_over_two_turns_do_not_mix() -> None:
    scripted, shelf, methods = ScriptedEngine(about_its_topic, tokens_per_s=0), Topics(), registry()
    await scripted.start()

    async def one(number: int, pipeline: str) -> None:
        history: list[Exchange] = []
        for question in (f"What is topic{number}?", "When was it?"):
            tools = Tools(scripted, shelf, str(number))
            query = ask(pipeline, question, history, max_tokens=16)
            if not history or pipeline not in ("direct", "skr"):
                done = [event async for event in methods.run(pipeline, query, tools)][-1]
                assert isinstance(done, Done), pipeline
                assert topics(done.answer) <= {str(number)}, pipeline
                assert {citation.passage_id.split("-")[0] for citation in done.citations} <= {str(number)}, pipeline
                history.append(Exchange(question, done.answer))

    async with asyncio.TaskGroup() as all_at_once:
        for number, pipeline in enumerate([*PIPELINES, *PIPELINES]):
            all_at_once.create_task(one(number, pipeline))
    assert scripted.finished > 4 * len(PIPELINES)


def stage(pipeline: str, answered: int, at_once: int) -> object:
    return pytest.param(pipeline, answered, at_once, id=f"{pipeline} after {answered} calls")


@pytest.mark.parametrize(
    ("pipeline", "answered", "at_once"),
    [
        stage("naive", 0, 1),
        stage("sure", 0, 1),
        stage("sure", 1, 2),
        stage("sure", 3, 4),
        stage("selfrag", 0, 3),
        stage("selfrag", 3, 3),
        stage("rqrag", 0, 4),
        stage("rqrag", 4, 2),
        stage("replug", 0, 3),
        stage("replug", 3, 3),
        stage("crag", 0, 3),
        stage("crag", 3, 1),
        stage("trace", 0, 3),
        stage("trace", 3, 1),
    ],
)
async def test_a_run_that_is_cancelled_leaves_no_call_open(pipeline: str, answered: int, at_once: int) -> None:
    said = 0

    def script(call: Call) -> Sequence[Item]:
        nonlocal said
        said += 1
        if said > answered:
            return [Silence()]
        if call.messages[-1].role == "assistant":
            return [" are; tell by dance>"]
        if call.sampling.logprobs and call.sampling.max_tokens == 1:
            return [Scored(" yes", -0.1, ((" yes", -0.1),))]
        return [f"(a) Newton {said} (b) Kepler"]

    scripted = ScriptedEngine(script, tokens_per_s=0)
    await scripted.start()
    params = {"mode": "always_retrieve"} if pipeline == "selfrag" else {}
    task = asyncio.create_task(run(pipeline, ask(pipeline, "Who?", **params), scripted, Shelf(SHELF)))
    while scripted.finished < answered or scripted.open < at_once:
        assert not task.done()
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (scripted.open, scripted.finished) == (0, answered)
    assert scripted.aborted >= at_once
