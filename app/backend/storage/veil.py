"""What a blind comparison hides, hidden where it is read, so that no door can forget to.

Invariant: an answer of a blind comparison without a vote leaves the storage masked, but for `comparisons.get`. Its
words leave when all columns that were written at the same time have ended: which one was first is not seen.
"""

from __future__ import annotations

from dataclasses import replace

from sqlite_utils import Database

from app.backend.comparing import blind
from app.backend.events import Recorded
from app.backend.records import Column, Comparison, Generation
from app.backend.storage import rows
from app.backend.storage.rows import Row

UNFINISHED = """SELECT k.comparison_id FROM comparisons m JOIN comparison_columns k ON k.comparison_id = m.id
    JOIN generations o ON o.id = k.generation_id
    WHERE m.blind AND NOT m.revealed AND o.status IN ('queued', 'running')"""
"""The blind comparisons of which a column is being written."""


def hides(db: Database, generation_id: str) -> bool:
    """Whether an answer belongs to a blind comparison that is not revealed yet."""
    sql = """SELECT 1 FROM generations g JOIN turns t ON t.id = g.turn_id
        JOIN comparisons m ON m.id = t.conversation_id WHERE g.id = ? AND m.blind AND NOT m.revealed"""
    return db.execute(sql, [generation_id]).fetchone() is not None


def beside(db: Database, generation_id: str) -> tuple[str, ...]:
    """The answers that are still written, itself among them, for which the words of a hidden answer wait."""
    sql = """SELECT o.id FROM generations g JOIN turns t ON t.id = g.turn_id
        JOIN comparisons m ON m.id = t.conversation_id JOIN comparison_columns k ON k.comparison_id = m.id
        JOIN generations o ON o.id = k.generation_id
        WHERE g.id = ? AND m.blind AND NOT m.revealed AND o.status IN ('queued', 'running')
        AND (g.finished_at IS NULL OR o.created_at <= g.finished_at)"""
    return tuple(row["id"] for row in db.query(sql, [generation_id]))


def generation(db: Database, row: Row) -> Generation:
    """As `rows.generation`."""
    found = rows.generation(db, row)
    return _masked(db, found) if hides(db, found.id) else found


def comparison(db: Database, whole: Comparison) -> Comparison:
    """A comparison as it may be seen."""
    if not whole.hidden:
        return whole
    columns = (Column(column.letter, _masked(db, column.generation), hidden=True) for column in whole.columns)
    return replace(whole, columns=tuple(columns))


def recorded(db: Database, generation_id: str, log: list[Recorded]) -> list[Recorded]:
    """What may be seen of the whole log of an answer."""
    if not hides(db, generation_id):
        return log
    masked = blind.Log()
    return [seen for r in log for seen in masked.seen(r)]


def _masked(db: Database, found: Generation) -> Generation:
    return blind.mask(found, held=bool(beside(db, found.id)))
