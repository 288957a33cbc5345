"""IRCoT, pinned to Trivedi et al. 2023: a thought is the next query, the pool grows, the answer ends it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.backend.errors import Unavailable
from app.backend.events import Degraded, Thought
from app.backend.pipelines import prompts as texts
from app.backend.pipelines.ircot import pooled
from app.backend.pipelines.ircot_prompts import FLASHRAG, SYSTEM
from app.backend.types import Exchange, Passage, RetrieverName
from tests.pipelines.doubles import BEES, MOON, RUST, Shelf, ask, done, engine, prompts, run

pytestmark = pytest.mark.anyio


class Turns(Shelf):
    """What each search finds, in their order."""

    def __init__(self, *found: tuple[Passage, ...]) -> None:
        super().__init__()
        self.found = found

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
        return self.found[len(self.searches) - 1]


def block(passage: Passage) -> str:
    return f"Wikipedia Title: {passage.title}\n{passage.text}\n\n"


async def test_each_thought_is_searched_for_and_the_pool_is_read_best_first_until_the_answer() -> None:
    shelf = Turns((MOON,), (RUST, BEES))
    scripted = await engine([" Newton lived in 3.5 rooms. ", "More"], [" So the answer is: Newton"])
    events = await run("ircot", ask("ircot", "Who explained the tides?"), scripted, shelf)
    assert [text for text, *_ in shelf.searches] == ["Who explained the tides?", "Newton lived in 3.5 rooms"]
    assert prompts(scripted) == [
        [("system", SYSTEM), ("user", f"{block(MOON)}Question: Who explained the tides?\nThought:")],
        [
            ("system", SYSTEM),
            ("user", f"{block(BEES)}{block(MOON)}{block(RUST)}Question: Who explained the tides?\nThought:"),
            ("assistant", "Newton lived in 3.5 rooms."),
        ],
    ]
    assert [event.text for event in events if isinstance(event, Thought)][-1] == "So the answer is: Newton"
    assert done(events).answer == "Newton"


async def test_without_an_answer_a_reader_answers_from_the_pool() -> None:
    shelf = Turns((MOON,), (BEES,), (RUST,))
    scripted = await engine(["One. "], ["Two. "], ["Newton [1]."])
    events = await run("ircot", ask("ircot", "Who?", max_iter=2), scripted, shelf)
    assert [text for text, *_ in shelf.searches] == ["Who?", "One", "Two"]
    assert prompts(scripted)[2][0] == ("system", texts.FROM_PASSAGES)
    assert [(c.n, c.passage_id) for c in done(events).citations] == [(1, MOON.id)]


async def test_a_thought_that_comes_again_ends_the_thinking() -> None:
    scripted, shelf = await engine(["One. "], ["One. "], ["Newton."]), Shelf()
    events = await run("ircot", ask("ircot", "Who?", max_iter=9), scripted, shelf)
    assert len(shelf.searches) == 2
    assert done(events).answer == "Newton."


async def test_the_pool_is_capped() -> None:
    many = tuple(replace(BEES, id=str(n), title=f"Title {n}", score=1.0 - n / 100) for n in range(20))
    scripted = await engine(["So the answer is: x"])
    await run("ircot", ask("ircot", "Who?", retrieval_topk=20), scripted, Shelf(many))
    asked = prompts(scripted)[0][1][1]
    assert "Title 14" in asked
    assert "Title 15" not in asked


async def test_compat_goes_on_with_flashrags_text_whose_best_passage_is_last_and_answers_with_the_thoughts() -> None:
    shelf = Turns((MOON, RUST), (BEES,), (BEES,))
    scripted = await engine([" One. Two"], [" One. Two"])
    events = await run("ircot", ask("ircot", "Who?", max_iter=2, context_topk=1, compat=True), scripted, shelf)
    assert [text for text, *_ in shelf.searches] == ["Who?", "One", "One"]
    asked = "Question: Who?\nThought:"
    assert prompts(scripted) == [
        [("user", f"{FLASHRAG}{block(MOON)}{block(RUST)}{asked}")],
        [("user", f"{FLASHRAG}{block(RUST)}{block(MOON)}{block(BEES)}{asked} One.")],
    ]
    assert {(call.sampling.stop, call.sampling.max_tokens) for call in scripted.calls} == {((".", "\n"), 512)}
    assert done(events).answer == "One.  One."


async def test_in_compat_the_answer_is_what_follows_its_mark() -> None:
    events = await run("ircot", ask("ircot", "Who?", compat=True), await engine([" So the answer is: Newton. And"]))
    assert done(events).answer == "Newton."


async def test_a_follow_up_is_rewritten_and_a_retriever_that_is_down_leaves_the_model_alone() -> None:
    scripted, shelf = await engine(["When did Newton die?"], ["1727."]), Shelf(error=Unavailable("Down."))
    history = [Exchange("Who explained the tides?", "Newton did.")]
    events = await run("ircot", ask("ircot", "When did he die?", history), scripted, shelf)
    assert [text for text, *_ in shelf.searches] == ["When did Newton die?"]
    assert any(isinstance(event, Degraded) for event in events)
    assert done(events).answer == "1727."


def test_a_passage_keeps_the_best_of_its_scores() -> None:
    assert pooled([(MOON, RUST), (replace(RUST, score=0.85),)]) == [replace(RUST, score=0.85), MOON]


async def test_thoughts_that_outgrow_the_context_leave_the_reader() -> None:
    scripted = await engine(["word " * 110], ["Newton [1]."], context_tokens=300)
    events = await run("ircot", ask("ircot", "Who?", max_tokens=60), scripted, Shelf((MOON,)))
    assert [event.part for event in events if isinstance(event, Degraded)] == ["method"]
    assert done(events).answer == "Newton [1]."
