"""How fast an answer begins tells nobody what another has asked: what engine and retriever remember is its owner's."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from app.backend.engines.scripted import ScriptedEngine
from app.backend.records import Generation
from app.backend.retrieval.local import LocalRetriever
from app.backend.salts import create_salts
from app.backend.service import Backend, Question
from app.settings import ServerSettings
from tests.doubles import running
from tests.retrieval.conftest import World

pytestmark = pytest.mark.anyio

ONE_MACHINE: dict[str, object] = {"mode": "guest"}
ACCOUNTS: dict[str, object] = {"mode": "accounts"}
BEYOND_LOOPBACK: dict[str, object] = {"host": "0.0.0.0", "allow_guests": True}
BEHIND_A_PROXY: dict[str, object] = {"hosts": ["chat.test"], "allow_guests": True}


async def answered(backend: Backend, owner: str, question: Question) -> Generation:
    conversation = (await backend.create_conversation(owner)).id
    ticket = await backend.ask(owner, conversation, question)
    async for _ in backend.events(owner, ticket.generation_id):
        pass
    return await backend.generation(owner, ticket.generation_id)


async def cached_tokens(backend: Backend, owner: str, text: str) -> int:
    return (await answered(backend, owner, Question(text, pipeline="direct"))).usage.cached_tokens


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


@pytest.mark.parametrize(
    ("server", "made"), [(ACCOUNTS, 2), (BEYOND_LOOPBACK, 2), (BEHIND_A_PROXY, 2), (ONE_MACHINE, 1)]
)
async def test_no_search_is_spared_by_anothers_neither_later_nor_at_the_same_time(
    tmp_path: Path, server: dict[str, object], made: int
) -> None:
    world, engine = World(tmp_path), ScriptedEngine(tokens_per_s=0)
    world.build()
    retriever = LocalRetriever(world.settings.retrieval, world.corpora, lambda ref: ref, load=lambda *_: world.encoder)
    chosen: dict[str, dict[str, object]] = {
        "server": {"default_corpus": "small", **server},
        "quotas": {"guest": {"running": 4, "per_minute": 100}},
    }
    async with running(tmp_path, engine, retriever, **chosen) as backend:

        async def encoded(owner: str, text: str) -> int:
            """How often a question was encoded once it is answered."""
            await answered(backend, owner, Question(text, pipeline="naive", params={"retriever": "dense"}))
            return [asked for batch in world.encoder.batches for asked in batch].count(text)

        assert await encoded("guest-ann", "The secret plan?") == 1
        assert await encoded("guest-bob", "The secret plan?") == made
        assert await encoded("guest-ann", "The secret plan?") == made
        together = [encoded(owner, "The other plan?") for owner in ("guest-ann", "guest-bob", "guest-ann")]
        assert max(await asyncio.gather(*together)) == made


def test_a_salt_says_nothing_about_its_owner_and_is_another_in_the_next_process() -> None:
    server = ServerSettings(mode="accounts")
    first, second = create_salts(server), create_salts(server)
    assert first("user-ann") == first("user-ann")
    assert len({first("user-ann"), first("user-bob"), second("user-ann"), second("user-bob")}) == 4
    assert "ann" not in str(first("user-ann"))
