"""What somebody tried on share links: votes out of copies, and copies out of many addresses."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from app.backend.engines.scripted import ScriptedEngine
from app.backend.errors import Refused
from app.backend.shares.service import COPIES
from tests.doubles import running
from tests.sharing import compared, talk

pytestmark = pytest.mark.anyio


async def test_a_vote_on_a_copy_is_kept_and_never_counts(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine()) as backend:
        comparison = await compared(backend)
        token = (await backend.shares.publish("ann", comparison)).token
        copy = await backend.shares.fork(token, "bob")
        again = (await backend.shares.publish("bob", copy)).token
        for owner, copied in (("bob", copy), ("eve", await backend.shares.fork(again, "eve"))):
            vote = (await backend.comparisons.vote(owner, copied, "a")).vote
            assert vote and (vote.winner, vote.counted) == ("a", False)
            assert vote.why_not == "These answers were copied from a link, and a vote on them does not count."
        own = (await backend.comparisons.vote("ann", comparison, "a")).vote
        assert own and own.counted


async def test_copies_that_were_made_before_there_was_a_mark_are_found_and_marked(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine(tokens_per_s=0)) as backend:
        own = await compared(backend)
        token = (await backend.shares.publish("ann", own)).token
        copy, unread = await backend.shares.fork(token, "bob"), await backend.shares.fork(token, "eve")
        ticket = await backend.comparisons.again("eve", unread, "a")
        [r async for r in backend.events("eve", ticket.generation_id)]
        await backend.comparisons.vote("ann", own, "a")
        await backend.comparisons.vote("bob", copy, "a")
    with sqlite3.connect(tmp_path / "colloquy.db") as db:  # as it was before
        db.execute("UPDATE comparisons SET copied = 0")
        db.execute("DELETE FROM events WHERE kind = 'copied'")
        db.execute("UPDATE votes SET counted = 1, why_not = ''")
        db.execute("DELETE FROM _sqlite_migrations WHERE name = 'm011_old_copies'")
    async with running(tmp_path, ScriptedEngine()) as backend:
        for owner, comparison, copied in (("ann", own, False), ("bob", copy, True), ("eve", unread, True)):
            found = await backend.comparisons.get(owner, comparison)
            assert found.copied == copied
            assert found.vote is None or found.vote.counted != copied


async def test_a_household_with_many_addresses_makes_no_more_copies(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine()) as backend:
        token = (await backend.shares.publish("ann", await talk(backend, "One?"))).token
        for n in range(COPIES):
            await backend.shares.fork(token, f"guest-{n}", f"2001:db8::{n:x}")
        with pytest.raises(Refused):
            await backend.shares.fork(token, "guest-new", "2001:db8::ffff")
        await backend.shares.fork(token, "guest-far", "2001:db8:0:1::1")
