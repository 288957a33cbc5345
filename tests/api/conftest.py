"""A server for each test that asks for one."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from app import policy
from tests.api.house import Served, serving


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as served:
        yield served


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lists addresses that only a test has, for everybody whom the server recognises; others are 404 by policy."""

    def open_to_users(*paths: str) -> None:
        for path in paths:
            monkeypatch.setitem(policy.AUDIENCES, path, "user")

    return open_to_users
