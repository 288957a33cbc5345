"""Turns, their answers and the event log in SQLite. Ownership is part of every query that starts from outside."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sqlite_utils import Database

from app.backend import events
from app.backend.digest import Digest
from app.backend.errors import BadInput, NotFound
from app.backend.events import Failed, Recorded
from app.backend.records import Generation
from app.backend.storage import rows, veil
from app.backend.storage.conversations import owned
from app.backend.storage.rows import Row
from app.backend.types import Citation, Exchange, Params

INTERRUPTED = Failed("interrupted", "The server stopped while this was being answered.")
BROKEN_OFF = 1_000_000_000
"""The number of the end that `recover` writes: more than any that somebody read and that never came to the disk."""
TITLE_CHARS = 60


@dataclass(frozen=True, slots=True)
class Plan:
    """How an answer is to be made. `settings` is the server's, as JSON with secrets masked."""

    pipeline: str
    corpus: str
    params: Params
    model: str
    settings: str
    corpus_version: str = ""
    seed: int | None = None
    engine: str = ""


@dataclass(frozen=True, slots=True)
class Begun:
    """A stored question with an answer to come; `history` is oldest first."""

    conversation_id: str
    turn_id: str
    generation_id: str
    question: str
    history: tuple[Exchange, ...]


def add_turn(
    db: Database, owner: str, conversation_id: str, parent_id: str | None, question: str, plan: Plan, history_turns: int
) -> Begun:
    """Append a question, begin its answer. `parent_id` None follows the branch that is shown, "" is the root."""
    conversation = owned(db, owner, conversation_id)
    _check_chat(conversation)
    parent = conversation["leaf_id"] if parent_id is None else parent_id or None
    if (
        parent_id
        and not db.execute(
            "SELECT 1 FROM turns WHERE id = ? AND conversation_id = ?", [parent_id, conversation_id]
        ).fetchone()
    ):
        raise NotFound("There is no such turn in this conversation.")
    turn_id = rows.new_id()
    db.table("turns").insert(
        {
            "id": turn_id,
            "conversation_id": conversation_id,
            "parent_id": parent,
            "question": question,
            "created_at": rows.now(),
        }
    )
    db.execute("INSERT INTO search VALUES (?, ?, ?)", [question, conversation_id, turn_id])
    named = conversation["title"] or title(question)
    db.table("conversations").update(conversation_id, {"leaf_id": turn_id, "title": named})
    return begin(db, conversation_id, turn_id, plan, history_turns)


def add_alternative(db: Database, owner: str, generation_id: str, plan: Plan, history_turns: int) -> Begun:
    """Begin another answer to the question that `generation_id` answers."""
    row = _owned(db, owner, generation_id)
    _check_chat(row)
    return begin(db, row["conversation_id"], row["turn_id"], plan, history_turns)


def begin(db: Database, conversation_id: str, turn_id: str, plan: Plan, history_turns: int) -> Begun:
    """Begin an answer to a turn that is there, and show it."""
    generation_id, at = rows.new_id(), rows.now()
    settings_id = hashlib.sha256(plan.settings.encode()).hexdigest()[:16]
    db.execute("INSERT OR IGNORE INTO settings VALUES (?, ?, ?)", [settings_id, plan.settings, at])
    db.table("generations").insert(
        {
            "id": generation_id,
            "turn_id": turn_id,
            "pipeline": plan.pipeline,
            "corpus": plan.corpus,
            "params": rows.dumps(dict(plan.params)),
            "engine": plan.engine,
            "model": plan.model,
            "corpus_version": plan.corpus_version,
            "seed": plan.seed,
            "settings_id": settings_id,
            "status": "queued",
            "created_at": at,
        }
    )
    db.table("turns").update(turn_id, {"chosen_id": generation_id})
    db.table("conversations").update(conversation_id, {"updated_at": at})
    question = db.table("turns").get(turn_id)["question"]
    return Begun(conversation_id, turn_id, generation_id, question, _history(db, turn_id, history_turns))


def _history(db: Database, turn_id: str, limit: int) -> tuple[Exchange, ...]:
    """The answered questions before a turn, on its own branch, the last `limit` of them."""
    sql = """
        WITH RECURSIVE path(id, parent_id, depth) AS (
            SELECT id, parent_id, 0 FROM turns WHERE id = ?
            UNION ALL SELECT t.id, t.parent_id, depth + 1 FROM turns t JOIN path ON t.id = path.parent_id)
        SELECT t.question, g.answer FROM path JOIN turns t ON t.id = path.id JOIN generations g ON g.id = t.chosen_id
        WHERE depth > 0 AND g.answer != '' AND g.status IN ('done', 'stopped') ORDER BY depth LIMIT ?"""
    return tuple(Exchange(r["question"], r["answer"]) for r in db.query(sql, [turn_id, limit]))[::-1]


def title(question: str) -> str:
    """What a conversation is called that begins with it."""
    line = " ".join(question.split())
    return line if len(line) <= TITLE_CHARS else line[: TITLE_CHARS - 1].rstrip() + "…"


def _check_chat(row: Row) -> None:
    if row["kind"] != "chat":
        raise BadInput("This is a comparison: run its columns again there, or ask in a new conversation.")


def in_chat(db: Database, owner: str, generation_id: str) -> Generation:
    """As `get`; raises BadInput for an answer in a comparison."""
    _check_chat(_owned(db, owner, generation_id))
    return get(db, owner, generation_id)


def get(db: Database, owner: str, generation_id: str) -> Generation:
    return veil.generation(db, _owned(db, owner, generation_id))


def _owned(db: Database, owner: str, generation_id: str) -> Row:
    sql = """SELECT g.*, t.conversation_id, c.kind FROM generations g JOIN turns t ON t.id = g.turn_id
        JOIN conversations c ON c.id = t.conversation_id WHERE g.id = ? AND c.owner = ? AND c.deleted_at IS NULL"""
    row: Row | None = next(db.query(sql, [generation_id, owner]), None)
    if row is None:
        owners = """SELECT c.owner FROM generations g JOIN turns t ON t.id = g.turn_id
            JOIN conversations c ON c.id = t.conversation_id WHERE g.id = ?"""
        raise rows.missing(db, owner, owners, generation_id, "There is no such answer.")
    return row


def choose(db: Database, owner: str, generation_id: str) -> None:
    """Show this alternative of its turn, and build on it."""
    row = _owned(db, owner, generation_id)
    db.table("turns").update(row["turn_id"], {"chosen_id": generation_id})


def append(db: Database, generation_id: str, recorded: Sequence[Recorded]) -> None:
    """Write events of the log, unless it was deleted; the first `Started` marks the generation as running."""
    if not _is_there(db, generation_id):
        return
    db.table("events").insert_all(
        {
            "generation_id": generation_id,
            "seq": r.seq,
            "at_ms": r.at_ms,
            "kind": r.event.kind,
            "data": rows.dumps(events.to_json(r.event)),
        }
        for r in recorded
    )
    if any(isinstance(r.event, events.Started) for r in recorded):
        db.table("generations").update(generation_id, {"status": "running", "started_at": rows.now()})


def log(db: Database, owner: str, generation_id: str, after: int) -> list[Recorded]:
    """The events with a higher `seq` than `after`, of a generation of this owner.

    A crash may have cut the log shorter than it was read: then its end comes next, whatever number that has.
    """
    interrupted = _owned(db, owner, generation_id)["status"] == "interrupted"
    recorded = veil.recorded(db, generation_id, _log(db, generation_id))
    if interrupted and after > recorded[-1].seq:
        return recorded[-1:]
    return [r for r in recorded if r.seq > after]


def _log(db: Database, generation_id: str) -> list[Recorded]:
    sql = "SELECT * FROM events WHERE generation_id = ? ORDER BY seq"
    return [
        Recorded(r["seq"], r["at_ms"], events.from_json(r["kind"], json.loads(r["data"])))
        for r in db.query(sql, [generation_id])
    ]


def finish(db: Database, generation_id: str, last: Sequence[Recorded], digest: Digest) -> None:
    """Write the end of a log, and what all of it comes to, so that nobody has to read the log to see the answer.

    Of an answer that was deleted with its conversation meanwhile nothing is kept.
    """
    if not _is_there(db, generation_id):
        return
    append(db, generation_id, last)
    usage = digest.usage
    db.table("generations").update(
        generation_id,
        {
            "status": digest.status,
            "answer": digest.answer,
            "search_query": digest.search_query,
            "error_code": digest.error_code,
            "error_message": digest.error_message,
            "prompt_tokens": usage.prompt_tokens,
            "cached_tokens": usage.cached_tokens,
            "completion_tokens": usage.completion_tokens,
            "engine_calls": usage.engine_calls,
            "engine_ms": usage.engine_ms,
            "finished_at": rows.now(),
        },
    )
    db.table("timings").insert_all(
        {"generation_id": generation_id, "stage": stage, "ms": round(ms, 1)} for stage, ms in digest.timings_ms.items()
    )
    db.table("passages").insert_all(
        {
            "generation_id": generation_id,
            "n": n,
            "passage_id": p.id,
            "corpus": p.corpus,
            "title": p.title,
            "text": p.text,
            "score": p.score,
        }
        for n, p in enumerate(digest.passages, 1)
    )
    db.table("citations").insert_all(
        {
            "generation_id": generation_id,
            "position": position,
            "n": c.n,
            "passage_id": c.passage_id,
            "cited_by": c.by,
            "sentence_start": c.sentence[0],
            "sentence_end": c.sentence[1],
            "spans": rows.dumps(c.spans),
        }
        for position, c in enumerate(digest.citations, 1)
    )
    if digest.answer:
        db.execute(
            """INSERT INTO search SELECT ?, t.conversation_id, t.id
            FROM generations g JOIN turns t ON t.id = g.turn_id WHERE g.id = ?""",
            [digest.answer, generation_id],
        )


def _is_there(db: Database, generation_id: str) -> bool:
    return db.execute("SELECT 1 FROM generations WHERE id = ?", [generation_id]).fetchone() is not None


def asked_since(db: Database, at: str) -> dict[str, int]:
    """How many answers each owner has asked for since then."""
    sql = """SELECT c.owner, count(*) AS asked FROM generations g JOIN turns t ON t.id = g.turn_id
        JOIN conversations c ON c.id = t.conversation_id WHERE g.created_at >= ? GROUP BY c.owner"""
    return {r["owner"]: r["asked"] for r in db.query(sql, [at])}


def recover(db: Database, cite: Callable[[Digest, Params], tuple[Citation, ...]]) -> int:
    """Mark what was running when the last process died, keeping its partial text, with what that rests on; returns how
    many there were.
    """
    unfinished = list(db.query("SELECT id, params FROM generations WHERE status IN ('queued', 'running')"))
    for row in unfinished:
        generation_id = row["id"]
        recorded = _log(db, generation_id)
        digest = Digest.of(recorded)
        at_ms = recorded[-1].at_ms if recorded else 0.0
        citations = cite(digest, json.loads(row["params"]))
        broken = replace(INTERRUPTED, answer=digest.answer, id=generation_id, citations=citations)
        end = Recorded(BROKEN_OFF, at_ms, broken)
        finish(db, generation_id, [end], digest.with_event(end))
    return len(unfinished)
