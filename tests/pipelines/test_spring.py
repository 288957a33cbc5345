"""SPRING: refused without its trained tokens, and with them the published prompt."""

from __future__ import annotations

import pytest

from app.backend.engines.scripted import ScriptedEngine
from app.backend.errors import BadInput
from app.backend.types import Exchange, Prompt
from tests.pipelines.doubles import BEES, MOON, Shelf, ask, done, engine, prompts, run

pytestmark = pytest.mark.anyio


class Plain(ScriptedEngine):
    """Cuts `[ref7]` as any tokeniser does."""

    async def count_tokens(self, prompt: Prompt) -> int:
        return len(str(prompt)) // 2


async def test_a_model_without_the_tokens_is_refused_before_anything_is_searched() -> None:
    scripted, shelf = Plain(tokens_per_s=0), Shelf()
    await scripted.start()
    with pytest.raises(BadInput, match=r"SPRING needs .* \[ref1\] to \[ref50\] .*: add them .*docs/flashrag\.md"):
        await run("spring", ask("spring", "Who?"), scripted, shelf)
    assert (len(shelf.searches), len(scripted.calls)) == (0, 0)


async def test_the_tokens_stand_between_the_documents_and_the_question() -> None:
    scripted = await engine(["Newton explained the tides."])
    events = await run("spring", ask("spring", "Who explained the tides?"), scripted, Shelf((BEES, MOON)))
    ((_, prompt),) = prompts(scripted)[0]
    assert prompt.startswith("Answer the question based on the given document.Only give me the answer")
    assert f"\n\nDoc 1(Title: Bees) {BEES.text}\nDoc 2(Title: Moon) {MOON.text}\n\n\n [ref1] [ref2]" in prompt
    assert prompt.endswith(" [ref49] [ref50]Question: Who explained the tides?\nAnswer:")
    assert [c.passage_id for c in done(events).citations] == [MOON.id]


async def test_a_follow_up_is_asked_as_it_stands_alone() -> None:
    scripted = await engine(["When did Newton explain the tides?"], ["In 1687."])
    history = [Exchange("Who explained the tides?", "Newton.")]
    await run("spring", ask("spring", "When did he explain the tides?", history), scripted)
    assert prompts(scripted)[1][0][1].endswith("[ref50]Question: When did Newton explain the tides?\nAnswer:")
