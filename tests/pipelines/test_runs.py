"""What a run of each pipeline does, seen from its events, its searches and its prompts."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from app.backend.engines.scripted import Crash, Silence
from app.backend.errors import NotFound, Unavailable
from app.backend.events import Degraded, Retrieved, Searched, Step, Token
from app.backend.pipelines import prompts as texts
from app.backend.pipelines import rewriting
from app.backend.pipelines.registry import PIPELINES
from app.backend.protocols import Tools
from app.backend.types import Exchange, Passage, Sampling
from tests.pipelines.doubles import BEES, MOON, SHELF, Shelf, ask, done, engine, prompts, registry, run

pytestmark = pytest.mark.anyio

TURN = Exchange("Who explained the tides of the Moon?", "Newton explained them first [2].")
FOLLOW_UP = "When did he do it?"


def block(*numbered: tuple[int, Passage]) -> str:
    return "\n\n".join(f"[{n}] {p.title}\n{p.text}" for n, p in numbered)


async def test_direct_asks_the_model_once_and_searches_nothing() -> None:
    scripted, shelf = await engine(["It is ", "42."]), Shelf()
    events = await run("direct", ask("direct", "What is it?"), scripted, shelf)
    assert events[:-1] == [Step("generate"), Token("It is "), Token("42.")]
    assert (done(events).answer, done(events).citations) == ("It is 42.", ())
    assert prompts(scripted) == [[("system", texts.FROM_MEMORY), ("user", "What is it?")]]
    assert shelf.searches == []


async def test_direct_sees_the_conversation() -> None:
    scripted = await engine(["Yes."])
    await run("direct", ask("direct", "Sure?", [TURN]), scripted)
    assert prompts(scripted)[0][1:] == [
        ("user", TURN.question),
        ("assistant", "Newton explained them first."),
        ("user", "Sure?"),
    ]


async def test_naive_searches_the_question_itself_and_shows_the_passages_in_canonical_order_by_rank() -> None:
    scripted, shelf = await engine(["Newton did [2]."]), Shelf()
    query = ask(
        "naive",
        "Who explained the tides?",
        retrieval_topk=2,
        retriever="bm25",
        max_tokens=99,
        temperature=0.5,
        top_p=0.9,
        frequency_penalty=0.6,
    )
    events = await run("naive", query, scripted, shelf)
    assert shelf.searches == [("Who explained the tides?", "demo", 2, "bm25")]
    assert events[:2] == [Searched("Who explained the tides?"), Step("retrieve")]
    assert isinstance(events[2], Retrieved)
    assert events[2].passages == (BEES, MOON)
    assert events[3:6] == [Step("generate"), Token("Newton did [2]."), Step("cite")]
    assert prompts(scripted) == [
        [
            ("system", texts.FROM_PASSAGES),
            ("user", f"{block((2, MOON), (1, BEES))}\n\nQuestion: Who explained the tides?"),
        ]
    ]
    assert scripted.calls[0].sampling == Sampling(99, 0.5, 0.9, ("\nQuestion:",), frequency_penalty=0.6)
    citation = done(events).citations[0]
    assert (citation.n, citation.passage_id, citation.by) == (2, MOON.id, "model")


async def test_the_model_reads_only_the_best_passages_of_those_that_are_shown() -> None:
    scripted = await engine(["Bees dance."])
    events = await run("naive", ask("naive", "Who dances?", retrieval_topk=3, context_topk=1), scripted)
    (found,) = (event for event in events if isinstance(event, Retrieved))
    assert found.passages == SHELF
    assert prompts(scripted)[0][1] == ("user", f"{BEES.title}\n{BEES.text}\n\nQuestion: Who dances?")
    assert not any(isinstance(event, Degraded) for event in events)


async def test_a_follow_up_is_rewritten_before_it_is_searched_and_answered_as_it_was_asked() -> None:
    scripted, shelf = await engine(["When did Newton explain the tides?"], ["In 1687."]), Shelf()
    events = await run("naive", ask("naive", FOLLOW_UP, [TURN], retrieval_topk=1), scripted, shelf)
    assert events[:3] == [Step("rewrite"), Searched("When did Newton explain the tides?"), Step("retrieve")]
    assert shelf.searches[0][0] == "When did Newton explain the tides?"
    rewrite, answer = prompts(scripted)
    assert rewrite[0] == ("system", rewriting.SYSTEM)
    assert rewrite[-1][1].startswith(f"User: {TURN.question}\nAssistant: Newton explained them first.")
    assert scripted.calls[0].sampling == rewriting.SAMPLING
    assert answer[1:] == [
        ("user", f"{BEES.title}\n{BEES.text}\n\nQuestion: {TURN.question}"),
        ("assistant", "Newton explained them first."),
        ("user", f"Question: {FOLLOW_UP}"),
    ]


async def test_the_prompt_of_a_turn_is_a_prefix_of_the_next_one_when_the_passages_are_the_same() -> None:
    first = texts.answer_prompt("One?", (), SHELF)
    reversed_ranks = tuple(reversed(SHELF))
    second = texts.answer_prompt("Two?", [Exchange("One?", "1.")], SHELF)
    assert second[: len(first)] == first
    same_set = [line.split("] ")[-1] for line in texts.answer_prompt("One?", (), reversed_ranks)[1].content.split("\n")]
    assert same_set == [line.split("] ")[-1] for line in first[1].content.split("\n")]


async def test_a_retriever_that_is_down_is_said_and_the_model_answers_alone() -> None:
    scripted = await engine(["From memory."])
    shelf = Shelf(error=Unavailable("The retriever is restarting."))
    events = await run("naive", ask("naive", "Who?"), scripted, shelf)
    assert (
        Degraded("retrieval", "The retriever is restarting. This answer comes from the model alone, without sources.")
        in events
    )
    assert not [event for event in events if isinstance(event, Retrieved)]
    assert (done(events).answer, done(events).citations) == ("From memory.", ())
    assert prompts(scripted)[0][0] == ("system", texts.FROM_MEMORY)


async def test_finding_nothing_is_said() -> None:
    events = await run("naive", ask("naive", "Who?"), await engine(["Nobody."]), Shelf([]))
    assert [event.part for event in events if isinstance(event, Degraded)] == ["retrieval"]
    assert done(events).answer == "Nobody."


async def test_an_unknown_corpus_and_a_dead_engine_are_errors() -> None:
    with pytest.raises(NotFound):
        await run("naive", ask("naive", "Who?"), await engine(), Shelf(error=NotFound("There is no such corpus.")))
    with pytest.raises(Unavailable):
        await run("naive", ask("naive", "Who?"), await engine([Crash()]))
    with pytest.raises(Unavailable):
        await run("naive", ask("naive", "Who?", [TURN]), await engine([Crash()]))


async def test_eight_at_once_do_not_mix() -> None:
    async def one(number: int) -> None:
        passage = Passage(f"p{number}", f"Title {number}", f"Fact number {number} is about topic{number}.", 1.0, "demo")
        shelf, scripted = Shelf([passage]), await engine([f"Fact number {number} ", f"is about topic{number}."])
        history = [Exchange(f"What is topic{number}?", "A topic.")] if number % 2 else []
        if history:
            scripted = await engine(["?"], [f"Fact number {number} ", f"is about topic{number}."])
        events = await run("naive", ask("naive", f"More of topic{number}?", history), scripted, shelf)
        assert done(events).answer == f"Fact number {number} is about topic{number}."
        assert [c.passage_id for c in done(events).citations] == [f"p{number}"]
        assert f"topic{number}" in shelf.searches[0][0]
        assert all(f"topic{number}" in chat[-1][1] for chat in prompts(scripted))

    await asyncio.gather(*map(one, range(8)))


@pytest.mark.parametrize("pipeline", ["direct", "naive"])
async def test_closing_a_run_closes_the_stream_of_the_engine_once(pipeline: str) -> None:
    scripted = await engine(["Once upon", Silence()])
    events = registry().run(pipeline, ask(pipeline, "Tell?"), Tools(scripted, Shelf(), "g1"))
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Token):
                assert scripted.open == 1
                break
    assert (scripted.open, scripted.aborted) == (0, 1)


@pytest.mark.parametrize("pipeline", PIPELINES)
async def test_every_method_that_searches_for_the_question_has_it_stand_alone_first(pipeline: str) -> None:
    tools = Tools(await engine(["When did Newton explain the tides?"]), Shelf(), "g1")
    async with aclosing(registry().run(pipeline, ask(pipeline, FOLLOW_UP, [TURN]), tools)) as events:
        begins = await anext(events)
    assert (begins == Step("rewrite")) == (pipeline not in ("direct", "flare"))


async def test_cancelling_a_run_while_it_rewrites_closes_the_stream() -> None:
    scripted = await engine([Silence()])
    task = asyncio.create_task(run("naive", ask("naive", FOLLOW_UP, [TURN]), scripted))
    while not scripted.open:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (scripted.open, scripted.aborted) == (0, 1)


async def test_a_model_that_repeats_itself_is_stopped_and_its_tokens_are_the_answer() -> None:
    loop = ["So it is and so it will be. "] * 50
    scripted = await engine(loop)
    events = await run("direct", ask("direct", "Why?"), scripted)
    assert Degraded("answer", "The model began to repeat itself and was stopped.") in events
    assert done(events).answer == "".join(loop[:3])
    assert (scripted.open, scripted.aborted) == (0, 1)


async def test_ruled_lines_and_tables_are_no_loop() -> None:
    table = ["| a | b |\n", *["-" * 50] * 6, "|\n", "| 1 | 2 |\n"]
    events = await run("direct", ask("direct", "Table?"), await engine(table))
    assert done(events).answer == "".join(table)
    assert not [event for event in events if isinstance(event, Degraded)]


async def test_a_cut_and_an_empty_answer_are_said() -> None:
    events = await run("direct", ask("direct", "Why?", max_tokens=2), await engine(["one two three four"]))
    assert Degraded("answer", "The answer was cut at max_tokens (2).") in events
    events = await run("direct", ask("direct", "Why?"), await engine([]))
    assert Degraded("answer", "The model wrote nothing.") in events


async def test_passages_that_do_not_fit_are_said_and_never_cited() -> None:
    long = [Passage(str(n), "Title", f"Sentence about word{n} and nothing else. " * 60, 1.0, "demo") for n in range(4)]
    scripted = await engine(["Sentence about word3 and nothing else [4]."], context_tokens=1100)
    events = await run("naive", ask("naive", "Who?", max_tokens=100), scripted, Shelf(long))
    assert Degraded("context", "Only 2 of 4 passages fit beside the question.") in events
    assert done(events).citations == ()


async def test_chinese_questions_are_searched_answered_and_cited() -> None:
    moon = Passage("月", "月球", "月球绕地球运行。牛顿最早解释了潮汐的成因。", 1.0, "demo")
    scripted, shelf = await engine(["牛顿什么时候解释潮汐的成因？"], ["牛顿最早解释了潮汐的成因。"]), Shelf([moon])
    history = [Exchange("谁解释了潮汐的成因？", "牛顿。")]
    events = await run("naive", ask("naive", "他什么时候解释的？", history), scripted, shelf)
    assert shelf.searches[0][0] == "牛顿什么时候解释潮汐的成因？"
    (citation,) = done(events).citations
    assert citation.by == "alignment"
    assert [moon.text[a:b] for a, b in citation.spans] == ["牛顿最早解释了潮汐的成因。"]
