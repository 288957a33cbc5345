"""The form of a pipeline's settings says what the server says, and knows what differs from the defaults."""

from __future__ import annotations

import pytest

from app.backend.errors import BadInput
from app.backend.pipelines.registry import Registry, create_registry
from app.backend.types import ParamInfo, ParamValue
from app.settings import Settings
from app.ui import tuning

WRONG: dict[str, ParamValue] = {"int": "many", "float": "much", "bool": "perhaps"}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return create_registry(Settings())


def wrong_value(param: ParamInfo) -> ParamValue | None:
    return "no such choice" if param.choices else WRONG.get(param.type)


def test_every_form_says_of_every_wrong_value_what_the_server_says(registry: Registry) -> None:
    for info in registry.infos():
        for param in info.params:
            if (value := wrong_value(param)) is None:
                continue
            with pytest.raises(BadInput) as refused:
                registry.validate(info.name, {param.name: value})
            assert tuning.sentence(param, "en") == refused.value.message
            assert (
                tuning.checked(info, {param.name: value}, registry.validate, "zh")
                .wrong[param.name]
                .startswith(f"{param.name} 必须是")
            )


def test_what_a_form_sends_is_read_and_only_what_differs_counts(registry: Registry) -> None:
    sent: dict[str, ParamValue] = {
        "retrieval_topk": "7",
        "temperature": "0",
        "top_p": "2",
        "gone": "x",
        "retriever": "bm25",
    }
    found = tuning.checked(registry.info("naive"), sent, registry.validate, "en")
    assert found.changed == {"retrieval_topk": 7, "retriever": "bm25"}
    assert found.wrong == {"top_p": "top_p must be a number from 0.01 to 1."}


def test_a_form_that_is_sent_as_it_was_drawn_changes_nothing(registry: Registry) -> None:
    for info in registry.infos():
        rows = tuning.controls(info, {}, {}, "en")
        assert {row.name for row in rows} == {param.name for param in info.params}
        found = tuning.checked(info, {row.name: row.value for row in rows}, registry.validate, "en")
        assert (found.changed, found.wrong) == ({}, {}), info.name


def test_what_is_a_methods_own_comes_before_what_all_have(registry: Registry) -> None:
    names = [row.name for row in tuning.controls(registry.info("iterretgen"), {}, {}, "en")]
    assert names[:2] == ["iter_num", "retrieval_topk"]
    assert names[-2:] == ["frequency_penalty", "compat"]
