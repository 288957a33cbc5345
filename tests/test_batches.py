"""What batches promise: each question is a comparison, kept apart from the chats, counted honestly, and never lost."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import sqlite_utils

from app.backend.batches import reports as batch_reports
from app.backend.batches.records import Batch, Row
from app.backend.engines.scripted import Call, Crash, Item, ScriptedEngine, Silence
from app.backend.errors import BadInput, ColloquyError, NotFound
from app.backend.experiments.report import Report, report
from app.backend.records import Side
from app.backend.service import Backend, Question
from app.backend.storage import batches as store
from tests.asking import ask, chat
from tests.doubles import running

pytestmark = pytest.mark.anyio

COLD, WARM = Side("direct", params={"temperature": 0.1}), Side("direct", params={"temperature": 0.2})
LOCAL = {"local": {"running": 8, "queued": 8, "per_minute": 10_000, "per_day": 10_000}}


def lines(count: int, answer: str = "Paris") -> str:
    return "\n".join(json.dumps({"question": f"Question {n}?", "golden_answers": [answer]}) for n in range(count))


def says(cold: Sequence[Item], warm: Sequence[Item]) -> Callable[[Call], Sequence[Item]]:
    """What each of the two sides answers, whatever the question."""
    return lambda call: cold if call.sampling.temperature == 0.1 else warm


async def ended(backend: Backend, batch: Batch, owner: str = "ann") -> Batch:
    """The batch once it runs no more."""
    async with asyncio.timeout(60):
        while (now := await backend.batches.get(owner, batch.id)).state == "running":
            await asyncio.sleep(0.02)
    return now


async def answered(backend: Backend, batch: Batch, count: int) -> None:
    async with asyncio.timeout(60):
        while (await backend.batches.get("ann", batch.id)).answered < count:
            await asyncio.sleep(0.01)


async def test_every_question_is_a_comparison_that_is_found_in_the_batch_and_not_among_the_chats(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, ScriptedEngine(says(["Paris."], ["Rome."])), quotas=LOCAL) as backend:
        await ask(backend, "A chat?")
        batch = await backend.batches.begin("ann", "capitals.jsonl", lines(5), [COLD, WARM])
        assert (await ended(backend, batch)).state == "done"
        report = await backend.batches.report("ann", batch.id)
        assert [row.row.asked.question for row in report.rows] == [f"Question {n}?" for n in range(5)]
        for row in report.rows:
            made = await backend.comparisons.get("ann", row.row.comparison_id)
            assert made.question == row.row.asked.question
            assert [c.generation.id for c in made.columns] == [c.generation_id for c in row.row.cells if c]
            assert {c.generation.params["temperature"] for c in made.columns} == {0.1, 0.2}
        assert [line.title for line in await backend.conversations("ann")] == ["A chat?"]
        assert await backend.conversations("ann", "Question 3") == ()
        assert await backend.comparisons.listing("ann") == ()


async def test_the_pair_is_counted_question_by_question_and_judged_once_there_are_enough(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine(says(["Paris"], ["Rome"])), quotas=LOCAL) as backend:
        few = await backend.batches.begin("ann", "few.jsonl", lines(6), [COLD, WARM])
        enough = await backend.batches.begin("ann", "enough.jsonl", lines(24), [COLD, WARM])
        assert (await ended(backend, enough)).answered == 24
        [pair] = (await backend.batches.report("ann", few.id, "em")).pairs
        assert (pair.difference.wins, pair.difference.losses, pair.difference.verdict) == (6, 0, "few")
        report = await backend.batches.report("ann", enough.id, "em")
        [pair] = report.pairs
        assert (pair.difference.wins, pair.difference.ties, pair.difference.verdict) == (24, 0, "left")
        assert pair.difference.interval is not None
        assert pair.difference.interval.mean == 1.0
        assert [side.score.mean for side in report.sides if side.score] == [1.0, 0.0]
        with pytest.raises(BadInput, match="choose from f1"):
            await backend.batches.report("ann", few.id, "beauty")


async def test_an_answer_that_fails_is_told_and_asked_again_when_the_batch_goes_on(tmp_path: Path) -> None:
    engine = ScriptedEngine(says(["Paris"], ["half", Crash()]))
    async with running(tmp_path, engine, quotas=LOCAL) as backend:
        batch = await backend.batches.begin("ann", "q.jsonl", lines(3), [COLD, WARM])
        done = await ended(backend, batch)
        assert (done.state, done.answered, done.failed) == ("done", 3, 3)
        report = await backend.batches.report("ann", batch.id)
        assert [len(pair.positions) for pair in report.pairs] == [0]
        assert [side.failed for side in report.sides] == [0, 3]
        kept = [row.row.cells[0] for row in report.rows]
        await backend.batches.go_on("ann", batch.id)
        await ended(backend, batch)
        again = (await backend.batches.report("ann", batch.id)).rows
        assert [row.row.cells[0] for row in again] == kept, "what was answered is not asked again"
        assert all(a.row.cells[1] != b.row.cells[1] for a, b in zip(report.rows, again, strict=True))
        assert [a.row.comparison_id for a in report.rows] == [b.row.comparison_id for b in again]


async def test_it_is_stopped_at_once_and_goes_on_where_it_was(tmp_path: Path) -> None:
    hanging: list[bool] = [True]

    def script(call: Call) -> Sequence[Item]:
        return ["half", Silence()] if hanging[0] and "Question 2?" in call.messages[-1].content else ["Paris"]

    async with running(tmp_path, ScriptedEngine(script), quotas=LOCAL) as backend:
        batch = await backend.batches.begin("ann", "q.jsonl", lines(5), [COLD, WARM])
        await answered(backend, batch, 4)
        stopped = await backend.batches.stop("ann", batch.id)
        assert (stopped.state, stopped.answered) == ("stopped", 4)
        hanging[0] = False
        await backend.batches.go_on("ann", batch.id)
        assert (await ended(backend, batch)).answered == 5
        report = await backend.batches.report("ann", batch.id)
        assert [cell.status for row in report.rows for cell in row.row.cells if cell] == ["done"] * 10


async def test_after_a_restart_it_goes_on_by_itself_and_answers_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.backend.service.DRAIN_S", 0.2)
    first = ScriptedEngine(
        lambda call: ["half", Silence()] if "Question 3?" in call.messages[-1].content else ["Paris"]
    )
    async with running(tmp_path, first, quotas=LOCAL, generation={"grace_s": 60}) as backend:
        batch = await backend.batches.begin("ann", "q.jsonl", lines(8), [COLD, WARM])
        await answered(backend, batch, 5)
    async with running(tmp_path, ScriptedEngine(says(["Rome"], ["Rome"])), quotas=LOCAL) as tomorrow:
        assert (await ended(tomorrow, batch)).answered == 8
        cells = [c for row in (await tomorrow.batches.report("ann", batch.id)).rows for c in row.row.cells if c]
        assert len(cells) == 16
        assert sum(cell.answer == "Paris" for cell in cells) >= 10


async def test_whatever_goes_wrong_when_it_begins_it_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_do = store.to_do

    def fails_once(db: sqlite_utils.Database, batch: Batch) -> None:
        monkeypatch.setattr(store, "to_do", to_do)
        raise ZeroDivisionError

    monkeypatch.setattr("app.backend.batches.service.AGAIN_S", 0.0)
    async with running(tmp_path, ScriptedEngine(says(["Paris."], ["Rome."])), quotas=LOCAL) as backend:
        monkeypatch.setattr(store, "to_do", fails_once)
        batch = await backend.batches.begin("ann", "capitals.jsonl", lines(2), [COLD, WARM])
        assert (await ended(backend, batch)).answered == 2


async def test_it_holds_half_of_its_owners_share_and_a_chat_goes_in_between(tmp_path: Path) -> None:
    quotas = {"local": {"running": 4, "queued": 4, "per_minute": 10_000, "per_day": 10_000}}
    gate = asyncio.Event()
    async with running(tmp_path, ScriptedEngine(lambda call: ["slow", gate, "."]), quotas=quotas) as backend:
        batch = await backend.batches.begin("ann", "q.txt", "One?\nTwo?\nThree?\nFour?", [COLD, WARM])
        async with asyncio.timeout(60):
            while len(backend.queue().visits) < 2:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)  # time to ask more, if it were to
        assert [(v.lane, v.state) for v in backend.queue().visits] == [("experiment", "running")] * 2
        ticket = await backend.ask("ann", await chat(backend), Question("Me?", "direct"))
        [mine] = [v for v in backend.queue().visits if v.generation_id == ticket.generation_id]
        assert mine.state == "running"
        gate.set()
        assert (await ended(backend, batch)).answered == 4


async def test_with_a_small_quota_its_sides_are_answered_one_after_the_other(tmp_path: Path) -> None:
    quotas = {"local": {"running": 2, "queued": 4, "per_minute": 10_000, "per_day": 10_000}}
    gate = asyncio.Event()
    async with running(tmp_path, ScriptedEngine(lambda call: ["slow", gate, "."]), quotas=quotas) as backend:
        batch = await backend.batches.begin("ann", "q.txt", "One?\nTwo?", [COLD, WARM])
        async with asyncio.timeout(60):
            while len(backend.queue().visits) < 2:
                await asyncio.sleep(0.01)
        await backend.ask("ann", await chat(backend), Question("Me?", "direct"))
        found = sorted((visit.lane, visit.state) for visit in backend.queue().visits)
        assert found == [("chat", "running"), ("experiment", "running"), ("experiment", "waiting")]
        gate.set()
        assert (await ended(backend, batch)).answered == 2


async def test_a_quota_that_is_used_up_makes_it_wait_and_say_so(tmp_path: Path) -> None:
    quotas = {"local": {"running": 8, "queued": 8, "per_minute": 4, "per_day": 10_000}}
    async with running(tmp_path, ScriptedEngine(), quotas=quotas) as backend:
        batch = await backend.batches.begin("ann", "q.txt", "One?\nTwo?\nThree?\nFour?", [COLD, WARM])
        async with asyncio.timeout(60):
            while "within a minute" not in backend.batches.progress("ann", batch).held:
                await asyncio.sleep(0.02)
        now = await backend.batches.stop("ann", batch.id)
        assert now.state == "stopped"
        assert 0 < now.answered < 4


async def test_a_report_is_made_once_for_all_who_look_and_none_of_a_chats_threads_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, str]] = []

    def counting(rows: Sequence[Row], sides: int, metric: str) -> Report:
        made.append((metric, threading.current_thread().name))
        return report(rows, sides, metric)

    monkeypatch.setattr(batch_reports, "report", counting)
    async with running(tmp_path, ScriptedEngine(says(["Paris"], ["Rome"])), quotas=LOCAL) as backend:
        batch = await ended(backend, await backend.batches.begin("ann", "q.jsonl", lines(3), [COLD, WARM]))
        found = await asyncio.gather(*(backend.batches.report("ann", batch.id, "em") for _ in range(20)))
        assert all(one is found[0] for one in found)
        assert made == [("em", "batch report")]
        await backend.batches.report("ann", batch.id, "f1")
        assert [metric for metric, _ in made] == ["em", "f1"]
        with pytest.raises(NotFound):
            await backend.batches.report("bob", batch.id, "em")
        await backend.delete_conversation("ann", found[0].rows[1].row.comparison_id)
        assert [side.answered for side in (await backend.batches.report("ann", batch.id, "em")).sides] == [2, 2]


async def test_a_bad_line_is_named_with_its_file_and_nothing_is_stored(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine()) as backend:
        for text, why in (
            (
                '{"question": "One?"}\n{"question": \n\n{"query": "Three?"}',
                "q.jsonl: Line 2 is not .*Line 4 has no text",
            ),
            ("[1, 2]", "Item 1 is no object"),
            ("", "has no questions"),
            ('{"question": "One?", "golden_answers": ["3"], "choices": ["a"]}', "Line 1: in multiple choice"),
            (json.dumps({"question": "x" * 10**6}), "Line 1: The question has"),
            (json.dumps({"question": "One?", "golden_answers": ["x"] * 21}), "Line 1 has 21 right answers"),
            (json.dumps({"question": "One?", "golden_answers": ["x" * 1001]}), "Line 1 has a right answer of more"),
            (lines(1) + '\n{"question": "\\ud800?"}', "Line 2 has half a character"),
            (json.dumps({"question": "One?", "golden_answers": ["\udfff"]}), "Line 1 has half a character"),
        ):
            with pytest.raises(BadInput, match=why):
                await backend.batches.begin("ann", "q.jsonl", text, [COLD, WARM])
        with pytest.raises(BadInput, match="more than 1,000"):
            await backend.batches.begin("ann", "q.txt", "Why?\n" * 1001, [COLD, WARM])
        with pytest.raises(BadInput, match=r"q\.txt: Line 2 has half a character"):
            await backend.batches.begin("ann", "q.txt", "Why?\nHow \ud800?", [COLD, WARM])
        with pytest.raises(BadInput, match="2 to 4 sides"):
            await backend.batches.begin("ann", "q.txt", "Why?", [COLD])
        assert await backend.batches.listing("ann") == ()


async def test_it_is_its_owners_alone_and_goes_with_all_that_was_made_for_it(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine(), quotas=LOCAL) as backend:
        batch = await backend.batches.begin("ann", "q.txt", "One?\nTwo?", [COLD, WARM])
        await ended(backend, batch)
        batches = backend.batches
        for call in (batches.get, batches.report, batches.version, batches.stop, batches.go_on, batches.delete):
            said = []
            for batch_id in (batch.id, "0" * 32):
                with pytest.raises(NotFound) as refused:
                    await call("bob", batch_id)
                said.append(refused.value.message)
            assert said[0] == said[1]
        comparisons = [row.row.comparison_id for row in (await batches.report("ann", batch.id)).rows]
        await batches.delete("ann", batch.id)
        assert await batches.listing("ann") == ()
        for comparison in comparisons:
            with pytest.raises(ColloquyError):
                await backend.comparisons.get("ann", comparison)
