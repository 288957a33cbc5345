"""A server for each test that asks for one."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from app import policy
from app.backend.accounts import membership
from tests.api.house import Served, serving
from tests.api.team import ACCOUNTS, PASSWORD, database


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as served:
        yield served


@pytest.fixture
async def team(tmp_path: Path) -> AsyncIterator[Served]:
    """A server with an admin, Root, and a user, Ann; nobody is logged in."""
    async with serving(tmp_path, doors=ACCOUNTS) as served:
        membership.add(database(served), "Root", "admin", PASSWORD)
        membership.add(database(served), "Ann", "user", PASSWORD)
        yield served


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lists addresses that only a test has, for everybody whom the server recognises; others are 404 by policy."""

    def open_to_users(*paths: str) -> None:
        for path in paths:
            monkeypatch.setitem(policy.AUDIENCES, path, "user")

    return open_to_users
