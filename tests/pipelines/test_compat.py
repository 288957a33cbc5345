"""With `compat` the answer is asked for in FlashRAG's words, so that its figures can be set beside ours."""

from __future__ import annotations

import pytest

from app.backend.pipelines.prompts import GIVEN, UNAIDED
from app.backend.pipelines.registry import PIPELINES
from app.backend.types import Exchange
from tests.pipelines.doubles import BEES, MOON, Shelf, ask, done, engine, prompts, registry, run

pytestmark = pytest.mark.anyio

DOCUMENTS = f"Doc 1(Title: Bees) {BEES.text}\nDoc 2(Title: Moon) {MOON.text}\n"
ASKED = [("system", GIVEN + DOCUMENTS), ("user", "Question: Who explained the tides?")]


def test_compat_is_off_unless_it_is_set() -> None:
    switches = [param.default for info in registry().infos() for param in info.params if param.name == "compat"]
    assert len(switches) > 10
    assert not any(switches)


async def test_the_answer_is_asked_for_from_all_documents_in_their_order_and_gets_citations() -> None:
    scripted = await engine(["Newton"])
    query = ask("naive", "Who explained the tides?", compat=True)
    events = await run("naive", query, scripted, Shelf((BEES, MOON)))
    assert prompts(scripted) == [ASKED]
    assert scripted.calls[0].sampling.stop == ()
    assert done(events).answer == "Newton"


async def test_without_a_search_the_model_is_asked_for_its_own_knowledge() -> None:
    scripted = await engine(["Newton"], ["No"], ["Newton"])
    await run("direct", ask("direct", "Who?", compat=True), scripted)
    await run("skr", ask("skr", "Who?", compat=True), scripted, Shelf([]))
    assert prompts(scripted)[0] == prompts(scripted)[-1] == [("system", UNAIDED), ("user", "Question: Who?")]


async def test_a_follow_up_stands_alone_without_the_conversation() -> None:
    scripted = await engine(["Who explained the tides?"], ["Newton"])
    history = [Exchange("What are the tides?", "Water.")]
    await run("naive", ask("naive", "Who explained the tides?", history, compat=True), scripted, Shelf((BEES, MOON)))
    assert prompts(scripted)[-1] == ASKED


async def test_all_rounds_are_asked_for_alike() -> None:
    scripted = await engine(["One"], ["Two"], ["Newton"])
    query = ask("iterretgen", "Who explained the tides?", compat=True)
    await run("iterretgen", query, scripted, Shelf((BEES, MOON)))
    assert prompts(scripted) == [ASKED] * 3


async def test_what_a_refiner_leaves_stands_in_the_place_of_the_documents() -> None:
    scripted = await engine(["Newton"])
    query = ask("recomp-extractive", "Its tides?", compat=True, refiner_topk=1)
    await run("recomp-extractive", query, scripted, Shelf((BEES, MOON)))
    left = "Its tides were first explained by Newton.\n"
    assert prompts(scripted) == [[("system", GIVEN + left), ("user", "Question: Its tides?")]]


async def test_looking_ahead_there_are_no_documents_yet() -> None:
    scripted = await engine(["Newton."])
    await run("flare", ask("flare", "Who?", compat=True), scripted)
    assert prompts(scripted) == [[("system", GIVEN), ("user", "Question: Who?")]]


@pytest.mark.parametrize("pipeline", [name for name in PIPELINES if "compat" in PIPELINES[name].params.model_fields])
async def test_every_method_that_has_it_answers_with_it(pipeline: str) -> None:
    events = await run(pipeline, ask(pipeline, "Who explained the tides?", compat=True), await engine())
    assert done(events).answer
