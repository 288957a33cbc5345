"""Which models a method runs natively on, and that what people write cannot steer them."""

from __future__ import annotations

import pytest

from app.backend.events import Step
from app.backend.pipelines.modes import defused, mode, native


@pytest.mark.parametrize("model", ["selfrag/selfrag_llama2_7b", "Self-RAG-13B"])
def test_a_checkpoint_is_known_by_its_name_however_it_is_spelt(model: str) -> None:
    assert native(model, "rq-rag", "selfrag")


def test_any_other_model_is_prompted() -> None:
    assert not native("SmolLM2-135M-Instruct", "selfrag", "rq-rag")


def test_the_mode_is_told() -> None:
    assert (mode(True), mode(False)) == (Step("mode", "native"), Step("mode", "prompted"))


def test_marks_and_template_tokens_in_a_text_lose_their_meaning() -> None:
    assert defused("a [Retrieval] b [INST] c [1]", ["[Retrieval]"]) == "a [ Retrieval] b [ INST] c [1]"
