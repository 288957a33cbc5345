"""What the building blocks of pipelines promise to each of them."""

from __future__ import annotations

import asyncio
import math

import pytest

from app.backend.engines.scripted import Crash, Silence
from app.backend.errors import Unavailable
from app.backend.events import Retrieved
from app.backend.pipelines.steps import Evidence, choose, complete, together, weigh, write
from app.backend.protocols import Tools
from app.backend.types import Sampling, Scored
from tests.pipelines.doubles import BEES, MOON, RUST, Shelf, engine

pytestmark = pytest.mark.anyio


async def test_a_passage_keeps_the_number_of_its_first_appearance() -> None:
    evidence = Evidence()
    assert evidence.add(Retrieved((MOON, BEES), 1.0)).numbers == (1, 2)
    again = evidence.add(Retrieved((RUST, MOON), 1.0))
    assert again.numbers == (3, 1)
    assert evidence.passages == (MOON, BEES, RUST)
    assert again.joined((MOON, BEES)) == evidence.passages


async def test_a_call_gives_its_text_its_end_and_its_probabilities() -> None:
    token = Scored("Yes", -0.2, (("Yes", -0.2),))
    tools = Tools(await engine([token, ". Then"]), Shelf(), "g1")
    written = await write("Is it?", Sampling(10, stop=(".",), logprobs=1), tools)
    assert (written.text, written.tokens, written.stopped_by) == ("Yes", (token,), ".")


async def test_a_text_is_weighed_or_it_is_said_that_the_engine_cannot() -> None:
    tools = Tools(await engine([Scored(" bees", -2.0)], []), Shelf(), "g1")
    assert await weigh("The bees", tools) == (Scored(" bees", -2.0),)
    with pytest.raises(Unavailable, match="does not tell"):
        await weigh("The bees", tools)


async def test_a_choice_is_weighed_by_the_probabilities_of_the_first_token() -> None:
    top = ((" Yes", math.log(0.5)), ("yes", math.log(0.1)), ("No", math.log(0.2)), ("Well", math.log(0.2)))
    tools = Tools(await engine([Scored(" Yes", math.log(0.5), top)], ["42"]), Shelf(), "g1")
    assert await choose("Is it?", ("yes", "no"), tools) == {"yes": pytest.approx(0.75), "no": pytest.approx(0.25)}
    assert await choose("Is it?", ("yes", "no"), tools) == {"yes": 0.0, "no": 0.0}


async def test_parts_run_together_and_a_failure_frees_the_engine_of_the_others() -> None:
    scripted = await engine([Silence()], ["a"], [Crash("no memory left")])
    tools = Tools(scripted, Shelf(), "g1")
    with pytest.raises(Unavailable, match="no memory"):
        await together(*(complete("?", Sampling(5), tools) for _ in range(3)))
    assert (scripted.open, scripted.aborted) == (0, 2)


async def test_results_come_in_the_order_of_the_parts() -> None:
    async def late(result: str, gate: asyncio.Event) -> str:
        await gate.wait()
        return result

    async def opens(gate: asyncio.Event) -> str:
        gate.set()
        return "second"

    gate = asyncio.Event()
    assert await together(late("first", gate), opens(gate)) == ["first", "second"]
