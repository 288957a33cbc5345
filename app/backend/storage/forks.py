"""Copies of what a link shows, in the space of whoever has the link.

Invariant: a copy shares nothing with its original; every copied answer has a log of its own that comes to the same, and
says that the steps are not in it, of which a snapshot knows nothing.
"""

from __future__ import annotations

from dataclasses import replace

from sqlite_utils import Database

from app.backend.digest import Digest
from app.backend.events import Copied, Done, Event, Failed, Recorded, Retrieved, Stopped, Terminal, Token
from app.backend.records import Generation
from app.backend.shares.snapshots import SharedTurn, Snapshot
from app.backend.storage import conversations, generations, rows
from app.backend.storage.generations import Begun, Plan


def fork(db: Database, owner: str, shown: Snapshot, settings: str) -> str:
    """Copy a snapshot, all of whose answers have ended; the conversation's id."""
    conversation_id = conversations.create(db, owner).id
    parent = ""
    answers: list[str] = []
    for turn in shown.turns:
        parent, answers = _copied(db, owner, conversation_id, parent, turn, settings)
    change = {"title": shown.title, "kind": shown.kind, "copied": 1, "updated_at": rows.now()}
    db.table("conversations").update(conversation_id, change)
    if shown.kind == "comparison":
        comparison = {"id": conversation_id, "blind": 0, "revealed": 1, "copied": 1, "created_at": rows.now()}
        db.table("comparisons").insert(comparison)
        columns = enumerate(answers)
        db.table("comparison_columns").insert_all(
            {"comparison_id": conversation_id, "position": n, "generation_id": answer} for n, answer in columns
        )
    return conversation_id


def ask_again(db: Database, owner: str, before: Snapshot, question: str, plan: Plan, history_turns: int) -> Begun:
    """Begin to answer a shared question once more, in a copy of what came before it."""
    conversation_id = fork(db, owner, before, plan.settings)
    return generations.add_turn(db, owner, conversation_id, None, question, plan, history_turns)


def _copied(
    db: Database, owner: str, conversation_id: str, parent: str, turn: SharedTurn, settings: str
) -> tuple[str, list[str]]:
    """Copy a turn; its id and those of its answers."""
    turn_id = ""
    answers: list[str] = []
    for answer in turn.answers:
        made = (answer.corpus_version, answer.seed, answer.engine)
        plan = Plan(answer.pipeline, answer.corpus, answer.params, answer.model, settings, *made)
        if answers:
            begun = generations.add_alternative(db, owner, answers[0], plan, 0)
        else:
            begun = generations.add_turn(db, owner, conversation_id, parent, turn.question, plan, 0)
            turn_id = begun.turn_id
        log = _log(answer, begun.generation_id)
        digest = replace(Digest.of(log), timings_ms=answer.timings_ms)  # a failure tells none
        generations.finish(db, begun.generation_id, log, digest)
        db.table("generations").update(begun.generation_id, _times(answer))
        answers.append(begun.generation_id)
    db.table("turns").update(turn_id, {"chosen_id": answers[0]})
    return turn_id, answers


def _log(answer: Generation, generation_id: str) -> list[Recorded]:
    """The shortest log that comes to this answer."""
    found: list[Event] = [Copied(answer.searches, answer.search_query)]
    if answer.passages:
        found.append(Retrieved(answer.passages, answer.timings_ms.get("retrieve", 0.0)))
    found += answer.degraded
    if answer.answer:
        found.append(Token(answer.answer))
    return [Recorded(seq, 0.0, event) for seq, event in enumerate([*found, _end(answer, generation_id)], 1)]


def _times(answer: Generation) -> dict[str, str | None]:
    times = {"created_at": answer.created_at, "started_at": answer.started_at, "finished_at": answer.finished_at}
    return {name: None if at is None else rows.iso(at) for name, at in times.items()}


def _end(answer: Generation, generation_id: str) -> Terminal:
    match answer.status:
        case "done":
            return Done(answer.answer, answer.citations, answer.usage, answer.timings_ms)
        case "stopped":
            return Stopped(answer.answer, "", answer.usage, answer.timings_ms, answer.citations)
        case _:
            code = answer.error_code or "error"
            return Failed(code, answer.error_message, answer.answer, id=generation_id, citations=answer.citations)
