"""The table of pipelines: what is refused, and with which sentence."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest

from app.backend.errors import BadInput
from app.backend.pipelines.registry import PIPELINES, Registry, create_registry
from app.backend.types import ParamValue
from app.settings import ASSETS, GenerationSettings, RetrievalSettings, Settings

BOTH = {"max_tokens": 512, "temperature": 0.0, "top_p": 1.0, "frequency_penalty": 0.0}


@pytest.fixture
def registry() -> Registry:
    return create_registry(Settings())


def test_every_parameter_has_a_value_after_validation(registry: Registry) -> None:
    assert registry.validate("direct", {}) == BOTH | {"compat": False}
    searching = {"retrieval_topk": 7, "context_topk": 100, "retriever": "hybrid", "compat": False}
    assert registry.validate("naive", {"retrieval_topk": 7}) == BOTH | searching


def test_settings_change_the_defaults() -> None:
    settings = Settings(generation=GenerationSettings(max_tokens=64), retrieval=RetrievalSettings(top_k=2))
    registry = create_registry(settings)
    assert registry.validate("direct", {})["max_tokens"] == 64
    shown = {param.name: param.default for param in registry.info("naive").params}
    assert (shown["retrieval_topk"], shown["max_tokens"]) == (2, 64)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"retrieval_topk": 0}, "retrieval_topk must be a whole number from 1 to 100."),
        ({"retrieval_topk": "many"}, "retrieval_topk must be a whole number from 1 to 100."),
        ({"retrieval_topk": 2.5}, "retrieval_topk must be a whole number from 1 to 100."),
        ({"temperature": float("nan")}, "temperature must be a number from 0 to 2."),
        ({"top_p": float("inf")}, "top_p must be a number from 0.01 to 1."),
        ({"max_tokens": -1}, "max_tokens must be a whole number from 1 to 32768."),
        ({"retriever": "magic"}, "retriever must be one of dense, bm25, hybrid."),
        (
            {"topk": 3},
            "naive has no parameter 'topk'; it has max_tokens, temperature, top_p, frequency_penalty, retrieval_topk, "
            "context_topk, retriever, compat.",
        ),
    ],
)
def test_a_wrong_parameter_is_named_with_what_it_may_be(
    registry: Registry, given: dict[str, ParamValue], sentence: str
) -> None:
    with pytest.raises(BadInput) as refused:
        registry.validate("naive", given)
    assert refused.value.message == sentence


def test_an_unknown_pipeline_is_refused_with_those_that_may_be_meant(registry: Registry) -> None:
    with pytest.raises(BadInput, match=r"^There is no pipeline 'qqq'; among the \d+ are direct, naive, .*\.$"):
        registry.validate("qqq", {})
    with pytest.raises(BadInput, match=r"are .*self-?ask.*\.$"):
        registry.validate("self-ask", {})


def test_numbers_from_a_form_are_taken_as_text(registry: Registry) -> None:
    assert registry.validate("naive", {"retrieval_topk": "7"})["retrieval_topk"] == 7


def test_another_try_draws_with_temperature_and_keeps_the_rest(registry: Registry) -> None:
    again = registry.varied("naive", registry.validate("naive", {"retrieval_topk": 3}))
    assert (again["temperature"], again["retrieval_topk"]) == (0.7, 3)
    assert registry.varied("direct", {"temperature": 1.5, "gone": 1})["temperature"] == 1.5


def test_wrong_defaults_are_refused_at_the_start() -> None:
    with pytest.raises(BadInput, match="top_p must be"):
        create_registry(Settings(generation=GenerationSettings(top_p=0.001)))


def test_what_forms_show(registry: Registry) -> None:
    info = registry.info("naive")
    assert info.uses_retrieval
    assert not registry.info("direct").uses_retrieval
    params = {param.name: dataclasses.asdict(param) for param in info.params}
    assert params["retriever"]["choices"] == ("dense", "bm25", "hybrid")
    assert (params["temperature"]["type"], params["temperature"]["maximum"]) == ("float", 2)
    assert all(param["help"] for param in params.values())


def test_a_default_of_the_settings_does_not_replace_one_that_a_method_sets_for_itself() -> None:
    registry = create_registry(Settings(retrieval=RetrievalSettings(context_k=1)))
    assert registry.validate("naive", {})["context_topk"] == 1
    assert registry.validate("selfrag", {})["context_topk"] == 20


def test_the_demo_corpus_knows_every_method() -> None:
    rows = map(json.loads, (ASSETS / "demo/corpus.jsonl").read_text(encoding="utf-8").splitlines())
    texts = {row["id"]: row["contents"] for row in rows}
    assert set(PIPELINES) <= set(re.findall(r"[\w-]+", texts["col-methods"]))
    assert f"has {len(PIPELINES)} methods" in texts["col-methods"]
    assert f"{len(PIPELINES)}种方法" in texts["zh-col-methods"]
