"""Comparisons in SQLite: conversations of one turn, whose answers are the columns.

Invariant: every function that starts from outside names the owner; a column always holds an answer to the comparison's
question.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlite_utils import Database

from app.backend.errors import NotFound
from app.backend.records import Column, Comparison, ComparisonLine
from app.backend.storage import generations, rows, votes
from app.backend.storage.generations import Begun, Plan
from app.backend.storage.rows import Row, seconds

LETTERS = "abcd"


def begin(db: Database, owner: str, question: str, plans: Sequence[Plan], blind: bool) -> tuple[Begun, ...]:
    """Store a question with an answer to come for each plan, in the order of the columns."""
    at, comparison_id, turn_id = rows.now(), rows.new_id(), rows.new_id()
    db.table("conversations").insert(
        {
            "id": comparison_id,
            "owner": owner,
            "kind": "comparison",
            "title": generations.title(question),
            "leaf_id": turn_id,
            "created_at": at,
            "updated_at": at,
        }
    )
    db.table("turns").insert({"id": turn_id, "conversation_id": comparison_id, "question": question, "created_at": at})
    db.execute("INSERT INTO search VALUES (?, ?, ?)", [question, comparison_id, turn_id])
    db.table("comparisons").insert({"id": comparison_id, "blind": int(blind), "revealed": 0, "created_at": at})
    begun = tuple(generations.begin(db, comparison_id, turn_id, plan, 0) for plan in plans)
    db.table("comparison_columns").insert_all(
        {"comparison_id": comparison_id, "position": position, "generation_id": one.generation_id}
        for position, one in enumerate(begun)
    )
    return begun


def standing(db: Database, owner: str, comparison_id: str, letter: str) -> Row:
    """The answer that stands in a column. Raises NotFound."""
    _owned(db, owner, comparison_id)
    sql = """SELECT g.* FROM comparison_columns k JOIN generations g ON g.id = k.generation_id
        WHERE k.comparison_id = ? AND k.position = ?"""
    row: Row | None = next(db.query(sql, [comparison_id, _position(letter)]), None)
    if row is None:
        raise NotFound("There is no such column.")
    return row


def replace(db: Database, owner: str, comparison_id: str, letter: str, plan: Plan) -> Begun:
    """Begin another answer in a column; the one that stood there stays in the conversation."""
    turn_id = standing(db, owner, comparison_id, letter)["turn_id"]
    begun = generations.begin(db, comparison_id, turn_id, plan, 0)
    db.execute(
        "UPDATE comparison_columns SET generation_id = ? WHERE comparison_id = ? AND position = ?",
        [begun.generation_id, comparison_id, _position(letter)],
    )
    return begun


def get(db: Database, owner: str, comparison_id: str) -> Comparison:
    """All of it, also what it hides. Raises NotFound."""
    row = _owned(db, owner, comparison_id)
    sql = """SELECT g.*, k.position FROM comparison_columns k JOIN generations g ON g.id = k.generation_id
        WHERE k.comparison_id = ? ORDER BY k.position"""
    columns = tuple(
        Column(LETTERS[g["position"]], rows.generation(db, g)) for g in list(db.query(sql, [comparison_id]))
    )
    (question,) = db.execute("SELECT question FROM turns WHERE conversation_id = ?", [comparison_id]).fetchone()
    return Comparison(
        comparison_id,
        question,
        bool(row["blind"]),
        bool(row["revealed"]),
        columns,
        votes.of(db, comparison_id, [column.generation.id for column in columns]),
        seconds(row["created_at"]),
        bool(row["copied"]),
        row["batch_id"] or "",
    )


def reveal(db: Database, comparison_id: str) -> None:
    db.execute("UPDATE comparisons SET revealed = 1 WHERE id = ?", [comparison_id])


def listing(db: Database, owner: str, limit: int) -> tuple[ComparisonLine, ...]:
    """Newest first, without those of batches."""
    sql = """SELECT c.id, c.created_at, t.question, m.blind, m.blind AND NOT m.revealed AS hidden, v.winner,
            (SELECT group_concat(pipeline, '\n') FROM (SELECT g.pipeline FROM comparison_columns k
                JOIN generations g ON g.id = k.generation_id WHERE k.comparison_id = c.id ORDER BY k.position)) AS made
        FROM conversations c JOIN comparisons m ON m.id = c.id JOIN turns t ON t.conversation_id = c.id
        LEFT JOIN votes v ON v.comparison_id = c.id
        WHERE c.owner = ? AND c.deleted_at IS NULL AND c.batch_id IS NULL
        ORDER BY c.created_at DESC, c.rowid DESC LIMIT ?"""
    return tuple(
        ComparisonLine(
            r["id"],
            r["question"],
            bool(r["blind"]),
            () if r["hidden"] else tuple(r["made"].split("\n")),
            r["winner"],
            seconds(r["created_at"]),
        )
        for r in db.query(sql, [owner, limit])
    )


def _position(letter: str) -> int:
    """-1 for what is no letter of a column."""
    return LETTERS.find(letter) if len(letter) == 1 else -1


def _owned(db: Database, owner: str, comparison_id: str) -> Row:
    sql = """SELECT m.*, c.batch_id FROM comparisons m JOIN conversations c ON c.id = m.id
        WHERE m.id = ? AND c.owner = ? AND c.deleted_at IS NULL"""
    row: Row | None = next(db.query(sql, [comparison_id, owner]), None)
    if row is None:
        owners = "SELECT owner FROM conversations WHERE id = ?"
        raise rows.missing(db, owner, owners, comparison_id, "There is no such comparison.")
    return row
