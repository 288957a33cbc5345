"""The parts of the vLLM adapter that need no vLLM."""

from __future__ import annotations

import pytest

from app.backend.engines.vllm_core import reserve, sentence
from app.backend.errors import BadInput


def test_the_retrievers_memory_is_taken_out_of_the_engines_share() -> None:
    assert reserve(total_gib=80, retriever_gib=8, utilization=0.9) == pytest.approx(0.8)
    assert reserve(total_gib=80, retriever_gib=0, utilization=0.9) == pytest.approx(0.9)


def test_a_gpu_too_small_for_both_is_refused_with_the_setting_to_change() -> None:
    with pytest.raises(BadInput, match=r"retrieval\.gpu_memory_gib"):
        reserve(total_gib=12, retriever_gib=10, utilization=0.9)


def test_a_librarys_error_becomes_one_short_line_without_paths() -> None:
    error = ValueError(
        "1 validation error for ModelConfig\n  Value error, no config in /home/me/models/tiny [type=x]\n more"
    )
    assert sentence(error) == "no config in ... [type=x]"
    assert len(sentence(ValueError("x" * 1000))) <= 200
    assert sentence(ValueError()) == "ValueError"
