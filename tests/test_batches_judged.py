"""A batch that is judged: in both orders, under its owner's quota, nothing twice, and apart from votes of people."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.backend.arena.battles import Filters
from app.backend.batches.records import Batch
from app.backend.engines.scripted import Call, Crash, Item, ScriptedEngine, Silence
from app.backend.errors import Unavailable
from app.backend.experiments.duel import PROMPT, duel
from app.backend.records import Side
from app.backend.service import Backend
from app.backend.storage.research import lines
from tests.doubles import running

pytestmark = pytest.mark.anyio

COLD, WARM = Side("direct", params={"temperature": 0.1}), Side("direct", params={"temperature": 0.2})
LOCAL = {"local": {"running": 8, "queued": 8, "per_minute": 10_000, "per_day": 10_000}}
JUDGING = PROMPT.split("\n", 1)[0]


def judging(call: Call) -> bool:
    return call.messages[0].content.startswith(JUDGING)


def first(call: Call) -> str:
    """What stands first before the judge."""
    return call.messages[0].content.split("[Answer of assistant A]\n")[1].split("\n")[0]


def engine(verdict: dict[str, str], context_tokens: int = 8192) -> ScriptedEngine:
    """Cold answers Paris, warm Rome; `verdict` is what the judge says when the one or the other stands first."""

    def script(call: Call) -> Sequence[Item]:
        if judging(call):
            return [verdict[first(call)], "]] because"]
        return ["Paris" if call.sampling.temperature == 0.1 else "Rome"]

    return ScriptedEngine(script, context_tokens=context_tokens)


async def ended(backend: Backend, batch: Batch) -> Batch:
    async with asyncio.timeout(60):
        while (now := await backend.batches.get("ann", batch.id)).state == "running":
            await asyncio.sleep(0.02)
    return now


def asked(count: int) -> str:
    return "\n".join(f"Question {n}?" for n in range(count))


@pytest.mark.parametrize(
    ("verdict", "tally", "scores"),
    [
        ({"Paris": "A", "Rome": "B"}, (3, 0, 0), [1.0, 0.0]),  # Paris, wherever it stands
        ({"Paris": "A", "Rome": "A"}, (0, 3, 0), [0.5, 0.5]),  # whoever stands first
        ({"Paris": "B", "Rome": "C"}, (0, 3, 0), [0.5, 0.5]),  # once Rome, once nobody
        ({"Paris": "C", "Rome": "C"}, (0, 3, 0), [0.5, 0.5]),
        ({"Paris": "B", "Rome": "A"}, (0, 0, 3), [0.0, 1.0]),
    ],
)
async def test_a_judge_is_believed_only_when_both_orders_agree(
    tmp_path: Path, verdict: dict[str, str], tally: tuple[int, int, int], scores: list[float]
) -> None:
    async with running(tmp_path, engine(verdict), quotas=LOCAL) as backend:
        batch = await ended(backend, await backend.batches.begin("ann", "q", asked(3), [COLD, WARM], judged=True))
        assert (batch.state, batch.judged, batch.golden) == ("done", True, 0)
        report = await backend.batches.report("ann", batch.id, "judge")
        [pair] = report.pairs
        assert (pair.difference.wins, pair.difference.ties, pair.difference.losses) == tally
        assert [side.score.mean for side in report.sides if side.score] == scores


async def test_a_verdict_that_cannot_be_read_counts_for_nobody(tmp_path: Path) -> None:
    async with running(tmp_path, engine({"Paris": "A", "Rome": "Well"}), quotas=LOCAL) as backend:
        batch = await ended(backend, await backend.batches.begin("ann", "q", asked(2), [COLD, WARM], judged=True))
        report = await backend.batches.report("ann", batch.id, "judge")
        assert [side.score for side in report.sides] == [None, None]
        assert [[one.outcome for one in row.row.judged] for row in report.rows] == [[None], [None]]


async def test_the_judge_reads_the_right_answers_where_there_are_some() -> None:
    read: list[str] = []

    def script(call: Call) -> Sequence[Item]:
        read.append(call.messages[0].content)
        return ["C]]"]

    judge = ScriptedEngine(script)
    await judge.start()
    assert await duel(judge, "Capital?", ["Paris", "paris"], "x", "y", request_id="r") == 0.5
    assert len(read) == 2
    assert all("[Right answer]\nParis / paris" in prompt for prompt in read)
    read.clear()
    await duel(judge, "Capital?", [], "x", "y", request_id="r")
    assert not any("Right answer" in prompt for prompt in read)


async def test_who_is_not_judged_asks_the_engine_nothing_more(tmp_path: Path) -> None:
    calls: list[Call] = []

    def script(call: Call) -> Sequence[Item]:
        calls.append(call)
        return ["Paris"]

    async with running(tmp_path, ScriptedEngine(script), quotas=LOCAL) as backend:
        await ended(backend, await backend.batches.begin("ann", "q", asked(2), [COLD, WARM]))
        assert len(calls) == 4
        assert not any(map(judging, calls))


async def test_a_judgement_that_failed_is_made_up_for_when_the_batch_goes_on_and_no_other_is_made_again(
    tmp_path: Path,
) -> None:
    """The judge breaks at one question; then that one alone is judged."""
    broken, judged = [True], list[str]()

    def script(call: Call) -> Sequence[Item]:
        if not judging(call):
            return ["Paris" if call.sampling.temperature == 0.1 else "Rome"]
        judged.append(call.messages[0].content)
        return (
            [Crash()] if broken[0] and "Question 1?" in judged[-1] else ["A" if first(call) == "Paris" else "B", "]]"]
        )

    async with running(tmp_path, ScriptedEngine(script), quotas=LOCAL) as backend:
        batch = await backend.batches.begin("ann", "q", asked(3), [COLD, WARM], judged=True)
        async with asyncio.timeout(60):
            while not (held := backend.batches.progress("ann", batch).held):
                await asyncio.sleep(0.01)
        assert held
        broken[0] = False
        done = await ended(backend, batch)
        assert (done.state, done.failed) == ("done", 0)
        report = await backend.batches.report("ann", batch.id, "judge")
        assert report.pairs[0].difference.wins == 3
        assert sum("Question 0?" in prompt for prompt in judged) == 2, "once in each order"


async def test_a_judge_that_fails_at_one_question_for_ever_leaves_it_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.backend.batches.run.LONGEST_PAUSE_S", 0.1)
    broken = [True]

    def script(call: Call) -> Sequence[Item]:
        if not judging(call):
            return ["Paris" if call.sampling.temperature == 0.1 else "Rome"]
        if broken[0] and "Question 1?" in call.messages[0].content:
            return [Crash()]
        return ["A" if first(call) == "Paris" else "B", "]]"]

    async with running(tmp_path, ScriptedEngine(script), quotas=LOCAL) as backend:
        batch = await backend.batches.begin("ann", "q", asked(3), [COLD, WARM], judged=True)
        left = await ended(backend, batch)
        assert (left.state, "1 of the questions" in left.trouble) == ("stopped", True)
        assert (await backend.batches.report("ann", batch.id, "judge")).pairs[0].difference.wins == 2
        broken[0] = False
        await backend.batches.go_on("ann", batch.id)
        assert (await ended(backend, batch)).state == "done"
        assert (await backend.batches.report("ann", batch.id, "judge")).pairs[0].difference.wins == 3


async def test_what_is_too_long_for_the_judge_counts_for_nobody_and_the_others_are_judged(tmp_path: Path) -> None:
    judge = engine({"Paris": "A", "Rome": "B"}, context_tokens=700)
    long = [" ".join(["Paris"] * 150)] * 8
    text = "\n".join(json.dumps({"question": f"{n}?", "golden_answers": long if n == 1 else []}) for n in range(3))
    async with running(tmp_path, judge, quotas=LOCAL) as backend:
        batch = await ended(backend, await backend.batches.begin("ann", "q", text, [COLD, WARM], judged=True))
        assert (batch.state, batch.trouble, batch.answered) == ("done", "", 3)
        report = await backend.batches.report("ann", batch.id, "judge")
        assert [[one.outcome for one in row.row.judged] for row in report.rows] == [[1.0], [None], [1.0]]


async def test_a_judge_reads_so_much_of_the_right_answers(tmp_path: Path) -> None:
    read: list[str] = []

    def script(call: Call) -> Sequence[Item]:
        read.append(call.messages[0].content)
        return ["C]]"]

    judge = ScriptedEngine(script)
    await judge.start()
    assert await duel(judge, "Capital?", ["Paris " * 20_000], "x", "y", request_id="r") == 0.5
    assert all("Paris" in prompt and len(prompt) < 6_000 for prompt in read)


async def test_what_is_judged_beside_a_judgement_that_failed_is_broken_off() -> None:
    judge = ScriptedEngine(lambda call: [Crash()] if first(call) == "x" else [Silence(), "C]]"])
    await judge.start()
    with pytest.raises(Unavailable):
        await duel(judge, "Capital?", [], "x", "y", request_id="r")
    assert judge.open == 0


async def test_models_are_rated_apart_from_people(tmp_path: Path) -> None:
    async with running(tmp_path, engine({"Paris": "A", "Rome": "B"}), quotas=LOCAL) as backend:
        batch = await ended(backend, await backend.batches.begin("ann", "q", asked(12), [COLD, WARM], judged=True))
        assert (await backend.arena.board(Filters(judge="human"))).votes == 0
        board = await backend.arena.board(Filters(judge="model"))
        assert board.votes == 12
        assert ["0.1" in row.rating.contender for row in board.rows] == [True, False]
        given = list(lines(tmp_path / "colloquy.db"))
        assert {line["type"] for line in given} == {"judgement"}
        hot = [[s["letter"] for s in line["sides"] if "0.1" in s["contender"]] == [line["winner"]] for line in given]
        assert hot == [True] * 12
        assert "Question" not in str(given)
        seen = await backend.arena.version()
        await backend.batches.delete("ann", batch.id)
        assert await backend.arena.version() != seen
        assert (await backend.arena.board(Filters(judge="model"))).votes == 0


async def test_ones_own_votes_on_the_rows_are_summed(tmp_path: Path) -> None:
    async with running(tmp_path, engine({}), quotas=LOCAL) as backend:
        batch = await ended(backend, await backend.batches.begin("ann", "q", asked(4), [COLD, WARM]))
        rows = (await backend.batches.report("ann", batch.id)).rows
        for row, winner in zip(rows, ["a", "a", "tie", "b"], strict=True):
            await backend.comparisons.vote("ann", row.row.comparison_id, winner)
        [pair] = (await backend.batches.report("ann", batch.id, "vote")).pairs
        assert (pair.difference.wins, pair.difference.ties, pair.difference.losses) == (2, 1, 1)
