"""The model decides when to search: by tool calls where it knows them, else in prompted JSON; both are read as data."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from app.backend.engines.scripted import Item, ScriptedEngine
from app.backend.events import Degraded, Event, Retrieved, Step
from app.backend.pipelines.agentic import EXAMPLE, NATIVE, PROMPTED, Decision, decided
from app.backend.types import Exchange
from tests.pipelines.doubles import BEES, MOON, Shelf, ask, done, engine, prompts, run

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
