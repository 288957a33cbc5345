"""O2-Searcher, pinned to Mei et al. 2025 and its code: one to five queries together, learnings, one correction."""

from __future__ import annotations

import pytest

from app.backend.events import Retrieved, Searched, Token
from app.backend.pipelines.o2_searcher import INVALID, SYSTEM
from tests.pipelines.doubles import BEES, MOON, Shelf, ask, done, engine, prompts, run

pytestmark = pytest.mark.anyio

QUESTION = "Who explained the tides?"
ASKED = ("user", f"Initial query:{QUESTION}")
SEARCH = "<think> Two things. </think>\n<search>\n<query>tides</query>\n<query> Newton </query>\n</search>"


async def test_queries_are_searched_together_and_learned_from_in_the_next_turn() -> None:
    scripted = await engine([SEARCH], ["<answer>\nNewton", " did.\n\n- So it is.\n</answer>"])
    shelf = Shelf((BEES, MOON))
    events = await run("o2-searcher", ask("o2-searcher", QUESTION, retrieval_topk=2), scripted, shelf)
    assert [text for text, *_ in shelf.searches] == ["tides", "Newton"]
    kinds = [type(event) for event in events if isinstance(event, Searched | Retrieved)]
    assert kinds == [Searched, Searched, Retrieved, Retrieved]
    learned = (
        f"Search learnings: <learnings>Doc 1(Title: Bees) {BEES.text}\nDoc 2(Title: Moon) {MOON.text}</learnings>.\n"
    )
    asked = [("system", SYSTEM), ASKED]
    assert prompts(scripted) == [asked, [*asked, ("assistant", SEARCH), ("user", learned)]]
    assert done(events).answer == "Newton did.\n\n- So it is."
    assert [event.text for event in events if isinstance(event, Token)] == ["Newton", " did.\n\n- So it is."]


async def test_five_queries_are_the_most_and_none_is_asked_twice() -> None:
    many = "".join(f"<query>q{n // 2}</query>" for n in range(14))
    scripted, shelf = await engine([f"<search>{many}</search>"], ["<answer>x</answer>"]), Shelf()
    await run("o2-searcher", ask("o2-searcher", QUESTION), scripted, shelf)
    assert [text for text, *_ in shelf.searches] == ["q0", "q1", "q2"]


async def test_a_reply_in_no_format_is_corrected_once() -> None:
    scripted = await engine(["Newton, I guess."], ["<answer>Newton</answer>"])
    events = await run("o2-searcher", ask("o2-searcher", QUESTION), scripted, Shelf())
    assert prompts(scripted)[1][2:] == [("assistant", "Newton, I guess."), ("user", INVALID)]
    assert done(events).answer == "Newton"


async def test_a_second_one_in_a_row_ends_it() -> None:
    scripted, shelf = await engine(["A guess."], ["Another."], ["Newton."]), Shelf((MOON,))
    events = await run("o2-searcher", ask("o2-searcher", QUESTION), scripted, shelf)
    assert [text for text, *_ in shelf.searches] == [QUESTION]
    assert done(events).answer == "Newton."
