"""Which models a method runs natively on, and that what people write cannot steer them."""

from __future__ import annotations

from contextlib import aclosing

import pytest

from app.backend.events import Step
from app.backend.pipelines.modes import defused, mode, native
from app.backend.protocols import Tools
from tests.pipelines.doubles import Shelf, ask, engine, registry


@pytest.mark.parametrize("model", ["selfrag/selfrag_llama2_7b", "Self-RAG-13B"])
def test_a_checkpoint_is_known_by_its_name_however_it_is_spelt(model: str) -> None:
    assert native(model, "rq-rag", "selfrag")


def test_any_other_model_is_prompted() -> None:
    assert not native("SmolLM2-135M-Instruct", "selfrag", "rq-rag")


def test_the_mode_is_told() -> None:
    assert (mode(True), mode(False)) == (Step("mode", "native"), Step("mode", "prompted"))


PROMPTED = ("recomp-abstractive", "skr", "adaptive", "crag", "selfrag", "rqrag", "agentic", "search-r1", "autorefine")
PROMPTED += ("r1-searcher", "simpledeepsearcher", "o2-searcher", "corag", "rearag")


@pytest.mark.anyio
@pytest.mark.parametrize("pipeline", [*PROMPTED, "recomp-extractive"])
async def test_a_method_with_a_checkpoint_of_its_own_says_first_what_does_its_part(pipeline: str) -> None:
    tools = Tools(await engine(), Shelf(), "g1")
    async with aclosing(registry().run(pipeline, ask(pipeline, "Who?"), tools)) as events:
        assert await anext(events) == Step("mode", "encoder" if pipeline == "recomp-extractive" else "prompted")


def test_marks_and_template_tokens_in_a_text_lose_their_meaning() -> None:
    assert defused("a [Retrieval] b [INST] c [1]", ["[Retrieval]"]) == "a [ Retrieval] b [ INST] c [1]"
