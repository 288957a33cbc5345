"""What the ratings read of the votes.

Invariant: only votes that count are read, and of who cast them nothing; a question is given to who asked it alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from sqlite_utils import Database

from app.backend.arena.battles import Battle, Entry, fought
from app.backend.storage import rows

NEWEST = 20_000
"""So many battles are rated; a vote on four sides makes up to six."""
Version = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Cast:
    """What who cast a vote may see of it; no `comparison_id` when the comparison is gone."""

    question: str = ""
    comparison_id: str = ""


def version(db: Database) -> Version:
    """Changes with every vote that counts: how many there are, and when the newest was cast."""
    count, newest = db.execute("SELECT count(*), max(created_at) FROM votes WHERE counted").fetchone()
    return int(count), newest or ""


def battles(db: Database) -> tuple[Version, tuple[Battle, ...]]:
    """What the votes that count come to, oldest first, with their version (or an older one: it is read first); of very
    many votes the newest.
    """
    sql = """SELECT s.*, v.winner, v.corpus AS about, v.language, v.judge, v.blind, v.created_at
        FROM (SELECT * FROM votes WHERE counted ORDER BY created_at DESC LIMIT ?) v
        JOIN vote_sides s ON s.vote_id = v.id ORDER BY v.created_at, v.id, s.letter"""
    read, found = version(db), list[Battle]()
    for vote_id, sides in groupby(db.query(sql, [NEWEST]), key=lambda side: str(side["vote_id"])):
        stood = list(sides)
        vote, at = stood[0], rows.seconds(stood[0]["created_at"])
        entries = [(s["letter"], Entry(s["contender"], s["chars"], s["citations"], s["total_ms"])) for s in stood]
        found += [
            Battle(
                vote_id, left, right, outcome, vote["about"], vote["language"], vote["judge"], bool(vote["blind"]), at
            )
            for left, right, outcome in fought(vote["winner"], entries)
        ]
    cut = max(0, len(found) - NEWEST)
    while 0 < cut < len(found) and found[cut].vote_id == found[cut - 1].vote_id:  # a vote goes whole
        cut += 1
    return read, tuple(found[cut:])


def own(db: Database, owner: str, vote_ids: Sequence[str]) -> dict[str, Cast]:
    """Of these votes, those that the owner cast."""
    sql = f"""SELECT v.id, v.question, CASE WHEN c.id IS NULL THEN '' ELSE v.comparison_id END AS comparison_id
        FROM votes v LEFT JOIN conversations c ON c.id = v.comparison_id AND c.deleted_at IS NULL
        WHERE v.owner = ? AND v.id IN ({", ".join("?" * len(vote_ids))})"""  # noqa: S608 - only placeholders are put in
    return {r["id"]: Cast(r["question"], r["comparison_id"]) for r in db.query(sql, [owner, *vote_ids])}
