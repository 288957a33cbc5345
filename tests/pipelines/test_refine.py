"""What the methods that make less of the passages share."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from app.backend.engines.scripted import Call, Crash, Item, ScriptedEngine
from app.backend.errors import Unavailable
from app.backend.events import Degraded, Retrieved, Step, Thought
from app.backend.pipelines.refine import Unit, divided, units
from app.backend.types import Exchange, Passage, Scored
from tests.pipelines.doubles import BEES, MOON, Shelf, ask, done, engine, prompts, run

pytestmark = pytest.mark.anyio
TURN = Exchange("Who explained the tides?", "Newton did [1].")


class NoEncoder(Shelf):
    async def embed(self, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        raise Unavailable("This server has no encoder.")


async def test_what_is_left_of_a_passage_keeps_its_number_and_the_passage_itself_is_cited() -> None:
    query = ask("recomp-extractive", "Its tides: who?", refiner_topk=1)
    scripted = await engine(["Newton explained the tides [2]."])
    events = await run("recomp-extractive", query, scripted, Shelf((BEES, MOON)))
    (chat,) = prompts(scripted)
    assert chat[-1][1] == "Moon\nIts tides were first explained by Newton.\n\nQuestion: Its tides: who?"
    assert [event.passages for event in events if isinstance(event, Retrieved)] == [(BEES, MOON)]
    assert [event.text for event in events if isinstance(event, Thought)] == [
        "Moon\nIts tides were first explained by Newton."
    ]
    (citation,) = done(events).citations
    assert (citation.n, citation.passage_id) == (2, "a")
    assert [MOON.text[a:b] for a, b in citation.spans] == ["Its tides were first explained by Newton."]


async def test_a_refiner_that_cannot_leaves_the_passages_whole_and_says_so() -> None:
    scripted = await engine(["Newton."])
    events = await run("recomp-extractive", ask("recomp-extractive", "Who?"), scripted, NoEncoder())
    assert Degraded("refine", "This server has no encoder. The passages are read whole.") in events
    assert BEES.text in prompts(scripted)[0][-1][1]
    assert done(events).answer == "Newton."


async def test_a_follow_up_is_searched_for_and_refined_by_as_it_stands_alone() -> None:
    scripted, shelf = await engine(["Its tides, Newton: when explained?"], ["In 1687."]), Shelf((BEES, MOON))
    query = ask("recomp-extractive", "When explained?", [TURN], refiner_topk=1)
    events = await run("recomp-extractive", query, scripted, shelf)
    assert shelf.searches[0][0] == "Its tides, Newton: when explained?"
    assert "Its tides were" in prompts(scripted)[1][1][1]
    assert BEES.text not in prompts(scripted)[1][1][1]
    names = [event.name for event in events if isinstance(event, Step)]
    assert names == ["rewrite", "mode", "retrieve", "refine", "generate", "cite"]


async def test_nothing_found_is_nothing_to_refine() -> None:
    events = await run("recomp-abstractive", ask("recomp-abstractive", "Who?"), await engine(["Nobody."]), Shelf([]))
    assert "refine" not in [event.name for event in events if isinstance(event, Step)]
    assert done(events).answer == "Nobody."


async def test_an_engine_that_dies_while_it_weighs_is_an_error() -> None:
    scripted = await engine(*[[Crash()]] * 20)
    with pytest.raises(Unavailable):
        await run("selective-context", ask("selective-context", "Who?"), scripted)


@pytest.mark.parametrize("pipeline", ["recomp-extractive", "recomp-abstractive", "selective-context", "llmlingua"])
async def test_eight_at_once_on_one_engine_do_not_mix(pipeline: str) -> None:
    def script(call: Call) -> Sequence[Item]:
        text = call.messages[-1].content
        number = text[text.index("topic") + 5]
        return [Scored(f" topic{number}", -5.0)] if call.sampling.echo else [f"Fact {number} is about topic{number}."]

    scripted = ScriptedEngine(script, tokens_per_s=0)
    await scripted.start()

    async def one(number: int) -> None:
        passage = Passage(f"p{number}", "", f"Fact {number} is about topic{number}.", 1.0, "demo")
        events = await run(pipeline, ask(pipeline, f"What of topic{number}?"), scripted, Shelf([passage]))
        assert done(events).answer == f"Fact {number} is about topic{number}."
        assert {c.passage_id for c in done(events).citations} == {f"p{number}"}

    await asyncio.gather(*map(one, range(8)))


def test_units_join_to_the_text_whatever_the_tokeniser_swallows() -> None:
    tokens = [Scored("\n", -9.0), Scored("The", -1.0), Scored("moon", -2.0), Scored("", -1.0), Scored("月", -1.5)]
    assert units("The  moon月。", tokens) == [Unit("The", 1.0), Unit("  moon", 2.0), Unit("月。", 2.5)]
    assert units("No tokens", []) == [Unit("No tokens", 0.0)]


def test_a_unit_over_the_border_belongs_to_what_follows() -> None:
    parts = [Unit("one", 1.0), Unit(" two", 2.0), Unit("\nthree", 3.0)]
    assert divided(parts, len("one two")) == (parts[:2], parts[2:])
    assert divided(parts, 100) == (parts, [])
