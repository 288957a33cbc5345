"""What research gets: all votes, the conversations of those who agreed, and nobody's name."""

from __future__ import annotations

import json
import sqlite3
import stat
from pathlib import Path

import pytest

from app import cli
from app.backend.engines.scripted import ScriptedEngine
from app.backend.records import Side
from app.backend.service import Backend, Question
from app.backend.storage import research
from tests.doubles import running

pytestmark = pytest.mark.anyio

ANN, BOB = "user-annsid", "guest-bobsid"


async def asked(backend: Backend, owner: str, *questions: str) -> str:
    conversation = (await backend.create_conversation(owner)).id
    for question in questions:
        ticket = await backend.ask(owner, conversation, Question(question))
        [r async for r in backend.events(owner, ticket.generation_id)]
    return conversation


async def voted(backend: Backend, owner: str) -> str:
    sides = (Side("naive"), Side("direct"))
    ticket = await backend.comparisons.begin(owner, "Which is it?", sides)
    for generation_id in ticket.generation_ids:
        [r async for r in backend.events(owner, generation_id)]
    await backend.comparisons.vote(owner, ticket.comparison_id, "a", ("clear",), "Better.")
    return ticket.comparison_id


def exported(folder: Path) -> list[dict[str, object]]:
    return list(research.lines(folder / "colloquy.db"))


def left_behind(folder: Path) -> list[Path]:
    return list(folder.glob(".votes*"))


async def test_votes_of_all_and_conversations_of_those_who_agreed(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine()) as backend:
        await asked(backend, ANN, "Anns question?", "And then?")
        await asked(backend, BOB, "Bobs question?")
        comparison = await voted(backend, BOB)
        assert [line["type"] for line in exported(tmp_path)] == ["vote"]
        await backend.shares.consent(ANN, True)
        vote, talk = exported(tmp_path)
        assert (vote["winner"], vote["question"]) == ("a", "Which is it?")
        assert [side["pipeline"] for side in vote["sides"]] == ["naive", "direct"]
        assert [turn["question"] for turn in talk["turns"]] == ["Anns question?", "And then?"]
        assert [turn["parent"] for turn in talk["turns"]] == [None, 0]
        text = json.dumps([vote, talk])
        assert "Bobs question?" not in text
        for name in (ANN, BOB, "annsid", "bobsid", comparison):
            assert name not in text
        assert vote["person"] != talk["person"]


async def test_a_person_has_one_number_in_a_file_and_another_in_the_next(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine()) as backend:
        await backend.shares.consent(ANN, True)
        await asked(backend, ANN, "One?")
        await asked(backend, ANN, "Two?")
        first, second = exported(tmp_path), exported(tmp_path)
        assert len({str(line["person"]) for line in first}) == 1
        assert first[0]["person"] != second[0]["person"]


async def test_consent_taken_back_and_conversations_deleted_are_not_given(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine()) as backend:
        await backend.shares.consent(ANN, True)
        gone, kept = await asked(backend, ANN, "Gone?"), await asked(backend, ANN, "Kept?")
        await backend.delete_conversation(ANN, gone)
        assert [line["turns"][0]["question"] for line in exported(tmp_path)] == ["Kept?"]
        await backend.shares.consent(ANN, False)
        assert exported(tmp_path) == []
        assert kept


async def test_what_was_copied_from_somebody_who_did_not_agree_is_not_given(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine()) as backend:
        await backend.shares.consent(ANN, True)
        token = (await backend.shares.publish(BOB, await asked(backend, BOB, "Bobs one?", "Bobs two?"))).token
        copy = await backend.shares.fork(token, ANN)
        for key in ("1", "2"):
            again = await backend.shares.again(token, key, ANN)
            [r async for r in backend.events(ANN, again.generation_id)]
        assert exported(tmp_path) == []
        ticket = await backend.ask(ANN, copy, Question("And then?"))
        [r async for r in backend.events(ANN, ticket.generation_id)]
        assert exported(tmp_path) == [], "what came of it tells of it"
        await asked(backend, ANN, "Anns own?")
        assert [line["turns"][0]["question"] for line in exported(tmp_path)] == ["Anns own?"]


async def test_copies_that_were_made_before_there_was_a_mark_are_not_given(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine()) as backend:
        await backend.shares.consent(ANN, True)
        token = (await backend.shares.publish(BOB, await asked(backend, BOB, "Bobs?"))).token
        await backend.shares.fork(token, ANN)
        await asked(backend, ANN, "Anns?")
    with sqlite3.connect(tmp_path / "colloquy.db") as db:  # as it was before
        db.execute("ALTER TABLE conversations DROP COLUMN copied")
        db.execute("DELETE FROM _sqlite_migrations WHERE name = 'm015_copied_conversations'")
    async with running(tmp_path, ScriptedEngine()):
        assert [line["turns"][0]["question"] for line in exported(tmp_path)] == ["Anns?"]


async def test_the_command_writes_a_private_file_and_never_over_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(tmp_path, ScriptedEngine()) as backend:
        await voted(backend, ANN)
    target = tmp_path / "votes.jsonl"
    assert cli.run(["export", str(target), "--data", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["votes"], told["conversations"]) == (1, 0)
    assert len(target.read_text(encoding="utf-8").splitlines()) == 1
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert cli.run(["export", str(target), "--data", str(tmp_path)]) == 2
    assert cli.run(["export", str(target), "--data", str(tmp_path), "--force"]) == 0
    assert cli.run(["export", str(tmp_path / "x.jsonl"), "--data", str(tmp_path / "nowhere")]) == 2
    assert left_behind(tmp_path) == []
