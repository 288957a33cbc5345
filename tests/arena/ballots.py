"""Votes as they lie in the database, for tests that need many and have nobody to cast them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from sqlite_utils import Database

from app.backend.storage import rows

_moments = count(1_700_000_000)


def cast(
    db: Database,
    winner: str,
    contenders: Sequence[str],
    *,
    owner: str = "guest-1",
    question: str = "Who built it?",
    corpus: str = "shelf",
    language: str = "en",
    judge: str = "human",
    blind: bool = True,
    counted: bool = True,
    ms: Sequence[float] = (1000.0, 2000.0, 3000.0, 4000.0),
    model: str = "m",
) -> str:
    """A vote on columns a, b ...; the id of its comparison, which there need not be."""
    vote, comparison = rows.new_id(), rows.new_id()
    row = {"owner": owner, "winner": winner, "judge": judge, "counted": int(counted), "question": question}
    row |= {"corpus": corpus, "language": language, "blind": int(blind), "created_at": rows.iso(next(_moments))}
    db.table("votes").insert({"id": vote, "comparison_id": comparison, **row})
    db.table("vote_sides").insert_all(
        {"vote_id": vote, "letter": letter, "contender": name, "pipeline": name.partition("(")[0], "corpus": corpus}
        | {"params": "{}", "model": model, "chars": 300, "citations": 2, "total_ms": took, "generation_id": ""}
        for letter, name, took in zip("abcd", contenders, ms, strict=False)
    )
    return comparison


def series(db: Database, one: str, other: str, won: int, lost: int, **fields: object) -> None:
    """So many votes for one of two, then so many for the other."""
    for n in range(won + lost):
        cast(db, "a" if n < won else "b", (one, other), **fields)  # type: ignore[arg-type]
