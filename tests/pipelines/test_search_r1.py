"""Search-R1, pinned to Jin et al. 2025: its prompt, its tags, and the searches in their order."""

from __future__ import annotations

import pytest

from app.backend.events import Searched, Step
from app.backend.pipelines.search_r1 import ASKED
from tests.pipelines.doubles import BEES, MOON, Shelf, ask, done, engine, prompts, run

pytestmark = pytest.mark.anyio

QUESTION = "Who explained the tides?"
STOPS = ("</search>", "</answer>", "<information>", "<|im_end|>", "<|endoftext|>")


async def test_documents_go_between_information_tags_and_the_model_goes_on() -> None:
    scripted = await engine(
        ["<think> I need it. </think>\n<search> tides ", "</search>\n and more"],
        ["<think> Newton? </think>\n<search>Newton", " tides </search>"],
        ["<think> Yes. </think>\n<answer> Newton </answer>"],
    )
    shelf = Shelf((BEES, MOON))
    events = await run("search-r1", ask("search-r1", QUESTION, retrieval_topk=2), scripted, shelf)
    assert [text for text, *_ in shelf.searches] == ["tides", "Newton tides"]
    assert [event.text for event in events if isinstance(event, Searched)] == ["tides", "Newton tides"]
    documents = (
        f"\n\n<information>\nDoc 1(Title: Bees) {BEES.text}\nDoc 2(Title: Moon) {MOON.text}\n\n</information>\n\n"
    )
    asked = ("user", ASKED.format(question=QUESTION))
    one = f"<think> I need it. </think>\n<search> tides </search>{documents}"
    two = f"{one}<think> Newton? </think>\n<search>Newton tides </search>{documents}"
    assert prompts(scripted) == [[asked], [asked, ("assistant", one)], [asked, ("assistant", two)]]
    assert all(call.sampling.stop == STOPS for call in scripted.calls)
    assert done(events).answer == "Newton"


async def test_what_the_model_knows_needs_no_search() -> None:
    scripted, shelf = await engine(["<think> Easy. </think> <answer> Newton </answer>"]), Shelf()
    events = await run("search-r1", ask("search-r1", QUESTION), scripted, shelf)
    assert (done(events).answer, done(events).citations, shelf.searches) == ("Newton", (), [])


async def test_five_searches_are_the_limit_and_the_model_may_answer_after_the_last() -> None:
    scripted, shelf = await engine(*(["<search>more</search>"] for _ in range(5)), ["<answer>x</answer>"]), Shelf()
    events = await run("search-r1", ask("search-r1", QUESTION), scripted, shelf)
    assert (len(shelf.searches), done(events).answer) == (5, "x")


async def test_the_authors_checkpoints_are_native() -> None:
    scripted = await engine(["<answer>x</answer>"])
    scripted.model = "SearchR1-nq_hotpotqa_train-qwen2.5-7b-em-ppo"
    assert (await run("search-r1", ask("search-r1", QUESTION), scripted))[0] == Step("mode", "native")


def test_the_prompt_is_the_published_one() -> None:
    assert ASKED.startswith("Answer the given question. You must conduct reasoning inside <think> and </think> first")
    assert ASKED.endswith("For example, <answer> Beijing </answer>. Question: {question}\n")
