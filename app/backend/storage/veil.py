"""What a blind comparison hides, hidden where it is read, so that no door can forget to.

Invariant: an answer of a blind comparison without a vote leaves the storage masked, but for `comparisons.get`.
"""

from __future__ import annotations

from sqlite_utils import Database

from app.backend.comparing import blind
from app.backend.events import Recorded
from app.backend.records import Generation
from app.backend.storage import rows
from app.backend.storage.rows import Row


def hides(db: Database, generation_id: str) -> bool:
    """Whether an answer belongs to a blind comparison that is not revealed yet."""
    sql = """SELECT 1 FROM generations g JOIN turns t ON t.id = g.turn_id
        JOIN comparisons m ON m.id = t.conversation_id WHERE g.id = ? AND m.blind AND NOT m.revealed"""
    return db.execute(sql, [generation_id]).fetchone() is not None


def generation(db: Database, row: Row) -> Generation:
    """As `rows.generation`."""
    found = rows.generation(db, row)
    return blind.mask(found) if hides(db, found.id) else found


def recorded(db: Database, generation_id: str, log: list[Recorded]) -> list[Recorded]:
    """What may be seen of the whole log of an answer."""
    masked = blind.Log()
    return [seen for r in log for seen in masked.seen(r)] if hides(db, generation_id) else log
