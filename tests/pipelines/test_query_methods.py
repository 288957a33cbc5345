"""HyDE, step-back and decomposition, pinned to their papers: what is searched for beside the question."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from app.backend.engines.scripted import Call, Item, ScriptedEngine
from app.backend.events import Degraded, Event, Retrieved
from app.backend.pipelines.step_back import stepped_back
from app.backend.types import Exchange
from tests.pipelines.doubles import BEES, MOON, RUST, Shelf, ask, done, engine, prompts, run
from tests.pipelines.test_multi_query import Rankings

pytestmark = pytest.mark.anyio

HISTORY = (Exchange("Who painted the Mona Lisa?", "Leonardo da Vinci."),)
ALONE = "When did Leonardo da Vinci die?"


def degraded(events: Sequence[Event]) -> list[str]:
    return [event.part for event in events if isinstance(event, Degraded)]


async def test_hyde_searches_for_the_question_and_the_passage_the_model_imagines() -> None:
    shelf = Rankings({"Who?": (BEES, MOON), "Newton was a man.": (MOON, RUST)})
    scripted = await engine(["Newton was\na man. "], ["Newton [2]."])
    events = await run("hyde", ask("hyde", "Who?", retrieval_topk=2), scripted, shelf)
    assert prompts(scripted)[0] == [
        ("user", "Please write a passage to answer the question.\nQuestion: Who?\nPassage:")
    ]
    assert [text for text, *_ in shelf.searches] == ["Who?", "Newton was a man."]
    assert [event.numbers for event in events if isinstance(event, Retrieved)] == [(1, 2), (2, 3)]
    assert RUST.title not in prompts(scripted)[1][-1][1]
    assert [c.passage_id for c in done(events).citations] == ["a"]


async def test_hyde_imagines_several_passages_together_and_variedly() -> None:
    shelf = Shelf()
    both = asyncio.Event()

    def play(call: Call) -> list[Item]:
        if not call.messages[-1].content.endswith("Passage:"):
            return ["Done."]
        if len(scripted.calls) == 2:
            both.set()
        return [both, f"Passage {len(scripted.calls)}."]

    scripted = ScriptedEngine(play, tokens_per_s=0)
    await scripted.start()
    await run("hyde", ask("hyde", "Who?", passage_num=2), scripted, shelf)
    assert [text for text, *_ in shelf.searches] == ["Who?", "Passage 1.", "Passage 2."]
    assert [call.sampling.temperature for call in scripted.calls] == [0.7, 0.7, 0.0]


async def test_hyde_without_imagination_searches_for_the_question() -> None:
    shelf = Shelf()
    events = await run("hyde", ask("hyde", "When did he die?", HISTORY), await engine([ALONE], [" "], ["1519"]), shelf)
    assert [text for text, *_ in shelf.searches] == [ALONE]
    assert (degraded(events), done(events).answer) == (["method"], "1519")


async def test_step_back_searches_for_the_question_and_the_more_general_one() -> None:
    shelf = Rankings({ALONE: (BEES,), "How did Leonardo da Vinci live?": (MOON,)})
    scripted = await engine([ALONE], ["Stepback Question: How did Leonardo da Vinci live?\nOriginal"], ["1519 [1]."])
    events = await run("step-back", ask("step-back", "When did he die?", HISTORY), scripted, shelf)
    assert [text for text, *_ in shelf.searches] == [ALONE, "How did Leonardo da Vinci live?"]
    paper = prompts(scripted)[1][0][1]
    assert paper.startswith("You are an expert at world knowledge. Your task is to step back and paraphrase")
    assert paper.endswith(f"Original Question: {ALONE}\nStepback Question:")
    read = prompts(scripted)[2][1][1]
    assert f"[1] {BEES.title}" in read
    assert f"[2] {MOON.title}" in read
    assert [c.passage_id for c in done(events).citations] == ["b"]


async def test_of_two_rankings_step_back_reads_first_what_both_found() -> None:
    shelf = Rankings({"Who?": (BEES, MOON), "Which people?": (RUST, MOON)})
    scripted = await engine(["Which people?"], ["Newton."])
    await run("step-back", ask("step-back", "Who?", context_topk=1), scripted, shelf)
    assert prompts(scripted)[1][1][1].startswith(MOON.title)


async def test_step_back_without_a_question_searches_only_for_the_one_asked() -> None:
    shelf = Shelf()
    events = await run("step-back", ask("step-back", "Who?"), await engine(["He died in 1519."], ["Newton."]), shelf)
    assert [text for text, *_ in shelf.searches] == ["Who?"]
    assert (degraded(events), done(events).answer) == (["method"], "Newton.")


def test_a_general_question_is_a_question_and_another_one() -> None:
    assert stepped_back("\nStep-back question: 什么？\nmore", "Who?") == "什么？"
    assert stepped_back("who?", "Who?") == ""
    assert stepped_back("", "Who?") == ""


class Parts:
    """Takes a question apart; answers no part before both have been asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.both = asyncio.Event()

    def __call__(self, call: Call) -> Sequence[Item]:
        *_, last = call.messages
        if "apart" in call.messages[0].content:
            return ["1. How old is the Moon?\nWell.\n2. How old is a bee?\n3. And rust?"]
        if last.content.endswith("Who is older?"):
            return ["The Moon [1]."]
        self.asked += 1
        if self.asked == 2:
            self.both.set()
        return [self.both, "Very old [1]." if "Moon?" in last.content else "A day."]


async def test_the_parts_are_searched_and_answered_together_and_stand_before_the_question() -> None:
    shelf = Rankings({"Who is older?": (MOON,), "How old is the Moon?": (MOON, RUST), "How old is a bee?": (BEES,)})
    scripted = ScriptedEngine(Parts(), tokens_per_s=0)
    await scripted.start()
    events = await run("decompose", ask("decompose", "Who is older?", part_num=2), scripted, shelf)
    assert [text for text, *_ in shelf.searches] == ["Who is older?", "How old is the Moon?", "How old is a bee?"]
    _, moon, bee, last = prompts(scripted)
    assert RUST.title in moon[1][1]
    assert bee[1][1].startswith(BEES.title)
    assert [content.rpartition("\n")[2] for role, content in last[1:]] == [
        "Question: How old is the Moon?",
        "Very old.",
        "Question: How old is a bee?",
        "A day.",
        "Question: Who is older?",
    ]
    assert done(events).answer == "The Moon [1]."


async def test_a_question_that_is_not_taken_apart_is_answered_as_a_whole() -> None:
    shelf = Shelf()
    scripted = await engine([ALONE], ["I cannot."], ["1519"])
    events = await run("decompose", ask("decompose", "When did he die?", HISTORY), scripted, shelf)
    assert [text for text, *_ in shelf.searches] == [ALONE]
    assert (degraded(events), done(events).answer) == (["method"], "1519")
