"""Two accounts, and what they do at the doors of a server."""

from __future__ import annotations

from pathlib import Path

import httpx

from app.backend.types import Principal
from app.settings import ServerSettings
from tests.api.house import Served

PASSWORD = "correct horse battery"
ACCOUNTS = ServerSettings(mode="accounts")


def database(served: Served) -> Path:
    return served.data / "colloquy.db"


async def log_in(
    client: httpx.AsyncClient, name: str = "Ann", password: str = PASSWORD, **fields: str
) -> httpx.Response:
    return await client.post("/login", data={"name": name, "password": password, **fields})


async def status(client: httpx.AsyncClient, path: str = "/api/conversations", **headers: str) -> int:
    return (await client.get(path, headers=headers)).status_code


async def principal(served: Served, name: str) -> Principal:
    [found] = [account for account in await served.backend.accounts.listing() if account.name == name]
    return Principal(found.id, found.role, found.name)
