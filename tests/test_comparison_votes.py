"""Votes on a comparison: what they reveal, and which of them count."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.backend.arena.battles import Filters
from app.backend.engines.scripted import Crash, Item, ScriptedEngine, Silence
from app.backend.errors import BadInput, NotFound
from app.backend.events import Done, Retrieved, Started, Token
from app.backend.records import Side
from tests.asking import answer
from tests.doubles import running
from tests.side_by_side import by_temperature, compared, heated

pytestmark = pytest.mark.anyio

DIRECT, NAIVE = Side("direct"), Side("naive")
HIDDEN = ("naive", "direct", "retrieval_topk", "scripted", "shelf", "generate")


async def test_before_the_vote_a_blind_comparison_tells_nowhere_how_its_answers_were_made(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine(tokens_per_s=0)) as backend:
        ticket = await backend.comparisons.begin("ann", "How tall is the tower?", [NAIVE, DIRECT], blind=True)
        live = await asyncio.gather(*(answer(backend, g) for g in ticket.generation_ids))
        logs = await asyncio.gather(*(answer(backend, g) for g in ticket.generation_ids))
        assert [[r.event for r in log] for log in logs] == [[r.event for r in log] for log in live]
        kinds = {type(r.event) for log in logs for r in log}
        assert kinds == {Started, Retrieved, Token, Done}
        told = [
            await backend.comparisons.get("ann", ticket.comparison_id),
            await backend.comparisons.listing("ann"),
            await backend.conversation("ann", ticket.comparison_id),
            [await backend.generation("ann", g) for g in ticket.generation_ids],
            live,
            logs,
        ]
        assert [word for word in HIDDEN if f"'{word}" in repr(told)] == []
        made = await backend.comparisons.vote("ann", ticket.comparison_id, "tie")
        assert {c.generation.pipeline for c in made.columns} == {"naive", "direct"}
        assert {c.hidden for c in made.columns} == {False}
        assert made == await backend.comparisons.get("ann", ticket.comparison_id)
        assert any(r.event.kind == "step" for r in await answer(backend, ticket.generation_ids[0]))


async def test_blind_columns_come_in_any_order_and_are_picked_when_nobody_names_them(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine(tokens_per_s=0)) as backend:
        first = set()
        for _ in range(30):
            made = await compared(backend, [NAIVE, DIRECT], blind=True)
            first.add((await backend.comparisons.vote("ann", made.id, "tie")).columns[0].generation.pipeline)
            if len(first) == 2:
                break
        assert first == {"naive", "direct"}
        picked = await compared(backend, [], blind=True)
        revealed = await backend.comparisons.vote("ann", picked.id, "tie")
        assert len({c.generation.pipeline for c in revealed.columns}) == 2
        with pytest.raises(BadInput, match="2 to 4 columns; this one has 0"):
            await backend.comparisons.begin("ann", "Who?", [])


async def test_before_a_blind_vote_only_what_failed_is_made_again(tmp_path: Path) -> None:
    script: dict[float, list[Item]] = {0.1: ["One."], 0.2: [Crash()]}
    async with running(tmp_path, ScriptedEngine(by_temperature(script))) as backend:
        made = await compared(backend, heated(0.1, 0.2), blind=True)
        good, bad = sorted(made.columns, key=lambda c: c.generation.status)
        assert (good.generation.status, bad.generation.status) == ("done", "failed")
        for letter, side in ((good.letter, None), (bad.letter, NAIVE)):
            with pytest.raises(BadInput, match="vote first"):
                await backend.comparisons.again("ann", made.id, letter, side)
        script[0.2] = ["Two."]
        ticket = await backend.comparisons.again("ann", made.id, bad.letter)
        assert isinstance((await answer(backend, ticket.generation_id))[-1].event, Done)
        vote = (await backend.comparisons.vote("ann", made.id, good.letter)).vote
        assert vote and vote.counted


async def test_a_vote_reveals_and_stays_unless_the_names_were_always_there(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine(tokens_per_s=0)) as backend:
        blind = await compared(backend, blind=True)
        voted = await backend.comparisons.vote("ann", blind.id, "b", ["clear", "clear", "sourced"], " Well put. ")
        assert voted.revealed and voted.vote
        assert (voted.vote.winner, voted.vote.tags, voted.vote.comment) == ("b", ("clear", "sourced"), "Well put.")
        with pytest.raises(BadInput, match="the vote stays"):
            await backend.comparisons.vote("ann", blind.id, "a")
        open_ = await compared(backend)
        for winner in ("a", "both_bad"):
            vote = (await backend.comparisons.vote("ann", open_.id, winner)).vote
            assert vote and (vote.winner, vote.counted, vote.outdated) == (winner, True, False)
        again = await backend.comparisons.again("ann", open_.id, "a")
        await answer(backend, again.generation_id)
        vote = (await backend.comparisons.get("ann", open_.id)).vote
        assert vote and vote.outdated


@pytest.mark.parametrize(
    ("answers", "sides", "why"),
    [
        ({0.1: ["One."], 0.2: ["half", Crash()]}, heated(0.1, 0.2), "B is not complete"),
        ({0.1: ["One."]}, heated(0.1, 0.1), "made in the same way"),
        ({0.0: ["Naive RAG found it."]}, [NAIVE, Side("hyde")], "gave itself away"),
    ],
)
async def test_a_vote_that_cannot_be_fair_is_kept_and_does_not_count(
    tmp_path: Path, answers: dict[float, Sequence[Item]], sides: list[Side], why: str
) -> None:
    async with running(tmp_path, ScriptedEngine(by_temperature(answers))) as backend:
        made = await compared(backend, sides, blind="away" in why)
        vote = (await backend.comparisons.vote("ann", made.id, "a")).vote
        assert vote and not vote.counted
        assert why in vote.why_not
        assert (await backend.arena.version()).startswith("0-")


async def test_a_vote_before_the_end_does_not_count(tmp_path: Path) -> None:
    script: dict[float, Sequence[Item]] = {0.1: ["One."], 0.2: ["half", Silence()]}
    async with running(tmp_path, ScriptedEngine(by_temperature(script))) as backend:
        ticket = await backend.comparisons.begin("ann", "Who?", heated(0.1, 0.2))
        await answer(backend, ticket.generation_ids[0])
        vote = (await backend.comparisons.vote("ann", ticket.comparison_id, "a")).vote
        assert vote and (vote.counted, vote.why_not) == (False, "Answer B was not finished when you voted.")
        await backend.stop("ann", ticket.generation_ids[1])


async def test_of_a_days_votes_so_many_count_and_changing_one_is_not_another(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine(tokens_per_s=0), arena={"votes_per_day": 1}) as backend:
        first, second = await compared(backend), await compared(backend)
        for winner in ("a", "b"):
            vote = (await backend.comparisons.vote("ann", first.id, winner)).vote
            assert vote and vote.counted
        vote = (await backend.comparisons.vote("ann", second.id, "a")).vote
        assert vote and not vote.counted and "the first 1 count" in vote.why_not
        other = (await backend.comparisons.vote("bob", (await compared(backend, owner="bob")).id, "a")).vote
        assert other and other.counted


async def test_a_vote_stays_when_its_comparison_is_deleted_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, ScriptedEngine(tokens_per_s=0)) as backend:
        made = await compared(backend)
        await backend.comparisons.vote("ann", made.id, "a")
        await backend.delete_conversation("ann", made.id)
    monkeypatch.setattr("app.backend.tidying.UNDO_S", -1)
    async with running(tmp_path, ScriptedEngine()) as tomorrow:
        with pytest.raises(NotFound):
            await tomorrow.restore_conversation("ann", made.id)
        (battle,) = await tomorrow.arena.behind("ann", "direct", "naive", Filters())
        assert (battle.battle.outcome, battle.question, battle.comparison_id) == (1.0, made.question, "")
