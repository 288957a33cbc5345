"""The parts of the vLLM adapter that need no vLLM."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from app.backend.engines.vllm_core import reserve, sentence
from app.backend.errors import BadInput
from app.settings import EngineSettings


def test_the_retrievers_memory_is_taken_out_of_the_engines_share() -> None:
    assert reserve(total_gib=80, retriever_gib=8, utilization=0.9) == pytest.approx(0.8)
    assert reserve(total_gib=80, retriever_gib=0, utilization=0.9) == pytest.approx(0.9)


def test_a_gpu_too_small_for_both_is_refused_with_the_setting_to_change() -> None:
    with pytest.raises(BadInput, match=r"retrieval\.gpu_memory_gib"):
        reserve(total_gib=12, retriever_gib=10, utilization=0.9)


def test_a_librarys_error_becomes_one_short_line_without_paths() -> None:
    assert sentence(ValueError("no config in /home/me/models/tiny (yet). More.\nMore")) == "no config in ... (yet)."
    assert len(sentence(ValueError("x" * 1000))) <= 200
    assert sentence(ValueError()) == "ValueError"


def test_a_refused_setting_is_named() -> None:
    with pytest.raises(ValidationError) as caught:
        EngineSettings.model_validate({"max_num_seqs": 0})
    assert sentence(caught.value).startswith("max_num_seqs: Input should be greater")
