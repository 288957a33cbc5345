"""What a model said of the answers of batches, in SQLite. A judgement keeps its own copy of all that ratings need.

Invariant: it is about two answers, and is forgotten when one of them is given anew or the batch goes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations

from sqlite_utils import Database

from app.backend import text
from app.backend.batches.records import Judged
from app.backend.records import Generation
from app.backend.storage import rows

Pairs = tuple[tuple[int, int], ...]
_STANDING = """FROM judgements j
    JOIN batch_answers l ON l.batch_id = j.batch_id AND l.position = j.position AND l.side = j.left_side
        AND l.generation_id = j.left_generation_id
    JOIN batch_answers r ON r.batch_id = j.batch_id AND r.position = j.position AND r.side = j.right_side
        AND r.generation_id = j.right_generation_id"""
"""Those whose answers are still the answers of the batch."""


def of(db: Database, batch_id: str) -> dict[int, tuple[Judged, ...]]:
    """The judgements of a batch, by the position of the question."""
    found: defaultdict[int, list[Judged]] = defaultdict(list)
    for row in db.query(f"SELECT j.* {_STANDING} WHERE j.batch_id = ?", [batch_id]):
        found[row["position"]].append(Judged(row["left_side"], row["right_side"], row["outcome"]))
    return {position: tuple(judged) for position, judged in found.items()}


def to_do(db: Database, batch_id: str) -> dict[int, Pairs]:
    """The pairs of whole answers that nobody has judged, by the position of the question."""
    sql = """SELECT a.position, a.side FROM batch_answers a JOIN generations g ON g.id = a.generation_id
        JOIN batch_items i ON i.batch_id = a.batch_id AND i.position = a.position
        JOIN conversations c ON c.id = i.comparison_id AND c.deleted_at IS NULL
        WHERE a.batch_id = ? AND g.status = 'done' ORDER BY a.position, a.side"""
    whole: defaultdict[int, list[int]] = defaultdict(list)
    for row in list(db.query(sql, [batch_id])):
        whole[row["position"]].append(row["side"])
    known = {position: {(one.left, one.right) for one in judged} for position, judged in of(db, batch_id).items()}
    wanted = {
        position: tuple(pair for pair in combinations(sides, 2) if pair not in known.get(position, ()))
        for position, sides in whole.items()
    }
    return {position: pairs for position, pairs in wanted.items() if pairs}


def add(
    db: Database,
    batch_id: str,
    position: int,
    question: str,
    made: Mapping[int, Generation],
    contenders: Mapping[int, str],
    judged: Sequence[Judged],
    model: str,
) -> None:
    """Store what `model` said of the answers `made`, by side. `contenders` are the sides' names in the ratings."""
    corpora = {one.corpus for one in made.values() if one.passages}
    about = {
        "batch_id": batch_id,
        "position": position,
        "model": model,
        "corpus": corpora.pop() if len(corpora) == 1 else "",
        "language": text.language(question),
        "created_at": rows.now(),
    }
    db.table("judgements").insert_all(
        (
            {
                **about,
                "outcome": one.outcome,
                **{
                    f"{name}_{key}": value
                    for name, side in (("left", one.left), ("right", one.right))
                    for key, value in {
                        "side": side,
                        "generation_id": made[side].id,
                        "contender": contenders[side],
                        "chars": len(made[side].answer),
                        "citations": len(made[side].citations),
                        "total_ms": made[side].timings_ms.get("total", 0.0),
                    }.items()
                },
            }
            for one in judged
        ),
        replace=True,
    )
