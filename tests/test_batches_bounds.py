"""What batches promise to others: they keep nobody waiting without need, end with whom is shut out, stay small."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from app.backend.batches.records import Batch
from app.backend.engines.scripted import ScriptedEngine, Silence
from app.backend.errors import BadInput, Refused
from app.backend.service import Backend
from app.backend.storage import batches as store
from app.settings import Quota
from tests.doubles import running
from tests.test_batches import COLD, WARM, ended, lines

pytestmark = pytest.mark.anyio

MUCH = {"running": 8, "queued": 8, "per_minute": 10_000, "per_day": 10_000}
LITTLE = Quota(running=8, queued=8, per_minute=2, per_day=10_000)
BESIDE: dict[str, object] = {"mode": "accounts", "allow_guests": True}
QUOTAS: dict[str, object] = {"guest": MUCH, "user": MUCH}
GUEST = "guest-AAAAAAAAAAAAAAAAAAAAAA"


async def held(backend: Backend, batch: Batch, owner: str, words: str) -> None:
    """Until it waits for that."""
    async with asyncio.timeout(60):
        while words not in backend.batches.progress(owner, batch).held:
            await asyncio.sleep(0.01)


async def test_whose_quota_is_used_up_keeps_no_others_waiting(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine(), quotas={"local": MUCH}, admission={"max_running": 8}) as backend:
        for owner in ("ann", "bob"):
            await backend.accounts.set_quota(owner, LITTLE)
            batch = await backend.batches.begin(owner, "q.jsonl", lines(4), [COLD, WARM])
            await held(backend, batch, owner, "within a minute")
        mine = await backend.batches.begin("eve", "q.jsonl", lines(3), [COLD, WARM])
        assert (await ended(backend, mine, "eve")).answered == 3


async def test_who_waits_for_the_batches_of_others_is_told_so(tmp_path: Path) -> None:
    gate = asyncio.Event()
    engine = ScriptedEngine(lambda call: ["slow", gate, "."])
    async with running(tmp_path, engine, quotas={"local": MUCH}, admission={"max_running": 8}) as backend:
        await backend.batches.begin("ann", "q.jsonl", lines(4), [COLD, WARM])
        async with asyncio.timeout(60):
            while len(backend.queue().visits) < 4:
                await asyncio.sleep(0.01)
        batch = await backend.batches.begin("bob", "q.jsonl", lines(1), [COLD, WARM])
        await held(backend, batch, "bob", "Other batches are answered first.")
        gate.set()
        await ended(backend, batch, "bob")
        assert backend.batches.progress("bob", batch).held == ""


async def account(backend: Backend) -> str:
    """Somebody who has joined."""
    token = await backend.accounts.join(await backend.accounts.invite(), "eve", "a long enough password", "")
    user = await backend.accounts.by_session(token)
    assert user
    return user.id


async def shut_out(backend: Backend, owner: str) -> None:
    if owner == GUEST:
        await backend.accounts.set_banned(owner, True)
    else:
        await backend.accounts.set_disabled(owner, True)


async def at_work(backend: Backend, owner: str) -> Batch:
    """A batch whose first answers are being written."""
    batch = await backend.batches.begin(owner, "q.jsonl", lines(9), [COLD, WARM])
    async with asyncio.timeout(60):
        while not backend.queue().visits:
            await asyncio.sleep(0.01)
    return batch


@pytest.mark.parametrize("guest", [True, False])
async def test_the_batch_of_whom_is_shut_out_ends_and_says_why(tmp_path: Path, guest: bool) -> None:
    gate = asyncio.Event()
    engine = ScriptedEngine(lambda call: ["slow", gate, "."])
    async with running(tmp_path, engine, server=dict(BESIDE), quotas=dict(QUOTAS)) as backend:
        owner = GUEST if guest else await account(backend)
        batch = await at_work(backend, owner)
        await shut_out(backend, owner)
        gate.set()
        now = await ended(backend, batch, owner)
        assert (now.state, now.trouble) == ("stopped", "Its owner is shut out.")
        assert now.answered < 9


@pytest.mark.parametrize("guest", [True, False])
async def test_after_a_restart_the_batch_of_whom_is_shut_out_asks_nothing(
    tmp_path: Path, guest: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.backend.service.DRAIN_S", 0.2)
    engine = ScriptedEngine(lambda call: ["slow", asyncio.Event()])
    async with running(tmp_path, engine, server=dict(BESIDE), quotas=dict(QUOTAS)) as backend:
        owner = GUEST if guest else await account(backend)
        batch = await at_work(backend, owner)
        await shut_out(backend, owner)
    async with running(tmp_path, ScriptedEngine(), server=dict(BESIDE), quotas=dict(QUOTAS)) as tomorrow:
        now = await ended(tomorrow, batch, owner)
        assert (now.state, now.trouble, now.answered) == ("stopped", "Its owner is shut out.", 0)


async def test_guests_keep_few_batches_and_small_ones(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine(), server=dict(BESIDE), quotas=dict(QUOTAS)) as backend:
        for text, why in ((lines(101), "guests ask at most 100"), (" " * 100_001, "guests give files of at most")):
            with pytest.raises(BadInput, match=why):
                await backend.batches.begin(GUEST, "q.jsonl", text, [COLD, WARM])
        for _ in range(5):
            await backend.batches.begin(GUEST, "q.txt", "Why?", [COLD, WARM])
        with pytest.raises(BadInput, match="You have 5 batches already"):
            await backend.batches.begin(GUEST, "q.txt", "Why?", [COLD, WARM])
        user = await account(backend)
        assert (await backend.batches.begin(user, "q.jsonl", lines(101), [COLD, WARM])).questions == 101


async def test_new_guests_of_one_network_begin_so_many_batches_and_no_more(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine(), server=dict(BESIDE), quotas=dict(QUOTAS)) as backend:

        async def begin(n: int, address: str) -> Batch:
            return await backend.batches.begin(f"guest-{n}", "q.txt", "Why?", [COLD, WARM], address=address)

        for n in range(20):
            await begin(n, f"2001:db8::{n}")
        with pytest.raises(Refused, match="Too many") as refused:
            await begin(20, "2001:db8::ffff")
        assert refused.value.retry_after_s
        assert (await begin(21, "2001:db8:1::1")).questions == 1


async def test_after_a_restart_a_guests_batch_still_counts_under_its_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.backend.service.DRAIN_S", 0.2)
    engine, server = ScriptedEngine(lambda call: ["A ", Silence()]), dict(BESIDE)
    async with running(tmp_path, engine, server=server, quotas=dict(QUOTAS)) as backend:
        batch = await backend.batches.begin(GUEST, "q.txt", "Why?", [COLD, WARM], address="2001:db8::7")
        async with asyncio.timeout(60):
            while len(backend.queue().visits) < 2:
                await asyncio.sleep(0.01)
    async with running(tmp_path, ScriptedEngine(), server=server, quotas=dict(QUOTAS)) as backend:
        async with asyncio.timeout(60):
            while (now := await backend.batches.get(GUEST, batch.id)).state == "running":
                assert now.network == "2001:db8::"
                await asyncio.sleep(0.01)
        assert now.network == "", "forgotten with the end"
    with sqlite3.connect(tmp_path / "colloquy.db") as db:
        assert db.execute("SELECT network, asked FROM networks").fetchall() == [("2001:db8::", 4)]


async def test_a_batch_that_is_taken_up_while_the_server_closes_asks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, taken_up = threading.Event(), store.next_of
    monkeypatch.setattr(store, "next_of", lambda db, owner: taken_up(db, owner) if closed.wait(10) else None)
    async with running(tmp_path, ScriptedEngine(), quotas={"local": MUCH}) as backend:
        batch = await backend.batches.begin("ann", "q.txt", "Why?", [COLD, WARM])
        backend.batches.close()
        closed.set()
        async with asyncio.timeout(10):
            await backend.batches.join()
        assert (await backend.batches.get("ann", batch.id)).answered == 0


async def test_one_person_begins_so_many_batches_within_an_hour(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine(), quotas={"local": MUCH}) as backend:
        for _ in range(60):
            await backend.batches.begin("ann", "q.txt", "Why?", [COLD, WARM])
        with pytest.raises(Refused, match="Too many"):
            await backend.batches.begin("ann", "q.txt", "Why?", [COLD, WARM])
