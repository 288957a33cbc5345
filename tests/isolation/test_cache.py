"""How fast an answer begins tells nobody what another has asked: no owner's prompt is remembered for another's."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.backend.engines.scripted import ScriptedEngine
from app.backend.salts import create_salts
from app.backend.service import Backend, Question
from app.settings import ServerSettings
from tests.doubles import running

pytestmark = pytest.mark.anyio

ONE_MACHINE: dict[str, object] = {"mode": "guest"}
ACCOUNTS: dict[str, object] = {"mode": "accounts"}
BEYOND_LOOPBACK: dict[str, object] = {"host": "0.0.0.0", "allow_guests": True}
BEHIND_A_PROXY: dict[str, object] = {"hosts": ["chat.test"], "allow_guests": True}


async def cached_tokens(backend: Backend, owner: str, text: str) -> int:
    conversation = (await backend.create_conversation(owner)).id
    ticket = await backend.ask(owner, conversation, Question(text, pipeline="direct"))
    async for _ in backend.events(owner, ticket.generation_id):
        pass
    return (await backend.generation(owner, ticket.generation_id)).usage.cached_tokens


@pytest.mark.parametrize("server", [ACCOUNTS, BEYOND_LOOPBACK, BEHIND_A_PROXY])
async def test_nobody_gets_cached_tokens_of_another_but_everybody_of_their_own(
    tmp_path: Path, server: dict[str, object]
) -> None:
    async with running(tmp_path, ScriptedEngine(tokens_per_s=0), server=server) as backend:
        assert await cached_tokens(backend, "user-ann", "The secret plan?") == 0
        assert await cached_tokens(backend, "user-bob", "The secret plan?") == 0
        assert await cached_tokens(backend, "user-ann", "The secret plan?") > 0


async def test_on_one_machine_without_accounts_all_share(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine(tokens_per_s=0), server=ONE_MACHINE) as backend:
        assert await cached_tokens(backend, "guest-a", "What is RAG?") == 0
        assert await cached_tokens(backend, "guest-b", "What is RAG?") > 0


def test_a_salt_says_nothing_about_its_owner_and_is_another_in_the_next_process() -> None:
    server = ServerSettings(mode="accounts")
    first, second = create_salts(server), create_salts(server)
    assert first("user-ann") == first("user-ann")
    assert len({first("user-ann"), first("user-bob"), second("user-ann"), second("user-bob")}) == 4
    assert "ann" not in str(first("user-ann"))
