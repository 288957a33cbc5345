"""SuRe, pinned to Kim et al. 2024: two candidates, a summary for each, then validity and pairwise comparison."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from app.backend.engines.scripted import Call, Item, ScriptedEngine
from app.backend.events import Degraded, Step, Thought
from app.backend.pipelines.sure import parsed
from app.backend.types import Exchange
from tests.pipelines.doubles import BEES, MOON, Shelf, ask, done, engine, prompts, run

pytestmark = pytest.mark.anyio

REFERENCE = (
    f"Passage #1 Title: Bees\nPassage #1 Text: {BEES.text}\n\nPassage #2 Title: Moon\nPassage #2 Text: {MOON.text}\n\n"
)


class Judge:
    """Plays all parts; no call of a round answers before all of them have come."""

    def __init__(self) -> None:
        self.rounds = {"Reference:": (2, asyncio.Event()), "Choices:": (4, asyncio.Event())}
        self.seen = dict.fromkeys(self.rounds, 0)

    def __call__(self, call: Call) -> Sequence[Item]:
        text = call.messages[-1].content
        gate: list[Item] = []
        for mark, (count, event) in self.rounds.items():
            if mark in text:
                self.seen[mark] += 1
                gate = [event]
                if self.seen[mark] == count:
                    event.set()
        if text.startswith("Below are"):
            return ["(a) Kepler, (b) Isaac Newton"]
        if text.startswith("Reference:"):
            return [*gate, "S-Newton [DONE]" if "Prediction: Isaac Newton" in text else "S-Kepler"]
        if "Choices: [True,False]" in text:
            return [*gate, "True"]
        return [*gate, "Passage 1" if "Passage 1: S-Newton" in text else "Passage 2"]


async def test_the_candidate_with_the_valid_and_better_summary_is_the_answer() -> None:
    scripted = ScriptedEngine(Judge(), tokens_per_s=0)
    await scripted.start()
    shelf = Shelf((BEES, MOON))
    events = await run("sure", ask("sure", "Who explained the tides?"), scripted, shelf)
    assert [text for text, *_ in shelf.searches] == ["Who explained the tides?"]
    assert done(events).answer == "Isaac Newton"
    assert [event.text for event in events if isinstance(event, Thought)] == [
        "Kepler: S-Kepler\n",
        "Isaac Newton: S-Newton\n",
        "Kepler: 1, Isaac Newton: 2",
    ]
    first, *rest = [chat[0][1] for chat in prompts(scripted)]
    assert first == (
        "Below are 2 passages related to the question at the end. After reading the passages, provide two correct "
        "candidates for the answer to the question at the end. Each answer should be in the form: (a) xx, (b) yy, and "
        f"should not exceed 3 words for each candidate.\n\n{REFERENCE}Question: Who explained the tides?\nAnswer:"
    )
    assert rest[0].startswith(f"Reference:\n{REFERENCE}")
    assert rest[0].endswith("Question: Who explained the tides?\nPrediction: Kepler\nPassage:")
    assert [text.splitlines()[2] for text in rest[2:4]] == ["Passage: S-Kepler", "Passage: S-Newton"]
    assert [text.splitlines()[1:3] for text in rest[4:]] == [
        ["Passage 1: S-Kepler", "Passage 2: S-Newton"],
        ["Passage 1: S-Newton", "Passage 2: S-Kepler"],
    ]


async def test_a_comparison_without_a_verdict_counts_half() -> None:
    said = ["(a) Kepler (b) Newton", "S-Kepler", "S-Newton", "False", "true.", "Both", "passage 2"]
    events = await run("sure", ask("sure", "Who?"), await engine(*([text] for text in said)))
    assert [event.text for event in events if isinstance(event, Thought)][-1] == "Kepler: 0.5, Newton: 1"
    assert done(events).answer == "Newton"


async def test_one_candidate_needs_no_judging() -> None:
    scripted = await engine(["(a) Newton"])
    assert done(await run("sure", ask("sure", "Who?"), scripted)).answer == "Newton"
    assert len(scripted.calls) == 1


async def test_a_model_that_names_no_candidates_is_asked_plainly() -> None:
    events = await run("sure", ask("sure", "Who?"), await engine(["I think so."], ["Newton [2]."]), Shelf((BEES, MOON)))
    assert [event.part for event in events if isinstance(event, Degraded)] == ["method"]
    assert [c.passage_id for c in done(events).citations] == ["a"]


async def test_a_question_beside_which_no_summary_fits_is_asked_plainly() -> None:
    scripted = await engine(["(a) Kepler (b) Newton"], ["Newton."], context_tokens=400)
    events = await run("sure", ask("sure", "Who was it? " * 45, max_tokens=230), scripted)
    assert any(isinstance(event, Degraded) and event.part == "method" for event in events)
    assert done(events).answer


async def test_a_follow_up_is_made_to_stand_alone() -> None:
    shelf = Shelf()
    history = (Exchange("Who painted the Mona Lisa?", "Leonardo da Vinci."),)
    scripted = await engine(["When did Leonardo da Vinci die?"], ["(a) 1519"])
    events = await run("sure", ask("sure", "When did he die?", history), scripted, shelf)
    assert [text for text, *_ in shelf.searches] == ["When did Leonardo da Vinci die?"]
    assert next(event.name for event in events if isinstance(event, Step)) == "rewrite"
    assert "Question: When did Leonardo da Vinci die?" in prompts(scripted)[1][0][1]


def test_candidates_are_read_in_the_papers_form() -> None:
    assert parsed("(a) Isaac Newton, (b) Kepler") == ["Isaac Newton", "Kepler"]
    assert parsed("(a) X\n(b) X\n(c) Y (d) Z") == ["X", "Y"]
    assert parsed("Newton or Kepler () (a)") == []
