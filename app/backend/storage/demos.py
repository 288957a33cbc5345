"""Demos and the questions of their visitors in SQLite.

Invariant: a publisher's function names the owner, a visitor's names the demo and the visitor; what is not theirs is
NotFound like the unknown. Quotas are counted in the transaction that stores the question.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict

from sqlite_utils import Database

from app.backend.demos.records import Board, Demo, DemoLine, DemoQuestion, Setup, Tally
from app.backend.errors import BadField, BadInput, DemoEarly, DemoFull, NotFound
from app.backend.records import Side
from app.backend.storage import rows
from app.backend.storage.rows import Row, seconds
from app.backend.types import DEMO
from app.settings import VisitorQuota

MAX_DEMOS = 50
OTHERS_PART = 4
"""A quarter of a demo's day is left to other networks. Not more: the room it is shown to may be one network."""
UNSURE_S = 30.0
"""So long a question without answers counts as one that is being let in."""
_LIVE = "('queued', 'running')"
_ENDED = "There is no such demo, or it has ended."


def add(db: Database, owner: str, setup: Setup) -> Demo:
    """Publish. Raises BadField when the name is taken, BadInput above the limit."""
    [count] = db.execute("SELECT count(*) FROM demos WHERE owner = ?", [owner]).fetchone()
    if count >= MAX_DEMOS:
        raise BadInput(f"You have {MAX_DEMOS} demos already; delete one first.")
    _check_name(db, setup.name, "")
    row = {"id": rows.new_id(), "owner": owner, "name": setup.name, "setup": rows.dumps(asdict(setup))}
    db.table("demos").insert({**row, "is_on": 1, "created_at": rows.now()})
    return get(db, owner, row["id"])


def change(db: Database, owner: str, demo_id: str, setup: Setup | None, on: bool | None) -> Demo:
    """Change what is given. Raises NotFound, BadField."""
    get(db, owner, demo_id)
    if setup is not None:
        _check_name(db, setup.name, demo_id)
        db.table("demos").update(demo_id, {"name": setup.name, "setup": rows.dumps(asdict(setup))})
    if on is not None:
        db.table("demos").update(demo_id, {"is_on": int(on)})
    return get(db, owner, demo_id)


def delete(db: Database, owner: str, demo_id: str) -> Demo:
    """Remove it with the questions, answers and votes of its visitors."""
    demo = get(db, owner, demo_id)
    for table in ("search", "conversations"):
        key = "conversation_id" if table == "search" else "id"
        sql = f"DELETE FROM {table} WHERE {key} IN (SELECT id FROM conversations WHERE owner = ?)"  # noqa: S608
        db.execute(sql, [demo.runs_as])
    db.execute("DELETE FROM votes WHERE owner = ?", [demo.runs_as])
    db.execute("DELETE FROM demos WHERE id = ?", [demo_id])
    return demo


def get(db: Database, owner: str, demo_id: str) -> Demo:
    row = next(db.query("SELECT * FROM demos WHERE id = ? AND owner = ?", [demo_id, owner]), None)
    if row is None:
        owners = "SELECT owner FROM demos WHERE id = ?"
        raise rows.missing(db, owner, owners, demo_id, "There is no such demo.")
    return _demo(row)


def by_name(db: Database, name: str) -> Demo:
    """For visitors. One whose publisher was shut out, or that was shut out itself, is not there. Raises NotFound."""
    sql = """SELECT * FROM demos d WHERE name = ?
        AND NOT EXISTS (SELECT 1 FROM bans WHERE owner IN (d.owner, ? || d.id))
        AND NOT EXISTS (SELECT 1 FROM accounts WHERE id = d.owner AND disabled_at IS NOT NULL)"""
    row = next(db.query(sql, [name, DEMO]), None)
    if row is None:
        raise NotFound(_ENDED)
    return _demo(row)


def open_by_name(db: Database, name: str) -> Demo:
    """One that visitors may use now. Raises NotFound, DemoEarly."""
    return check_open(by_name(db, name))


def check_open(demo: Demo) -> Demo:
    now = time.time()
    state = demo.state(now)
    if state == "early":
        raise DemoEarly("This demo has not begun yet.", retry_after_s=(demo.setup.opens_at or now) - now)
    if state == "over":
        raise NotFound(_ENDED)
    return demo


def listing(db: Database, owner: str) -> tuple[DemoLine, ...]:
    """Newest first."""
    sql = """SELECT d.*, count(q.id) AS questions, count(DISTINCT q.visitor) AS visitors
        FROM demos d LEFT JOIN demo_questions q ON q.demo_id = d.id
        WHERE d.owner = ? GROUP BY d.id ORDER BY d.created_at DESC, d.rowid DESC"""
    return tuple(DemoLine(_demo(row), row["visitors"], row["questions"]) for row in db.query(sql, [owner]))


# ---- visitors --------------------------------------------------------------------------------------------------------


def reserve(
    db: Database, name: str, visitor: str, network: str, question: str, quota: VisitorQuota
) -> tuple[Demo, str, str]:
    """Store a question that is about to be asked: the demo, the question's id, the visitor's last conversation or "".

    Raises NotFound, DemoEarly, and DemoFull above a quota.
    """
    demo = open_by_name(db, name)
    now, mine = time.time(), [demo.id, visitor]
    today = rows.midnight()
    _check(db, "demo_id = ?", [demo.id, today], demo.setup.per_day, "This demo has had all of its questions for today.")
    words = "You have asked this demo as much as one visitor may today."
    _check(db, "demo_id = ? AND visitor = ?", [*mine, today], min(demo.setup.visitor_per_day, quota.per_day), words)
    minute = rows.iso(now - 60)
    words = "You have asked much within a minute; wait a little."
    _check(db, "demo_id = ? AND visitor = ?", [*mine, minute], quota.per_minute, words, retry_s=20)
    sql = f"""SELECT count(*) FROM demo_questions q WHERE q.demo_id = ? AND q.visitor = ? AND (
        EXISTS (SELECT 1 FROM demo_answers a JOIN generations g ON g.id = a.generation_id
            WHERE a.question_id = q.id AND g.status IN {_LIVE})
        OR (q.conversation_id = '' AND q.created_at > ?))"""  # noqa: S608 - only our own words are put in
    [live] = db.execute(sql, [*mine, rows.iso(now - UNSURE_S)]).fetchone()
    if live >= quota.live:
        raise DemoFull("Your last question is being answered; the next one can be asked after it.", retry_after_s=3)
    _count_network(db, demo, network, today)
    last = "SELECT conversation_id FROM demo_questions WHERE demo_id = ? AND visitor = ? ORDER BY rowid DESC LIMIT 1"
    found = db.execute(last, mine).fetchone()
    question_id = rows.new_id()
    row = {"id": question_id, "demo_id": demo.id, "visitor": visitor, "question": question, "created_at": rows.now()}
    db.table("demo_questions").insert(row)
    return demo, question_id, found[0] if found else ""


def fill(db: Database, demo: Demo, question_id: str, conversation_id: str, generation_ids: tuple[str, ...]) -> None:
    """The question was let in. Raises NotFound when the demo was switched off meanwhile."""
    check_open(by_name(db, demo.setup.name))
    db.table("demo_questions").update(question_id, {"conversation_id": conversation_id})
    for position, generation_id in enumerate(generation_ids):
        row = {"generation_id": generation_id, "question_id": question_id, "position": position}
        db.table("demo_answers").insert(row)


def drop(db: Database, demo: Demo, question_id: str, network: str) -> None:
    """The question was not let in."""
    db.execute("DELETE FROM demo_questions WHERE id = ?", [question_id])
    db.execute("UPDATE demo_networks SET asked = asked - 1 WHERE demo_id = ? AND network = ?", [demo.id, network])


def own(db: Database, demo: Demo, visitor: str, limit: int = 100) -> tuple[DemoQuestion, ...]:
    """A visitor's own questions, oldest first."""
    sql = """SELECT * FROM demo_questions WHERE demo_id = ? AND visitor = ? AND conversation_id != ''
        ORDER BY rowid DESC LIMIT ?"""
    return tuple(_question(db, row) for row in db.query(sql, [demo.id, visitor, limit]))[::-1]


def check_own(db: Database, demo: Demo, visitor: str, generation_id: str) -> None:
    """Raises NotFound unless it answers a question of this visitor."""
    sql = """SELECT 1 FROM demo_answers a JOIN demo_questions q ON q.id = a.question_id
        WHERE a.generation_id = ? AND q.demo_id = ? AND q.visitor = ?"""
    if db.execute(sql, [generation_id, demo.id, visitor]).fetchone() is None:
        raise NotFound("There is no such answer.")


def compared(db: Database, demo: Demo, visitor: str, question_id: str) -> str:
    """The comparison that answers a question of this visitor. Raises NotFound."""
    sql = """SELECT m.id FROM demo_questions q JOIN comparisons m ON m.id = q.conversation_id
        WHERE q.id = ? AND q.demo_id = ? AND q.visitor = ?"""
    found = db.execute(sql, [question_id, demo.id, visitor]).fetchone()
    if found is None:
        raise NotFound("There is no such comparison.")
    return str(found[0])


# ---- presenters ------------------------------------------------------------------------------------------------------


def board(db: Database, owner: str, demo_id: str, limit: int) -> Board:
    """The newest questions of all visitors, for the demo's publisher. Raises NotFound."""
    demo = get(db, owner, demo_id)
    sql = "SELECT count(*), count(DISTINCT visitor), ifnull(sum(hidden), 0) FROM demo_questions WHERE demo_id = ?"
    questions, visitors, hidden = db.execute(sql, [demo_id]).fetchone()
    sql = f"""SELECT ifnull(sum(g.status = 'done'), 0), ifnull(sum(g.status IN {_LIVE}), 0)
        FROM demo_answers a JOIN demo_questions q ON q.id = a.question_id JOIN generations g ON g.id = a.generation_id
        WHERE q.demo_id = ?"""  # noqa: S608 - only our own words are put in
    answered, running = db.execute(sql, [demo_id]).fetchone()
    sql = """SELECT * FROM demo_questions WHERE demo_id = ? AND hidden = 0 AND conversation_id != ''
        ORDER BY rowid DESC LIMIT ?"""
    shown = tuple(_question(db, row) for row in db.query(sql, [demo_id, limit]))
    return Board(visitors, questions, answered, running, hidden, shown, _tally(db, demo))


def _tally(db: Database, demo: Demo) -> Tally | None:
    sql = """SELECT v.winner, s.pipeline, count(*) AS votes FROM votes v
        LEFT JOIN vote_sides s ON s.vote_id = v.id AND s.letter = v.winner
        WHERE v.owner = ? GROUP BY v.winner, s.pipeline"""
    found = {(row["winner"], row["pipeline"]): int(row["votes"]) for row in db.query(sql, [demo.runs_as])}
    sides = demo.setup.sides if len(demo.setup.sides) > 1 else ()
    if not found and not sides:
        return None
    tie, both_bad = found.pop(("tie", None), 0), found.pop(("both_bad", None), 0)
    stand = dict.fromkeys(((letter, side.pipeline) for letter, side in zip("abcd", sides, strict=False)), 0)
    return Tally(tuple((*side, votes) for side, votes in sorted({**stand, **found}.items())), tie, both_bad)


def hide(db: Database, owner: str, demo_id: str, question_id: str, hidden: bool) -> None:
    """Take a question off the presenter's screen, or put it back. Raises NotFound."""
    get(db, owner, demo_id)
    sql = "UPDATE demo_questions SET hidden = ? WHERE id = ? AND demo_id = ?"
    if db.execute(sql, [int(hidden), question_id, demo_id]).rowcount != 1:
        raise NotFound("There is no such question.")


def _check(db: Database, which: str, values: list[str], limit: int, words: str, retry_s: float = 3600) -> None:
    sql = f"SELECT count(*) FROM demo_questions WHERE {which} AND created_at >= ?"  # noqa: S608 - only our own words
    if db.execute(sql, values).fetchone()[0] >= limit:
        raise DemoFull(words, retry_after_s=retry_s)


def _count_network(db: Database, demo: Demo, network: str, today: str) -> None:
    """Who drops the token is a new visitor, so no network may use up the day: a part of it is left to the others."""
    db.execute("DELETE FROM demo_networks WHERE day <> ?", [today])
    sql = """INSERT INTO demo_networks (demo_id, network, day, asked) VALUES (?, ?, ?, 1)
        ON CONFLICT (demo_id, network) DO UPDATE SET asked = asked + 1 RETURNING asked"""
    [asked] = db.execute(sql, [demo.id, network, today]).fetchone()
    if asked > demo.setup.per_day - demo.setup.per_day // OTHERS_PART:
        raise DemoFull("Your network has asked this demo as much as one network may today.", retry_after_s=3600)


def _check_name(db: Database, name: str, but: str) -> None:
    if db.execute("SELECT 1 FROM demos WHERE name = ? AND id != ?", [name, but]).fetchone():
        raise BadField("name", "demo_taken", "This name is taken; choose another.")


def _demo(row: Row) -> Demo:
    kept = json.loads(row["setup"])
    sides = tuple(Side(**side) for side in kept.pop("sides"))
    setup = Setup(**{**kept, "examples": tuple(kept["examples"]), "origins": tuple(kept["origins"]), "sides": sides})
    return Demo(row["id"], row["owner"], setup, bool(row["is_on"]), seconds(row["created_at"]))


def _question(db: Database, row: Row) -> DemoQuestion:
    sql = """SELECT g.id, g.status FROM demo_answers a JOIN generations g ON g.id = a.generation_id
        WHERE a.question_id = ? ORDER BY a.position"""
    answers = list(db.query(sql, [row["id"]]))
    ids, phases = tuple(a["id"] for a in answers), tuple(a["status"] for a in answers)
    vote = db.execute("SELECT winner FROM votes WHERE comparison_id = ?", [row["conversation_id"]]).fetchone()
    return DemoQuestion(row["id"], row["question"], seconds(row["created_at"]), ids, phases, vote[0] if vote else None)
