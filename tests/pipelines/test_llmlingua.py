"""LongLLMLingua, pinned to Jiang et al. 2023: passages by how likely the question is after them, tokens by how much
likelier the question makes them, the better passages compressed less.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from app.backend.engines.scripted import Call, Item, ScriptedEngine
from app.backend.errors import BadInput
from app.backend.pipelines.llmlingua import RESTRICT, Weighed, allowance, reordered, spread, within
from app.backend.pipelines.refine import Unit
from app.backend.types import ParamValue, Passage, Scored
from tests.pipelines.doubles import Shelf, ask, done, prompts, registry, run

pytestmark = pytest.mark.anyio

BEES = Passage("a", "Bees", "bees dance well", 0.9, "demo")
MOON = Passage("b", "Moon", "old Newton explained tides", 0.8, "demo")
ASKED = f"Who? {RESTRICT}"


async def weighing(told: dict[str, Sequence[float]]) -> ScriptedEngine:
    """Told by the prompt that is weighed; 1 nat a word elsewhere."""

    def script(call: Call) -> Sequence[Item]:
        prompt = call.messages[0].content
        if not call.sampling.echo:
            return ["Newton [2]."]
        words = prompt.split()
        return [Scored(f" {w}", -nats) for w, nats in zip(words, told.get(prompt, [1.0] * len(words)), strict=True)]

    scripted = ScriptedEngine(script, tokens_per_s=0)
    await scripted.start()
    return scripted


async def test_each_passage_is_weighed_before_and_after_the_question() -> None:
    scripted = await weighing({})
    await run("llmlingua", ask("llmlingua", "Who?"), scripted, Shelf([BEES, MOON]))
    assert [chat[0][1] for chat in prompts(scripted)[:-1]] == [
        f"\nbees dance well\n{ASKED}",
        f"\nold Newton explained tides\n{ASKED}",
        "\nWho?\n\nbees dance well",
        "\nWho?\n\nold Newton explained tides",
    ]


QUESTION = len(ASKED.split())
TOLD: dict[str, list[float]] = {
    f"\nbees dance well\n{ASKED}": [5, 5, 5, *[3.0] * QUESTION],
    f"\nold Newton explained tides\n{ASKED}": [5, 9, 5, 7, *[2.0] * QUESTION],
    "\nWho?\n\nbees dance well": [1, 5, 2, 5],
    "\nWho?\n\nold Newton explained tides": [1, 5, 1, 6, 2],
}
"""The question tells of dancing, and more of Newton and the tides."""


async def read(told: dict[str, list[float]] = TOLD, **params: ParamValue) -> str:
    """What the model reads, without the question."""
    scripted = await weighing(told)
    events = await run("llmlingua", ask("llmlingua", "Who?", **params), scripted, Shelf([BEES, MOON]))
    assert [(c.n, c.passage_id) for c in done(events).citations] == [(2, "b")]
    return prompts(scripted)[-1][-1][1].removesuffix("\n\nQuestion: Who?")


async def test_the_passage_after_which_the_question_is_likelier_keeps_what_the_question_tells_of() -> None:
    # Of 1 + 7 tokens half stay, 3 of them for the passages: 3/8 of each, 0.3 more of the better, 0.3 less of the other.
    assert await read(rate=0.5) == "Moon\nold Newton tides"


async def test_the_best_passage_comes_first_under_its_own_number() -> None:
    assert await read(rate=1.0) == "[2] Moon\nold Newton explained tides\n\n[1] Bees\nbees dance"
    assert await read(rate=1.0, reorder_context="original") == (
        "[1] Bees\nbees dance\n\n[2] Moon\nold Newton explained tides"
    )


async def test_passages_rank_by_themselves_after_the_question_or_by_how_unexpected_they_are() -> None:
    told = TOLD | {"\nWho?\n\nbees dance well": [1, 2, 1, 2]}
    tight = {"rate": 0.5, "context_budget": 0}
    assert await read(told, **tight) == "Moon\nNewton tides"
    assert await read(told, **tight, condition_in_question="before_condition") == "Bees\nbees dance"
    assert await read(told, **tight, rank_method="llmlingua") == "Moon\nNewton tides"


async def test_without_comparison_the_unlikeliest_tokens_stay() -> None:
    assert await read(rate=0.4, condition_compare=False) == "Moon\nold explained"
    alone = {"condition_compare": False, "condition_in_question": "after"}
    assert await read(rate=0.4, **alone) == "Moon\nNewton tides"


def weighed(name: str, tokens: int) -> Weighed:
    return Weighed(Passage(name, "", "", 0.0, "demo"), [Unit("x", 1.0)] * tokens, [], [])


def test_the_budget_is_a_share_of_everything_less_the_question() -> None:
    assert allowance([weighed("a", 60), weighed("b", 30)], 10, 0.5) == pytest.approx(40)
    assert allowance([weighed("a", 5)], 50, 0.5) == 100


def test_passages_are_kept_up_to_the_one_that_uses_up_the_budget() -> None:
    ranked = [weighed("a", 60), weighed("b", 60), weighed("c", 60)]
    assert within(ranked, 100) == ranked[:2]
    assert within(ranked, 10) == ranked[:1]
    assert within(ranked, 1000) == ranked


def test_the_best_passage_keeps_more_by_the_ratio_and_the_last_less() -> None:
    assert spread(3, 0.3) == pytest.approx([0.3, 0.0, -0.3])
    assert spread(1, 0.3) == [0.0]


def test_the_order_of_the_passages() -> None:
    a, b, c, d = (weighed(name, 1).passage for name in "abcd")
    best, found = [c, a, d, b], [a, b, c, d]
    assert reordered(best, found, "sort") == best
    assert reordered(best, found, "original") == found
    assert reordered(best, found, "two_stage") == [c, d, b, a]


def test_unknown_ways_are_refused() -> None:
    with pytest.raises(BadInput, match="rank_method must be one of longllmlingua, llmlingua"):
        registry().validate("llmlingua", {"rank_method": "sentbert"})
