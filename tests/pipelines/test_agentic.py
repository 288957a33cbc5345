"""The model decides when to search: by tool calls where it knows them, else in prompted JSON; both are read as data."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import aclosing

import pytest

from app.backend.engines.scripted import Item, ScriptedEngine
from app.backend.events import Degraded, Event, Retrieved, Step, Thought, Token
from app.backend.pipelines.agentic import EXAMPLE, NATIVE, PROMPTED
from app.backend.pipelines.toolcalls import Decision, decided
from app.backend.protocols import Tools
from app.backend.types import Exchange
from tests.pipelines.doubles import BEES, MOON, Shelf, ask, done, engine, prompts, registry, run

pytestmark = pytest.mark.anyio

HISTORY = (Exchange("Who painted the Mona Lisa?", "Leonardo da Vinci."),)
ALONE = "When did Leonardo da Vinci die?"
CALL = '<tool_call>\n{"name": "search", "arguments": {"query": "tides"}}\n</tool_call>'
READ = f"[1] Bees\n{BEES.text}\n\n[2] Moon\n{MOON.text}"
SHOWN = READ if MOON.id > BEES.id else f"[2] Moon\n{MOON.text}\n\n[1] Bees\n{BEES.text}"


async def caller(*script: Sequence[Item]) -> ScriptedEngine:
    scripted = ScriptedEngine(script, model="Qwen2.5-7B-Instruct", tokens_per_s=0)
    await scripted.start()
    return scripted


def searches(count: int) -> list[list[str]]:
    """Calls of a model that searches for something else each time."""
    return [[json.dumps({"search": f"tides {n}"})] for n in range(count)]


def degraded(events: Sequence[Event]) -> list[str]:
    return [event.part for event in events if isinstance(event, Degraded)]


async def test_a_model_that_calls_tools_searches_reads_and_answers_itself() -> None:
    shelf, scripted = Shelf((BEES, MOON)), await caller([f"I look it up. {CALL}"], ["Newton did [2]."])
    events = await run("agentic", ask("agentic", "Who?"), scripted, shelf)
    assert [text for text, *_ in shelf.searches] == ["tides"]
    assert prompts(scripted)[0] == [("system", NATIVE), ("user", "Question: Who?")]
    assert prompts(scripted)[1][2:] == [
        ("assistant", f"I look it up. {CALL}"),
        ("user", f"<tool_response>\n{SHOWN}\n</tool_response>"),
    ]
    assert (done(events).answer, [c.passage_id for c in done(events).citations]) == ("Newton did [2].", ["a"])
    assert degraded(events) == []


async def test_several_calls_are_searched_together_and_thoughts_are_no_answer() -> None:
    shelf = Shelf()
    calls = CALL + CALL.replace("tides", "bees") + CALL
    events = await run("agentic", ask("agentic", "Who?"), await caller([calls], ["<think>So.</think> Newton."]), shelf)
    assert [text for text, *_ in shelf.searches] == ["tides", "bees"]
    assert done(events).answer == "Newton."


def words(events: Sequence[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Token)]


async def test_the_answer_comes_while_it_is_written_once_it_is_sure_to_be_one() -> None:
    more = asyncio.Event()
    scripted = await caller(["<think>Hm.</think> Newton", " did. ", "In ", "1687", more, "."])
    tools = Tools(scripted, Shelf(), "g1")
    told: list[Event] = []
    async with aclosing(registry().run("agentic", ask("agentic", "Who?"), tools)) as events:
        async for event in events:
            told.append(event)
            if words(told)[-1:] == [" 1687"]:
                more.set()
    assert more.is_set()
    assert words(told) == ["Newton did. In", " 1687", "."]
    assert [event.text for event in told if isinstance(event, Thought)] == ["Hm."]
    assert done(told).answer == "Newton did. In 1687."


async def test_what_announces_a_call_is_no_answer() -> None:
    events = await run("agentic", ask("agentic", "Who?"), await caller([f"Let me see.\n{CALL}"], ["Newton."]))
    assert words(events) == ["Newton."]
    assert "\nLet me see." in [event.text for event in events if isinstance(event, Thought)]


async def test_a_call_without_its_tags_is_one_too() -> None:
    shelf = Shelf()
    bare = '{"name": "search", "arguments": {"query": "tides"}}'
    events = await run("agentic", ask("agentic", "Who?"), await caller([bare], ["Newton."]), shelf)
    assert ([text for text, *_ in shelf.searches], words(events)) == (["tides"], ["Newton."])


@pytest.mark.parametrize("model", ["Qwen3-4B", "Qwen3-4B-Thinking-2507"])
async def test_what_is_quoted_in_a_thought_is_no_call(model: str) -> None:
    thought = f"I could write {CALL}, but I know it.</think>Newton."
    scripted, shelf = await caller([thought if "Thinking" in model else f"<think>{thought}"]), Shelf()
    scripted.model = model
    events = await run("agentic", ask("agentic", "Who?"), scripted, shelf)
    assert (shelf.searches, words(events), done(events).answer) == ([], ["Newton."], "Newton.")


@pytest.mark.parametrize(
    ("model", "said"), [("Qwen3-4B", "<think>On and"), ("QwQ-32B", "On and"), ("Qwen3-4B", "<think>So. " * 99)]
)
async def test_a_thought_without_an_end_is_no_answer_and_that_is_said(model: str, said: str) -> None:
    scripted, shelf = await caller([said], ["Newton."]), Shelf()
    scripted.model = model
    events = await run("agentic", ask("agentic", "Who?", max_tokens=60), scripted, shelf)
    assert degraded(events) == ["method"]
    assert [text for text, *_ in shelf.searches] == ["Who?"]
    assert (words(events), done(events).answer) == (["Newton."], "Newton.")


async def test_a_thought_whose_beginning_is_the_templates_is_never_the_answer() -> None:
    events = await run("agentic", ask("agentic", "Who?"), await caller(["I see. It was he.", "</think>", "Newton."]))
    assert done(events).answer == "Newton."


async def test_an_answer_that_is_cut_or_repeats_itself_is_told_as_such() -> None:
    events = await run("agentic", ask("agentic", "Who?", max_tokens=3), await caller(["one two three four"]))
    assert Degraded("answer", "The answer was cut at max_tokens (3).") in events
    assert done(events).answer == "one two three"
    events = await run("agentic", ask("agentic", "Who?"), await caller(["So it is and so it will be. "] * 50))
    assert Degraded("answer", "The model began to repeat itself and was stopped.") in events


async def test_a_call_that_is_cut_is_asked_plainly() -> None:
    cut = CALL[: CALL.index('"query"')]
    events = await run("agentic", ask("agentic", "Who?"), await caller([f"I look it up. {cut}"], ["Newton."]))
    assert (degraded(events), done(events).answer) == (["method"], "Newton.")


async def test_a_model_that_is_asked_for_json_may_think_first() -> None:
    said = '<think>{"search": "no"}</think>{"search": "tides"}'
    shelf = Shelf()
    await run("agentic", ask("agentic", "Who?"), await engine([said], ['{"answer": true}'], ["Newton."]), shelf)
    assert [text for text, *_ in shelf.searches] == ["tides"]


async def test_any_other_model_is_asked_for_json_and_answers_from_what_was_found() -> None:
    shelf, scripted = (
        Shelf((BEES, MOON)),
        await engine(['{"search": "tides"} to search. I think'], ['{"answer": true}'], ["Newton [2]."]),
    )
    events = await run("agentic", ask("agentic", "Who?"), scripted, shelf)
    example = [(message.role, message.content) for message in EXAMPLE]
    asked = [("system", PROMPTED), *example, ("user", "Question: Who?")]
    assert prompts(scripted)[0] == asked
    assert prompts(scripted)[1] == [
        *asked,
        ("assistant", '{"search": "tides"}'),
        ("user", f"{SHOWN}\n\nQuestion: Who?"),
    ]
    assert [text for text, *_ in shelf.searches] == ["tides"]
    assert [c.passage_id for c in done(events).citations] == ["a"]
    assert [event.detail for event in events if isinstance(event, Step) and event.name == "mode"] == ["prompted"]
    assert degraded(events) == []


async def test_a_model_that_knows_enough_searches_nothing() -> None:
    shelf = Shelf()
    events = await run("agentic", ask("agentic", "Who?"), await engine(['{"answer": true}'], ["Newton."]), shelf)
    assert (shelf.searches, done(events).answer, degraded(events)) == ([], "Newton.", [])


@pytest.mark.parametrize(
    "said", ["Leonardo was born in 1452.", "", '{"search": 7}', "{" * 500, "[1, 2]", '{"a":' + "[" * 3000]
)
async def test_a_model_that_decides_nothing_leads_to_a_plain_search(said: str) -> None:
    shelf = Shelf()
    scripted = await engine([ALONE], [said], ["1519."])
    events = await run("agentic", ask("agentic", "When did he die?", HISTORY), scripted, shelf)
    assert [text for text, *_ in shelf.searches] == [ALONE]
    assert (done(events).answer, degraded(events)) == ("1519.", ["method"])


async def test_the_same_search_again_ends_the_searching() -> None:
    shelf = Shelf()
    scripted = await engine(['{"search": "tides"}'], ['{"search": "tides"}'], ["Newton."])
    events = await run("agentic", ask("agentic", "Who?"), scripted, shelf)
    assert (len(shelf.searches), done(events).answer, degraded(events)) == (1, "Newton.", [])


async def test_a_model_that_never_stops_searching_is_stopped() -> None:
    shelf = Shelf()
    scripted = await engine(*searches(3), ["Newton."])
    events = await run("agentic", ask("agentic", "Who?", max_iter=3), scripted, shelf)
    assert (len(shelf.searches), done(events).answer, degraded(events)) == (3, "Newton.", ["method"])


async def test_what_fills_the_context_ends_the_searching() -> None:
    scripted = await engine(*searches(9), context_tokens=420)
    events = await run("agentic", ask("agentic", "Who?", max_iter=9, max_tokens=100), scripted)
    assert sum(isinstance(event, Retrieved) for event in events) < 9
    assert "method" in degraded(events)
    assert done(events).answer


def test_decisions_are_read_as_data() -> None:
    assert decided('Sure! {"search": " a  b "} or {"search": "c"} {"search": "a b"}') == Decision(("a b", "c"), False)
    assert decided('{"answer": "Newton"}') == Decision((), True)
    assert decided('{"name": "search", "arguments": {"query": "x"}}') == Decision(("x",), False)
    assert decided('{"arguments": ["query"], "search": null}') == Decision((), False)
    assert decided("__import__('os')") == Decision((), False)
    assert len(decided("".join(map("".join, searches(9)))).queries) == 3
