"""R1-Searcher, pinned to Song et al. 2025: a begun thought, a raw prompt for the authors' checkpoint, its own tags."""

from __future__ import annotations

import pytest

from app.backend.events import Step
from app.backend.pipelines.r1_searcher import ASKED, raw
from tests.pipelines.doubles import BEES, MOON, Shelf, ask, done, engine, prompts, run

pytestmark = pytest.mark.anyio

QUESTION = "Who explained the tides?"
FIRST = "I need it. <|begin_of_query|> tides <|end_of_query|>"
SCRIPT = ([FIRST], ["Now I know.</think>\n\n<answer> Newton </answer>"])
DOCUMENTS = (
    f"\n\n<|begin_of_documents|>\n(1)Title: Bees Text: {BEES.text}\n(2)Title: Moon Text: {MOON.text}\n\n"
    "<|end_of_documents|>\n\n"
)


async def test_the_model_goes_on_with_a_begun_thought() -> None:
    scripted, shelf = await engine(*SCRIPT), Shelf((BEES, MOON))
    events = await run("r1-searcher", ask("r1-searcher", QUESTION), scripted, shelf)
    asked = ("user", ASKED.format(question=QUESTION))
    assert prompts(scripted) == [
        [asked, ("assistant", "<think>")],
        [asked, ("assistant", f"<think>{FIRST}{DOCUMENTS}")],
    ]
    assert [text for text, *_ in shelf.searches] == ["tides"]
    assert scripted.calls[0].sampling.stop == (
        "<|end_of_query|>",
        "</answer>",
        "<|begin_of_documents|>",
        "<|im_end|>",
        "<|endoftext|>",
    )
    assert done(events).answer == "Newton"


@pytest.mark.parametrize("model", ["R1-Searcher", "Qwen-2.5-7B-base-RAG-RL"])
async def test_the_authors_checkpoint_gets_the_published_text_as_it_is(model: str) -> None:
    scripted = await engine(*SCRIPT)
    scripted.model = model
    events = await run("r1-searcher", ask("r1-searcher", QUESTION), scripted, Shelf((BEES, MOON)))
    published = f"{ASKED.format(question=QUESTION)}\nAssistant: <think>"
    assert prompts(scripted) == [[("user", published)], [("user", f"{published}{FIRST}{DOCUMENTS}")]]
    assert events[0] == Step("mode", "native")


async def test_the_authors_llama_knows_a_chat() -> None:
    scripted = await engine(*SCRIPT)
    scripted.model = "XXsongLALA/Llama-3.1-8B-instruct-RAG-RL"
    events = await run("r1-searcher", ask("r1-searcher", QUESTION), scripted, Shelf((BEES, MOON)))
    assert prompts(scripted)[0] == [("user", ASKED.format(question=QUESTION)), ("assistant", "<think>")]
    assert events[0] == Step("mode", "native")


def test_the_prompt_is_the_published_one() -> None:
    assert raw("Q?", ()).endswith('<|end_of_documents|>".\n\nUser:Q?\nAssistant: <think>')
    assert "**A query must involve only a single triple**" in ASKED
