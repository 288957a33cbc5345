"""Accounts: who may come in, with what, and how much of the server each may use."""

from __future__ import annotations

from app.backend.storage.database import Database
from app.backend.types import Principal


class Accounts:
    """All that is known of accounts, sessions, API keys, bans and quotas."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def by_session(self, token: str) -> Principal | None:
        return None

    async def by_key(self, key: str) -> Principal | None:
        return None

    def banned(self, owner: str) -> bool:
        return False
