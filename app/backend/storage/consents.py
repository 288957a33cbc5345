"""Who lets research read along, in SQLite.

Invariant: what is not here was not given; taking it back leaves nothing behind.
"""

from __future__ import annotations

from sqlite_utils import Database

from app.backend.storage import rows


def given(db: Database, owner: str) -> bool:
    return db.execute("SELECT 1 FROM consents WHERE owner = ?", [owner]).fetchone() is not None


def set_given(db: Database, owner: str, yes: bool) -> None:
    if yes:
        db.execute("INSERT OR IGNORE INTO consents VALUES (?, ?)", [owner, rows.now()])
    else:
        db.execute("DELETE FROM consents WHERE owner = ?", [owner])
