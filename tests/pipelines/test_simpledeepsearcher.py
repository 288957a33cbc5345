"""SimpleDeepSearcher, pinned to Sun et al. 2025: its tags, ten searches, and the answer in a box."""

from __future__ import annotations

import pytest

from app.backend.events import Step, Token
from app.backend.pipelines.simpledeepsearcher import ASKED
from tests.pipelines.doubles import MOON, Shelf, ask, done, engine, prompts, registry, run

pytestmark = pytest.mark.anyio

QUESTION = "Who explained the tides?"
FIRST = "I do not know. <|begin_search_query|>tides<|end_search_query|>"


async def test_documents_are_a_search_result_and_the_box_is_the_answer() -> None:
    scripted = await engine([FIRST], ["It was Newton: \\boxed{\\text{Newton}}."])
    shelf = Shelf((MOON,))
    events = await run("simpledeepsearcher", ask("simpledeepsearcher", QUESTION), scripted, shelf)
    asked = ("user", ASKED.format(limit=10, question=QUESTION))
    trace = f"{FIRST}\n\n<|begin_search_result|>\n(1)Title: Moon Text: {MOON.text}\n\n<|end_search_result|>\n\n"
    assert prompts(scripted) == [[asked], [asked, ("assistant", trace)]]
    stops = ("<|end_search_query|>", "<|begin_search_result|>", "<|im_end|>", "<|endoftext|>")
    assert {call.sampling.stop for call in scripted.calls} == {stops}
    assert [text for text, *_ in shelf.searches] == ["tides"]
    assert [event for event in events if isinstance(event, Token)] == [Token("Newton")]
    assert Step("generate") in events
    assert done(events).answer == "Newton"


async def test_a_step_may_be_as_long_as_the_thought_and_the_limit_is_told() -> None:
    scripted = await engine(["\\boxed{4}"])
    await run("simpledeepsearcher", ask("simpledeepsearcher", QUESTION, max_retrieval_num=3), scripted)
    assert "The maximum number of search attempts is limited to 3." in prompts(scripted)[0][0][1]
    assert "in the format \\boxed{YOUR_ANSWER}." in prompts(scripted)[0][0][1]
    assert registry().validate("simpledeepsearcher", {})["max_retrieval_num"] == 10
