"""CoRAG, pinned to Wang et al. 2025: query, search, answer in turns, four times, then the whole chain is read."""

from __future__ import annotations

import pytest

from app.backend.events import Degraded, Step, Thought
from app.backend.pipelines.corag import ANSWER, SUB_ANSWER, SUB_QUERY, normalized
from tests.pipelines.doubles import BEES, MOON, Shelf, ask, done, engine, prompts, run

pytestmark = pytest.mark.anyio

QUESTION = "When was the man born who explained the tides?"
TASK = "Given a search query, retrieve relevant documents that can help answer the query"
BOTH = f"{BEES.title}\n{BEES.text}\n\n{MOON.title}\n{MOON.text}"


def chain(*links: tuple[str, str]) -> str:
    return "\n".join(f"Intermediate query {n}: {q}\nIntermediate answer {n}: {a}" for n, (q, a) in enumerate(links, 1))


async def test_the_chain_grows_by_a_query_and_its_answer_and_the_final_call_reads_all() -> None:
    scripted = await engine(
        ["Intermediate query 1: Who explained the tides?\n"],
        ["Newton", " did."],
        ['"When was Newton born?"'],
        ["1643."],
        ["In 1643."],
    )
    shelf = Shelf((BEES, MOON))
    events = await run("corag", ask("corag", QUESTION, max_iter_num=2, retrieval_topk=2), scripted, shelf)
    assert [text for text, *_ in shelf.searches] == ["Who explained the tides?", "When was Newton born?"]
    first, second = ("Who explained the tides?", "Newton did."), ("When was Newton born?", "1643.")
    final = f"Doc 0: {BEES.title}\n{BEES.text}\n\nDoc 1: {MOON.title}\n{MOON.text}"
    assert [chat[0][1] for chat in prompts(scripted)] == [
        SUB_QUERY.format(chain="Nothing yet", task=TASK, question=QUESTION),
        SUB_ANSWER.format(documents=BOTH, question=first[0]),
        SUB_QUERY.format(chain=chain(first), task=TASK, question=QUESTION),
        SUB_ANSWER.format(documents=BOTH, question=second[0]),
        ANSWER.format(documents=final, chain=chain(first, second), task=TASK, question=QUESTION),
    ]
    assert [call.sampling.max_tokens for call in scripted.calls] == [64, 64, 64, 64, 512]
    assert [event.text for event in events if isinstance(event, Thought)] == ["Newton", " did.", "1643."]
    assert events[0] == Step("mode", "prompted")
    assert done(events).answer == "In 1643."


async def test_four_queries_are_the_chain() -> None:
    scripted = await engine(*([text] for n in range(4) for text in (f"q{n}?", "a")), ["end"])
    shelf = Shelf()
    events = await run("corag", ask("corag", QUESTION), scripted, shelf)
    assert ([text for text, *_ in shelf.searches], done(events).answer) == (["q0?", "q1?", "q2?", "q3?"], "end")


async def test_a_query_asked_before_ends_the_chain() -> None:
    scripted, shelf = await engine(["q?"], ["a"], ["q?"], ["end"]), Shelf()
    events = await run("corag", ask("corag", QUESTION), scripted, shelf)
    assert (len(shelf.searches), done(events).answer) == (1, "end")


async def test_a_chain_that_fills_the_context_ends() -> None:
    scripted = await engine(*([text] for n in range(9) for text in (f"q{n}?", "word " * 60)), context_tokens=360)
    events = await run("corag", ask("corag", QUESTION, max_iter_num=10, max_tokens=64), scripted, Shelf((MOON,)))
    assert done(events).answer
    assert [event.part for event in events if isinstance(event, Degraded)].count("context") == 1
    assert len(scripted.calls) < 9


@pytest.mark.parametrize(
    ("written", "query"),
    [
        ("Who?", "Who?"),
        (' "Who?" ', "Who?"),
        ("Intermediate query 12: Who?", "Who?"),
        ("\nWho?\nBecause.", "Who?"),
        ('"', '"'),
        ("  \n", ""),
    ],
)
def test_a_query_is_one_line_without_quotes_and_label(written: str, query: str) -> None:
    assert normalized(written) == query
