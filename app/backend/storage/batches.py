"""Batches in SQLite: a file of questions, each of which becomes a comparison of the batch's owner.

Invariant: what starts from outside names the owner. Which questions are still to be asked is read from the answers
there are, so it is right whenever and however the process ended.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from sqlite_utils import Database

from app.backend.batches.records import Asked, Batch, BatchState, Cell, Row
from app.backend.errors import BadInput, NotFound
from app.backend.records import Generation, Side
from app.backend.storage import comparisons, generations, judgements, rows
from app.backend.storage.generations import Begun, Plan
from app.backend.storage.rows import seconds

_SEEN = """
    FROM batch_items i LEFT JOIN conversations c ON c.id = i.comparison_id AND c.deleted_at IS NULL
    LEFT JOIN batch_answers a ON a.batch_id = i.batch_id AND a.position = i.position AND c.id IS NOT NULL
    LEFT JOIN generations g ON g.id = a.generation_id"""
"""An item with its answers; those of a comparison that was deleted are gone."""


def add(
    db: Database,
    owner: str,
    name: str,
    sides: Sequence[Side],
    asked: Sequence[Asked],
    *,
    seed: int,
    most: int,
    network: str = "",
    judged: bool = False,
) -> str:
    """Store a batch that is to run, of which the owner has at most so many; its id."""
    [count] = db.execute("SELECT count(*) FROM batches WHERE owner = ?", [owner]).fetchone()
    if count >= most:
        raise BadInput(f"You have {most} batches already; delete one first.")
    batch_id = rows.new_id()
    db.table("batches").insert(
        {
            "id": batch_id,
            "owner": owner,
            "name": name,
            "sides": rows.dumps([asdict(side) for side in sides]),
            "seed": seed,
            "state": "running",
            "created_at": rows.now(),
            "network": network,
            "judged": int(judged),
        }
    )
    db.table("batch_items").insert_all(
        {
            "batch_id": batch_id,
            "position": position,
            "question": one.question,
            "golden_answers": rows.dumps(one.golden_answers),
        }
        for position, one in enumerate(asked)
    )
    return batch_id


def listing(db: Database, owner: str) -> tuple[Batch, ...]:
    """Newest first."""
    sql = "SELECT * FROM batches WHERE owner = ? ORDER BY created_at DESC, rowid DESC"
    return tuple(_batch(db, row) for row in list(db.query(sql, [owner])))


def get(db: Database, owner: str, batch_id: str) -> Batch:
    row = next(db.query("SELECT * FROM batches WHERE id = ? AND owner = ?", [batch_id, owner]), None)
    if row is None:
        owners = "SELECT owner FROM batches WHERE id = ?"
        raise rows.missing(db, owner, owners, batch_id, "There is no such batch.")
    return _batch(db, row)


def owners(db: Database) -> tuple[str, ...]:
    """Who has a batch that has not come to its end."""
    return tuple(row["owner"] for row in db.query("SELECT DISTINCT owner FROM batches WHERE state = 'running'"))


def next_of(db: Database, owner: str) -> Batch | None:
    """The oldest batch of an owner that has not come to its end."""
    sql = "SELECT * FROM batches WHERE owner = ? AND state = 'running' ORDER BY created_at, rowid LIMIT 1"
    row = next(db.query(sql, [owner]), None)
    return _batch(db, row) if row else None


def turn(db: Database, owner: str, batch_id: str, state: BatchState, *, trouble: str = "", network: str = "") -> Batch:
    """Put it into a state; `network` is for one that is to run. Raises NotFound."""
    get(db, owner, batch_id)
    finished = None if state == "running" else rows.now()
    changes = {"state": state, "trouble": trouble, "finished_at": finished, "network": network}
    db.table("batches").update(batch_id, changes)
    return get(db, owner, batch_id)


def item_rows(db: Database, owner: str, batch_id: str) -> tuple[Row, ...]:
    """All questions in the order of the file, with the answers there are. Raises NotFound."""
    sides = len(get(db, owner, batch_id).sides)
    said = judgements.of(db, batch_id)
    sql = f"""SELECT i.*, c.id AS open_id, a.side, g.id AS generation_id, g.status, g.answer, g.error_message,
        (SELECT ms FROM timings WHERE generation_id = g.id AND stage = 'total') AS ms,
        (SELECT winner FROM votes WHERE comparison_id = c.id) AS winner
        {_SEEN} WHERE i.batch_id = ? ORDER BY i.position"""  # noqa: S608 - only our own words are put in
    found: dict[int, Row] = {}
    for r in db.query(sql, [batch_id]):
        asked = Asked(r["question"], tuple(json.loads(r["golden_answers"])))
        row = found.get(r["position"]) or Row(
            r["position"], asked, r["open_id"] or "", (None,) * sides, said.get(r["position"], ()), r["winner"]
        )
        if r["generation_id"]:
            cell = Cell(r["generation_id"], r["status"], r["answer"], r["error_message"], r["ms"])
            cells = (*row.cells[: r["side"]], cell, *row.cells[r["side"] + 1 :])
            row = replace(row, cells=cells)
        found[row.position] = row
    return tuple(found.values())


def version(db: Database, owner: str, batch_id: str) -> str:
    """Changes whenever a batch does. Raises NotFound."""
    batch = get(db, owner, batch_id)
    sql = f"""SELECT ifnull(g.status, '') AS status, count(*) AS n, sum(i.position) AS which, max(g.finished_at) AS at
        {_SEEN} WHERE i.batch_id = ? GROUP BY 1 ORDER BY 1"""
    counts = [f"{r['status'] or 'to-do'}-{r['n']}-{r['which']}-{r['at']}" for r in db.query(sql, [batch_id])]
    sql = "SELECT count(*), max(created_at) FROM judgements WHERE batch_id = ?"
    judged = "-".join(map(str, db.execute(sql, [batch_id]).fetchone()))
    sql = """SELECT count(*), max(v.created_at) FROM votes v JOIN batch_items i ON i.comparison_id = v.comparison_id
        WHERE i.batch_id = ?"""
    voted = "-".join(map(str, db.execute(sql, [batch_id]).fetchone()))
    return ".".join([batch.state, judged, voted, *counts])


def to_do(db: Database, batch: Batch) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Each question that some side has not answered, with those sides. A failure is an answer, unless forgotten."""
    sql = f"""SELECT i.position, group_concat(CASE WHEN g.status IN ('done', 'failed') THEN a.side END) AS answered
        {_SEEN} WHERE i.batch_id = ? GROUP BY i.position ORDER BY i.position"""
    found = []
    for row in db.query(sql, [batch.id]):
        answered = {int(side) for side in (row["answered"] or "").split(",") if side}
        if missing := tuple(side for side in range(len(batch.sides)) if side not in answered):
            found.append((row["position"], missing))
    return tuple(found)


def answers(db: Database, owner: str, batch_id: str, position: int) -> tuple[Asked, dict[int, Generation]]:
    """A question with the answers the sides gave to it, by side. Raises NotFound."""
    get(db, owner, batch_id)
    key = [batch_id, position]
    sql = "SELECT question, golden_answers FROM batch_items WHERE batch_id = ? AND position = ?"
    (item,) = db.query(sql, key)
    sql = "SELECT side, generation_id FROM batch_answers WHERE batch_id = ? AND position = ? ORDER BY side"
    made = {row["side"]: generations.get(db, owner, row["generation_id"]) for row in list(db.query(sql, key))}
    return Asked(item["question"], tuple(json.loads(item["golden_answers"]))), made


def forget_failed(db: Database, batch_id: str) -> None:
    """Ask again where an answer failed."""
    sql = """DELETE FROM batch_answers WHERE batch_id = ?
        AND generation_id IN (SELECT id FROM generations WHERE status = 'failed')"""
    db.execute(sql, [batch_id])


def ask(db: Database, owner: str, batch_id: str, position: int, plans: Mapping[int, Plan]) -> tuple[Begun, ...]:
    """Begin the answers of these sides to one question: in its comparison, else (all sides) in a new one."""
    key = [batch_id, position]
    sql = "SELECT question, comparison_id FROM batch_items WHERE batch_id = ? AND position = ?"
    row = next(db.query(sql, key), None)
    if row is None:
        raise NotFound("There is no such batch.")
    if _is_there(db, row["comparison_id"]):
        letters = comparisons.LETTERS
        made = [comparisons.replace(db, owner, row["comparison_id"], letters[at], plan) for at, plan in plans.items()]
    else:
        made = list(comparisons.begin(db, owner, row["question"], list(plans.values()), blind=False))
        comparison_id = made[0].conversation_id
        db.table("conversations").update(comparison_id, {"batch_id": batch_id})
        sql = "UPDATE batch_items SET comparison_id = ? WHERE batch_id = ? AND position = ?"
        db.execute(sql, [comparison_id, *key])
    for side, one in zip(plans, made, strict=True):
        db.execute("INSERT OR REPLACE INTO batch_answers VALUES (?, ?, ?, ?)", [*key, side, one.generation_id])
    return tuple(made)


def shrink(db: Database, owner: str, batch_id: str, most: int) -> bool:
    """Remove up to `most` comparisons of a batch, and the batch itself with the last; whether some are left."""
    get(db, owner, batch_id)
    sql = "SELECT id FROM conversations WHERE batch_id = ? LIMIT ?"
    gone = [row["id"] for row in db.query(sql, [batch_id, most])]
    for conversation_id in gone:
        db.execute("DELETE FROM search WHERE conversation_id = ?", [conversation_id])
        db.execute("DELETE FROM conversations WHERE id = ?", [conversation_id])
    if len(gone) == most:
        return True
    db.execute("DELETE FROM batches WHERE id = ?", [batch_id])
    return False


def _is_there(db: Database, comparison_id: str | None) -> bool:
    sql = "SELECT 1 FROM conversations WHERE id = ? AND deleted_at IS NULL"
    return comparison_id is not None and db.execute(sql, [comparison_id]).fetchone() is not None


def _batch(db: Database, row: rows.Row) -> Batch:
    sides = tuple(Side(**side) for side in json.loads(row["sides"]))
    sql = f"""SELECT count(*) AS questions, ifnull(sum(ended >= ?), 0) AS answered, ifnull(sum(failed), 0) AS failed,
        ifnull(sum(golden_answers != '[]'), 0) AS golden FROM (
            SELECT i.golden_answers, sum(g.status IN ('done', 'failed')) AS ended, sum(g.status = 'failed') AS failed
            {_SEEN} WHERE i.batch_id = ? GROUP BY i.position)"""  # noqa: S608 - only our own words are put in
    counts = next(db.query(sql, [len(sides), row["id"]]))
    return Batch(
        id=row["id"],
        name=row["name"],
        sides=sides,
        seed=row["seed"],
        state=row["state"],
        trouble=row["trouble"],
        created_at=seconds(row["created_at"]),
        finished_at=seconds(row["finished_at"]) if row["finished_at"] else None,
        questions=counts["questions"],
        answered=counts["answered"],
        failed=counts["failed"],
        golden=counts["golden"],
        network=row["network"],
        judged=bool(row["judged"]),
    )
