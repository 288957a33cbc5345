"""Selective Context, pinned to Li et al. 2023: self-information sentence by sentence, and a percentile below which the
parts are dropped.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from app.backend.engines.scripted import Call, Item, ScriptedEngine
from app.backend.pipelines.refine import Unit
from app.backend.pipelines.selective_context import Level, parted, phrases, threshold
from app.backend.types import Passage, Scored
from tests.pipelines.doubles import Shelf, ask, prompts, run

pytestmark = pytest.mark.anyio

PASSAGE = Passage("a", "Moon", "The Moon orbits Earth. Newton explained tides.", 1.0, "demo")
NATS = {"The": 1, "Moon": 4, "orbits": 2, "Earth.": 3, "Newton": 8, "explained": 5, "tides.": 6}


async def weighing() -> ScriptedEngine:
    def script(call: Call) -> Sequence[Item]:
        if not call.sampling.echo:
            return ["Newton."]
        return [Scored(f" {word}", -NATS[word]) for word in call.messages[0].content.split()]

    scripted = ScriptedEngine(script, tokens_per_s=0)
    await scripted.start()
    return scripted


@pytest.mark.parametrize(
    ("level", "ratio", "left"),
    [
        ("token", 0.5, "Moon Newton explained tides."),
        ("sent", 0.5, "Newton explained tides."),
        ("phrase", 0.0, "The Moon orbits Earth. Newton explained tides."),
        ("token", 1.0, "Newton"),
    ],
)
async def test_the_expected_parts_are_left_out(level: Level, ratio: float, left: str) -> None:
    scripted = await weighing()
    query = ask("selective-context", "Who?", reduce_ratio=ratio, reduce_level=level)
    await run("selective-context", query, scripted, Shelf([PASSAGE]))
    *weighed, answered = prompts(scripted)
    assert [chat[0][1] for chat in weighed] == ["\nThe Moon orbits Earth.", "\nNewton explained tides."]
    assert answered[-1][1] == f"Moon\n{left}\n\nQuestion: Who?"


async def test_a_passage_with_nothing_left_is_not_read() -> None:
    dull = Passage("b", "Dull", "The Moon orbits.", 0.5, "demo")
    scripted = await weighing()
    NATS["orbits."] = 1
    await run(
        "selective-context", ask("selective-context", "Who?", reduce_level="sent"), scripted, Shelf([PASSAGE, dull])
    )
    assert "Dull" not in prompts(scripted)[-1][-1][1]


async def test_passages_without_a_sentence_are_no_error() -> None:
    scripted = await weighing()
    await run(
        "selective-context", ask("selective-context", "Who?"), scripted, Shelf([Passage("e", "", "", 1.0, "demo")])
    )
    assert len(scripted.calls) == 1


def test_phrases_are_what_stands_between_function_words_and_punctuation() -> None:
    assert phrases("The tides of the Moon, first explained.") == [
        "The",
        " tides",
        " of",
        " the",
        " Moon",
        ",",
        " first explained",
        ".",
    ]
    assert phrases("牛顿的潮汐") == ["牛顿", "的", "潮汐"]


def test_a_part_is_as_unexpected_as_the_tokens_in_it() -> None:
    tokens = [Unit("The", 1.0), Unit(" red moon", 3.0), Unit("light", 5.0), Unit(".", 0.5)]
    assert parted(tokens, "The red moonlight.", "phrase") == [
        Unit("The", 1.0),
        Unit(" red moonlight", 4.0),
        Unit(".", 0.5),
    ]
    one = [Unit("tides of", 2.0)]
    assert parted(one, "tides of", "phrase") == [Unit("tides", 2.0), Unit(" of", 2.0)]


def test_the_threshold_is_the_percentile() -> None:
    assert threshold([3, 1, 2, 4], 0.5) == 3  # between 2 and 3: drops 1 and 2
    assert threshold([3, 1, 2], 0.5) == 2
    assert threshold([], 0.5) == 0
