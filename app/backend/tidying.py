"""What was deleted, has expired, or was begun and left empty stays for a while, and then goes for good."""

from __future__ import annotations

import asyncio
import time

import structlog

from app.backend.shares.service import Shares
from app.backend.storage import conversations, rows
from app.backend.storage.database import Database

log = structlog.get_logger(__name__)

UNDO_S = 3600.0
TIDY_S = 600.0


async def tidy(database: Database, shares: Shares) -> None:
    """Remove what was deleted, expired or left empty longer ago than that."""
    before = rows.iso(time.time() - UNDO_S)
    await database.write(lambda db: conversations.purge(db, before))
    await shares.forget_expired()


async def keep_tidy(database: Database, shares: Shares) -> None:
    """The same again and again, while the server runs."""
    while True:
        await asyncio.sleep(TIDY_S)
        try:
            await tidy(database, shares)
        except Exception:
            log.exception("what is over could not be removed; it is tried again")
