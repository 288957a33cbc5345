"""ReaRAG, pinned to Lee et al. 2025: thought, action, observation; actions are text that is matched, never run."""

from __future__ import annotations

import pytest

from app.backend.events import Degraded, Step, Thought
from app.backend.pipelines.rearag import OBSERVED, SHORT, SHOWN, STOPS, SYSTEM, Action, action
from tests.pipelines.doubles import BEES, MOON, Shelf, ask, done, engine, prompts, run

pytestmark = pytest.mark.anyio

QUESTION = "Who explained the tides?"
SEARCH = "Thought 1: I need it.\nAction 1:\n```\n{'function': 'search', 'parameters': {'query': 'tides'}}\n```"
FINISH = "Thought 2: Done.\nAction 2:\n```\n{'function': 'finish', 'parameters': {'answer': 'It was Newton'}}\n```"
CONTEXT = f"{BEES.title}\n{BEES.text}\n\n{MOON.title}\n{MOON.text}"


async def test_a_search_is_answered_by_an_observation_and_the_end_is_shortened() -> None:
    scripted = await engine([SEARCH[:30], SEARCH[30:]], ["Newton did."], [FINISH], ["Newton"])
    shelf = Shelf((BEES, MOON))
    events = await run("rearag", ask("rearag", QUESTION), scripted, shelf)
    asked = [("system", SYSTEM + SHOWN), ("user", QUESTION)]
    assert prompts(scripted) == [
        asked,
        [("user", OBSERVED.format(context=CONTEXT, question="tides"))],
        [*asked, ("assistant", SEARCH), ("user", "Observation 1: Newton did.")],
        [("user", SHORT.format(question=QUESTION, answer="It was Newton"))],
    ]
    assert scripted.calls[0].sampling.stop == STOPS
    assert [text for text, *_ in shelf.searches] == ["tides"]
    thoughts = "|".join(event.text for event in events if isinstance(event, Thought))
    assert "function" not in thoughts
    assert done(events).answer == "Newton"


async def test_the_authors_checkpoint_gets_its_own_roles() -> None:
    scripted = await engine([SEARCH], ["Newton did <|user|>."], [FINISH], ["Newton"])
    scripted.model = "ReaRAG-9B"
    events = await run("rearag", ask("rearag", QUESTION), scripted, Shelf((MOON,)))
    assert events[0] == Step("mode", "native")
    begun = f"<|system|>\n{SYSTEM}<|user|>\n{QUESTION}<|assistant|>\n"
    assert prompts(scripted)[0] == [("user", begun)]
    assert prompts(scripted)[2] == [("user", f"{begun}{SEARCH}<|observation|>\nNewton did<|assistant|>\n")]


async def test_fifteen_steps_are_the_limit() -> None:
    scripted, shelf = await engine(*([text] for _ in range(15) for text in (SEARCH, "No.")), ["Newton."]), Shelf()
    events = await run("rearag", ask("rearag", QUESTION), scripted, shelf)
    assert (len(shelf.searches), done(events).answer) == (15, "Newton.")
    assert Degraded("method", "The model had not finished after 15 steps; it was asked plainly.") in events


async def test_a_query_as_long_as_the_context_is_not_answered() -> None:
    long = SEARCH.replace("tides", "tides " * 270)
    scripted = await engine([long], ["Newton."], context_tokens=560)
    events = await run("rearag", ask("rearag", QUESTION, max_tokens=300), scripted, Shelf((MOON,)))
    assert done(events).answer == "Newton."
    assert any(isinstance(event, Degraded) and "does not fit" in event.reason for event in events)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (SEARCH, Action(True, "tides")),
        (FINISH, Action(False, "It was Newton")),
        ('{"function": "search", "parameters": {"query": "who?"}}', Action(True, "who?")),
        ("{'function': 'search', 'parameters': {'query': 'Yuma's \\'Library\\'?'}}", Action(True, "Yuma's 'Library'?")),
        ("{'function': 'search', 'parameters': {'answer': 'x'}}", None),
        ("{'function': 'delete', 'parameters': {'query': 'x'}}", None),
        ("{'function': 'search', 'parameters': {'query': __import__('os').getcwd()}}", None),
        ("{'function': 'search', 'parameters': {'query': ' '}}", None),
        ("{'function': 'search'}", None),
        ("{" * 5000, None),
        ("", None),
    ],
)
def test_an_action_has_one_shape(said: str, expected: Action | None) -> None:
    assert action(said) == expected
