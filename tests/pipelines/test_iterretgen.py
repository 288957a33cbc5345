"""Iter-RetGen, pinned to Shao et al. 2023: the query of a round is the question and the answer of the round before."""

from __future__ import annotations

import pytest

from app.backend.events import Retrieved, Searched, Step, Thought
from tests.pipelines.doubles import BEES, MOON, Shelf, ask, done, engine, prompts, run

pytestmark = pytest.mark.anyio


async def test_each_round_searches_for_the_question_and_the_last_answer() -> None:
    scripted, shelf = await engine(["Newton?"], ["Surely Newton."], ["Newton did [2]."]), Shelf((BEES, MOON))
    events = await run("iterretgen", ask("iterretgen", "Who explained the tides?"), scripted, shelf)
    assert [text for text, *_ in shelf.searches] == [
        "Who explained the tides?",
        "Who explained the tides? Newton?",
        "Who explained the tides? Surely Newton.",
    ]
    assert [event.text for event in events if isinstance(event, Thought)] == ["Newton?", "Surely Newton."]
    assert done(events).answer == "Newton did [2]."
    assert [c.passage_id for c in done(events).citations] == ["a"]


async def test_the_marks_of_an_answer_are_not_searched_for() -> None:
    scripted, shelf = await engine(["Newton did [2]."], ["Newton."]), Shelf((BEES, MOON))
    await run("iterretgen", ask("iterretgen", "Who?", iter_num=2), scripted, shelf)
    assert [text for text, *_ in shelf.searches] == ["Who?", "Who? Newton did."]


async def test_every_round_reads_only_its_own_passages() -> None:
    scripted = await engine(["draft"], ["final"])
    await run("iterretgen", ask("iterretgen", "Who?", iter_num=2, context_topk=1), scripted, Shelf((BEES, MOON)))
    first, last = prompts(scripted)
    assert first == last
    assert BEES.text in first[-1][1]
    assert MOON.text not in first[-1][1]


async def test_one_round_is_naive_rag() -> None:
    events = await run("iterretgen", ask("iterretgen", "Who?", iter_num=1), await engine(["Newton."]), Shelf())
    kinds = [type(event) for event in events[:4]]
    assert kinds == [Step, Searched, Retrieved, Step]
