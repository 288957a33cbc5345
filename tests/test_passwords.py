"""Passwords are kept by argon2 at its full cost; only the tests pay less."""

from __future__ import annotations

import pytest

from app.backend.accounts.passwords import Passwords, hash_now

COST = "$argon2id$v=19$m=65536,t=3,p=4$"


@pytest.mark.anyio
async def test_a_password_is_as_dear_to_guess_as_the_library_recommends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert hash_now("correct horse battery").startswith(COST)
    assert (await Passwords().hash("correct horse battery")).startswith(COST)
