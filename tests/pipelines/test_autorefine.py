"""AutoRefine, pinned to Shi et al. 2025: the documents' tag, and the refinement that follows each search."""

from __future__ import annotations

import pytest

from app.backend.events import Thought
from app.backend.pipelines.autorefine import ASKED
from tests.pipelines.doubles import MOON, Shelf, ask, done, engine, prompts, run

pytestmark = pytest.mark.anyio

QUESTION = "Who explained the tides?"


async def test_documents_are_refined_before_the_answer() -> None:
    scripted = await engine(
        ["<think>Hm.</think><search>tides</search>"],
        ["<refine>Newton was ", "first.</refine><answer>Newton</answer>"],
    )
    shelf = Shelf((MOON,))
    events = await run("autorefine", ask("autorefine", QUESTION), scripted, shelf)
    asked = ("user", ASKED.format(question=QUESTION))
    trace = (
        f"<think>Hm.</think><search>tides</search>\n\n<documents>\nDoc 1(Title: Moon) {MOON.text}\n\n</documents>\n\n"
    )
    assert prompts(scripted) == [[asked], [asked, ("assistant", trace)]]
    stops = ("</search>", "</answer>", "<documents>", "<|im_end|>", "<|endoftext|>")
    assert {call.sampling.stop for call in scripted.calls} == {stops}
    assert [text for text, *_ in shelf.searches] == ["tides"]
    assert "".join(event.text for event in events if isinstance(event, Thought)) == "Hm.Newton was first."
    assert done(events).answer == "Newton"


def test_the_prompt_is_the_published_one() -> None:
    assert "summarize and refine the existing documents in <refine> and </refine>" in ASKED
    assert ASKED.endswith("\n<user> Question: {question} </user>")
