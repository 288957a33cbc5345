"""What operators did and looked at, kept for good.

Invariant: `record` returns when the line is on disk; who calls it first and acts afterwards leaves no deed without one.
"""

from __future__ import annotations

from app.backend.records import AuditLine, Deed
from app.backend.storage import oversight
from app.backend.storage.database import Database
from app.backend.types import Principal


class Audit:
    """Lines are added, never changed and never removed; the database itself refuses that."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, operator: Principal, deed: Deed, subject: str = "", detail: str = "") -> None:
        await self._database.write(lambda db: oversight.record(db, operator.id, deed, subject, detail))

    async def lines(self, before: int | None = None, limit: int = 100) -> tuple[AuditLine, ...]:
        """Newest first; with `before`, those older than the line with that id."""
        return await self._database.read(lambda db: oversight.audit(db, before, limit))
