"""What the ratings read of the votes, and of what models said of the answers of batches.

Invariant: only votes that count are read, and of who cast them nothing; a question is given to who asked it alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from sqlite_utils import Database

from app.backend.arena.battles import Battle, Entry, fought
from app.backend.comparing.contenders import told_apart
from app.backend.storage import rows

NEWEST = 20_000
"""So many battles are rated; a vote on four sides makes up to six."""
_JUDGED = """SELECT j.*, l.pipeline AS left_pipeline, l.model AS left_model, r.pipeline AS right_pipeline,
    r.model AS right_model FROM judgements j LEFT JOIN generations l ON l.id = j.left_generation_id
    LEFT JOIN generations r ON r.id = j.right_generation_id
    WHERE j.outcome IS NOT NULL AND j.left_contender <> j.right_contender ORDER BY j.created_at DESC LIMIT ?"""
Version = tuple[int, str, int, str]


@dataclass(frozen=True, slots=True)
class Cast:
    """What who cast a vote may see of it; no `comparison_id` when the comparison is gone."""

    question: str = ""
    comparison_id: str = ""


def version(db: Database) -> Version:
    """Changes with every vote that counts and every judgement: how many there are, and when the newest was cast."""
    votes, voted_at = db.execute("SELECT count(*), max(created_at) FROM votes WHERE counted").fetchone()
    judged, judged_at = db.execute("SELECT count(*), max(created_at) FROM judgements").fetchone()
    return int(votes), voted_at or "", int(judged), judged_at or ""


def battles(db: Database) -> tuple[Version, tuple[Battle, ...]]:
    """What the votes that count come to, oldest first, with their version (or an older one: it is read first); of very
    many votes the newest. On another model a method is another contender: of several models each name tells its own.
    """
    sql = """SELECT s.*, v.winner, v.corpus AS about, v.language, v.judge, v.blind, v.created_at
        FROM (SELECT * FROM votes WHERE counted ORDER BY created_at DESC LIMIT ?) v
        JOIN vote_sides s ON s.vote_id = v.id ORDER BY v.created_at, v.id, s.letter"""
    read, found = version(db), list[Battle]()
    cast, judged = list(db.query(sql, [NEWEST])), list(db.query(_JUDGED, [NEWEST]))
    models = {s["model"] for s in cast} | {j[f"{side}_model"] for j in judged for side in ("left", "right")}
    several = len(models - {"", None}) > 1
    for vote_id, sides in groupby(cast, key=lambda side: str(side["vote_id"])):
        stood = list(sides)
        vote, at = stood[0], rows.seconds(stood[0]["created_at"])
        entries = [(s["letter"], _entry(s, several)) for s in stood]
        found += [
            Battle(
                vote_id, left, right, outcome, vote["about"], vote["language"], vote["judge"], bool(vote["blind"]), at
            )
            for left, right, outcome in fought(vote["winner"], entries)
        ]
    cut = max(0, len(found) - NEWEST)
    while 0 < cut < len(found) and found[cut].vote_id == found[cut - 1].vote_id:  # a vote goes whole
        cut += 1
    return read, (*found[cut:], *(_judged(row, several) for row in reversed(judged)))


def _judged(row: rows.Row, several: bool) -> Battle:
    """A judgement. Those of one question are one vote."""
    return Battle(
        f"{row['batch_id']}-{row['position']}",
        _entry(row, several, "left_"),
        _entry(row, several, "right_"),
        row["outcome"],
        row["corpus"],
        row["language"],
        "model",
        blind=True,
        at=rows.seconds(row["created_at"]),
    )


def _entry(row: rows.Row, several: bool, side: str = "") -> Entry:
    """What a side brought; with `several` models its name tells the one it ran on, where that is known."""
    name, pipeline, model = (row[f"{side}{key}"] for key in ("contender", "pipeline", "model"))
    name = told_apart(name, pipeline, model) if several and model else name
    return Entry(name, row[f"{side}chars"], row[f"{side}citations"], row[f"{side}total_ms"])


def own(db: Database, owner: str, vote_ids: Sequence[str]) -> dict[str, Cast]:
    """Of these votes, those that the owner cast."""
    sql = f"""SELECT v.id, v.question, CASE WHEN c.id IS NULL THEN '' ELSE v.comparison_id END AS comparison_id
        FROM votes v LEFT JOIN conversations c ON c.id = v.comparison_id AND c.deleted_at IS NULL
        WHERE v.owner = ? AND v.id IN ({", ".join("?" * len(vote_ids))})"""  # noqa: S608 - only placeholders are put in
    return {r["id"]: Cast(r["question"], r["comparison_id"]) for r in db.query(sql, [owner, *vote_ids])}
