"""Votes in SQLite. A vote keeps its own copy of all that ratings need.

Invariant: one vote a comparison at most; a vote stays when its conversation goes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlite_utils import Database

from app.backend import text
from app.backend.records import Comparison, Vote
from app.backend.storage import rows


def of(db: Database, comparison_id: str, generation_ids: Sequence[str]) -> Vote | None:
    """The vote on a comparison whose columns hold these answers now."""
    row = next(db.query("SELECT * FROM votes WHERE comparison_id = ?", [comparison_id]), None)
    if row is None:
        return None
    sql = "SELECT generation_id FROM vote_sides WHERE vote_id = ? ORDER BY letter"
    about = [side["generation_id"] for side in db.query(sql, [row["id"]])]
    return Vote(
        row["winner"],
        tuple(json.loads(row["tags"])),
        row["comment"],
        bool(row["counted"]),
        row["why_not"],
        about != list(generation_ids),
    )


def counted_since(db: Database, owner: str, at: str, but: str) -> int:
    """How many votes of an owner count since then, without the one on the comparison `but`."""
    sql = "SELECT count(*) FROM votes WHERE owner = ? AND created_at >= ? AND counted AND comparison_id != ?"
    (found,) = db.execute(sql, [owner, at, but]).fetchone()
    return int(found)


def cast(db: Database, owner: str, comparison: Comparison, vote: Vote, contenders: Sequence[str]) -> None:
    """Store a vote in place of the one that was there; `contenders` are the columns' names in the ratings."""
    db.execute("DELETE FROM votes WHERE comparison_id = ?", [comparison.id])
    vote_id = rows.new_id()
    corpora = {column.generation.corpus for column in comparison.columns if column.generation.passages}
    db.table("votes").insert(
        {
            "id": vote_id,
            "comparison_id": comparison.id,
            "owner": owner,
            "winner": vote.winner,
            "tags": rows.dumps(vote.tags),
            "comment": vote.comment,
            "counted": int(vote.counted),
            "why_not": vote.why_not,
            "question": comparison.question,
            "corpus": corpora.pop() if len(corpora) == 1 else "",
            "language": text.language(comparison.question),
            "blind": int(comparison.blind),
            "created_at": rows.now(),
        }
    )
    db.table("vote_sides").insert_all(
        {
            "vote_id": vote_id,
            "letter": column.letter,
            "contender": name,
            "pipeline": column.generation.pipeline,
            "corpus": column.generation.corpus,
            "params": rows.dumps(dict(column.generation.params)),
            "model": column.generation.model,
            "chars": len(column.generation.answer),
            "citations": len(column.generation.citations),
            "total_ms": column.generation.timings_ms.get("total", 0.0),
            "generation_id": column.generation.id,
        }
        for column, name in zip(comparison.columns, contenders, strict=True)
    )
