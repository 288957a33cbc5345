"""What operators read across all owners, and the audit of it.

Invariant: nothing here is called for anybody's words before the look is in the audit; `operations` sees to that.
"""

from __future__ import annotations

from sqlite_utils import Database

from app.backend.errors import NotFound
from app.backend.records import AuditLine, Contents, Deed, Found, Opened, Recent
from app.backend.storage import conversations, rows
from app.backend.storage.rows import seconds


def record(db: Database, operator: str, deed: Deed, subject: str, detail: str) -> None:
    """Add a line to the audit; nothing takes it away again."""
    line = {"at": rows.now(), "operator": operator, "deed": deed, "subject": subject, "detail": detail}
    db.table("audit").insert(line)


def audit(db: Database, before: int | None, limit: int) -> tuple[AuditLine, ...]:
    """The lines before the one with that id, newest first."""
    sql = "SELECT * FROM audit WHERE id < coalesce(?, id + 1) ORDER BY id DESC LIMIT ?"
    return tuple(
        AuditLine(r["id"], seconds(r["at"]), r["operator"], r["deed"], r["subject"], r["detail"])
        for r in db.query(sql, [before, limit])
    )


def find(db: Database, q: str, owner: str | None, limit: int) -> tuple[Found, ...]:
    """Conversations of everybody (or of one owner) whose title, questions or answers contain every word of `q`."""
    return tuple(Found(whose, line) for whose, line in conversations.matching(db, owner, q, limit))


def opened(db: Database, conversation_id: str) -> Opened:
    """Anybody's conversation. Raises NotFound."""
    sql = "SELECT owner FROM conversations WHERE id = ? AND deleted_at IS NULL"
    row = next(db.query(sql, [conversation_id]), None)
    if row is None:
        raise NotFound("There is no such conversation.")
    return Opened(row["owner"], conversations.get(db, row["owner"], conversation_id))


def contents(db: Database) -> Contents:
    (row,) = db.query(
        """SELECT (SELECT count(*) FROM conversations) AS conversations, (SELECT count(*) FROM turns) AS questions,
        (SELECT count(*) FROM generations) AS answers,
        (SELECT created_at FROM generations ORDER BY rowid LIMIT 1) AS oldest,
        (SELECT created_at FROM generations ORDER BY rowid DESC LIMIT 1) AS newest"""
    )
    return Contents(
        row["conversations"],
        row["questions"],
        row["answers"],
        seconds(row["oldest"]) if row["oldest"] else None,
        seconds(row["newest"]) if row["newest"] else None,
    )


def recent(db: Database, since: float) -> tuple[Recent, ...]:
    """Who asked something since then."""
    sql = """SELECT c.owner, count(*) AS questions, max(t.created_at) AS last_at
        FROM conversations c JOIN turns t ON t.conversation_id = c.id
        WHERE c.updated_at >= ? AND t.created_at >= ? GROUP BY c.owner"""
    return tuple(
        Recent(r["owner"], r["questions"], seconds(r["last_at"])) for r in db.query(sql, [rows.iso(since)] * 2)
    )
