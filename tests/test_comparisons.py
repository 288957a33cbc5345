"""What comparisons promise: independent columns, a blind side that stays blind, votes that count when they should."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.backend.engines.scripted import Crash, Item, ScriptedEngine, Silence
from app.backend.errors import BadInput, ColloquyError, NotFound, Refused
from app.backend.events import Done, Failed, Stopped, Token
from app.backend.records import ComparisonTicket, Side
from app.backend.service import Question
from app.backend.storage import comparisons
from tests.asking import answer, chat
from tests.doubles import running
from tests.side_by_side import by_temperature, compared, heated

pytestmark = pytest.mark.anyio

DIRECT, NAIVE = Side("direct"), Side("naive")
HIDDEN = ("naive", "direct", "retrieval_topk", "scripted", "shelf", "generate")


async def test_the_columns_stand_as_they_were_asked_and_are_found_again(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine(tokens_per_s=0)) as backend:
        made = await compared(backend, [NAIVE, DIRECT, Side("naive", params={"retrieval_topk": 1})])
        assert [c.letter for c in made.columns] == ["a", "b", "c"]
        assert [c.generation.pipeline for c in made.columns] == ["naive", "direct", "naive"]
        assert [c.generation.status for c in made.columns] == ["done"] * 3
        assert [len(c.generation.passages) for c in made.columns] == [3, 0, 1]
        (line,) = await backend.conversations("ann")
        assert (line.id, line.kind, line.title) == (made.id, "comparison", made.question)
        (listed,) = await backend.comparisons.listing("ann")
        assert (listed.id, listed.pipelines, listed.winner) == (made.id, ("naive", "direct", "naive"), None)
    async with running(tmp_path, ScriptedEngine()) as tomorrow:
        assert await tomorrow.comparisons.get("ann", made.id) == made


async def test_one_column_that_fails_one_that_hangs_and_one_that_is_stopped_touch_no_other(tmp_path: Path) -> None:
    script: dict[float, Sequence[Item]] = {
        0.1: ["Well done."],
        0.2: ["half", Crash()],
        0.3: ["half", Silence()],
        0.4: ["half", Silence()],
    }
    async with running(tmp_path, ScriptedEngine(by_temperature(script))) as backend:
        ticket = await backend.comparisons.begin("ann", "Who?", heated(0.1, 0.2, 0.3, 0.4))
        a, b, c, d = ticket.generation_ids
        hanging = backend.events("ann", c)
        while not isinstance((await anext(hanging)).event, Token):
            pass
        await backend.stop("ann", d)
        ends = [(await answer(backend, g))[-1].event for g in (a, b, d)]
        assert [type(end) for end in ends] == [Done, Failed, Stopped]
        assert (await backend.generation("ann", c)).status == "running"
        await backend.stop("ann", c)
        await hanging.aclose()


async def test_a_column_is_changed_and_run_again_alone(tmp_path: Path) -> None:
    script: dict[float, Sequence[Item]] = {0.1: ["One."], 0.2: ["half", Silence()], 0.3: ["Three."]}
    async with running(tmp_path, ScriptedEngine(by_temperature(script))) as backend:
        ticket = await backend.comparisons.begin("ann", "Who?", heated(0.1, 0.2))
        first, hanging = ticket.generation_ids
        await answer(backend, first)
        again = await backend.comparisons.again("ann", ticket.comparison_id, "b", heated(0.3)[0])
        assert isinstance((await answer(backend, hanging))[-1].event, Stopped)
        await answer(backend, again.generation_id)
        made = await backend.comparisons.get("ann", ticket.comparison_id)
        assert [c.generation.id for c in made.columns] == [first, again.generation_id]
        assert [c.generation.answer for c in made.columns] == ["One.", "Three."]
        as_it_was = await backend.comparisons.again("ann", ticket.comparison_id, "a")
        await answer(backend, as_it_was.generation_id)
        column = (await backend.comparisons.get("ann", ticket.comparison_id)).columns[0].generation
        assert (column.params["temperature"], column.seed) == (0.1, made.columns[0].generation.seed)
        with pytest.raises(BadInput, match="has a, b"):
            await backend.comparisons.again("ann", ticket.comparison_id, "c")


async def test_who_runs_a_column_again_twice_at_once_leaves_nothing_running_behind(tmp_path: Path) -> None:
    script: dict[float, Sequence[Item]] = {0.1: ["One."], 0.2: ["half", Silence()]}
    engine = ScriptedEngine(by_temperature(script))
    async with running(tmp_path, engine) as backend:
        made = await compared(backend, heated(0.1, 0.1))
        again = [backend.comparisons.again("ann", made.id, "a", heated(0.2)[0]) for _ in range(3)]
        tickets = await asyncio.gather(*again)
        shown = (await backend.comparisons.get("ann", made.id)).columns[0].generation.id
        for ticket in tickets:
            if ticket.generation_id != shown:
                assert isinstance((await answer(backend, ticket.generation_id))[-1].event, Stopped)
        assert (await backend.generation("ann", shown)).status in ("queued", "running")
        await backend.stop("ann", shown)


async def test_a_stranger_finds_no_comparison(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine(tokens_per_s=0)) as backend:
        made = await compared(backend)
        doors = (
            lambda: backend.comparisons.get("bob", made.id),
            lambda: backend.comparisons.vote("bob", made.id, "a"),
            lambda: backend.comparisons.again("bob", made.id, "a"),
        )
        for door in doors:
            with pytest.raises(NotFound):
                await door()
        assert await backend.comparisons.listing("bob") == ()
        assert await backend.comparisons.get("ann", made.id) == made
        await backend.delete_conversation("ann", made.id)
        with pytest.raises(NotFound):
            await backend.comparisons.get("ann", made.id)


async def test_a_comparison_is_no_chat(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine(tokens_per_s=0)) as backend:
        made = await compared(backend, blind=True)
        with pytest.raises(BadInput, match="This is a comparison"):
            await backend.ask("ann", made.id, Question("And then?"))
        with pytest.raises(BadInput, match="This is a comparison"):
            await backend.regenerate("ann", made.columns[0].generation.id)
        talk = await chat(backend)
        with pytest.raises(NotFound):
            await backend.comparisons.get("ann", talk)


@pytest.mark.parametrize(
    ("sides", "error"),
    [
        ([NAIVE], BadInput),
        ([NAIVE] * 5, BadInput),
        ([NAIVE, Side("nonsense")], BadInput),
        ([NAIVE, Side(corpus="nonsense")], NotFound),
        ([NAIVE, Side(params={"temperature": 9})], BadInput),
    ],
)
async def test_what_cannot_be_compared_gets_one_sentence_and_leaves_nothing(
    tmp_path: Path, sides: list[Side], error: type[ColloquyError]
) -> None:
    async with running(tmp_path, ScriptedEngine()) as backend:
        with pytest.raises(error):
            await backend.comparisons.begin("ann", "Who?", sides)
        assert await backend.conversations("ann") == ()


async def test_a_comparison_that_is_more_than_a_quota_gives_is_refused_whole(tmp_path: Path) -> None:
    engine = ScriptedEngine(lambda call: [Silence()])
    quotas: dict[str, object] = {"local": {"running": 1, "queued": 2}}
    async with running(tmp_path, engine, quotas=quotas) as backend:

        async def begin(columns: int) -> ComparisonTicket:
            return await backend.comparisons.begin("ann", "Who?", [NAIVE] * columns)

        with pytest.raises(BadInput, match="at most"):
            await begin(4)
        ticket = await begin(2)
        with pytest.raises(Refused):
            await begin(2)
        assert len(await backend.comparisons.listing("ann")) == 1
        queue = backend.queue()
        assert (queue.running["compare"], queue.waiting["compare"], len(queue.visits)) == (1, 1, 2)
        for generation in ticket.generation_ids:
            await backend.stop("ann", generation)


async def test_a_comparison_that_is_refused_half_way_or_not_stored_uses_up_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quotas: dict[str, object] = {"local": {"per_minute": 5}}
    async with running(tmp_path, ScriptedEngine(tokens_per_s=0), quotas=quotas) as backend:

        async def begin(columns: int) -> ComparisonTicket:
            return await backend.comparisons.begin("ann", "Who?", heated(0.1, 0.2, 0.3, 0.4)[:columns])

        with monkeypatch.context() as broken:
            broken.setattr(comparisons, "begin", lambda *given: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                await begin(4)
        await begin(3)
        with pytest.raises(Refused, match="within a minute"):
            await begin(3)
        await begin(2)
        with pytest.raises(Refused, match="within a minute"):
            await begin(2)
