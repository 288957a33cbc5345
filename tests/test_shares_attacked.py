"""What somebody tried on share links: votes out of copies, and copies out of many addresses."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.backend.engines.scripted import ScriptedEngine
from app.backend.errors import Refused
from app.backend.shares import COPIES
from tests.doubles import running
from tests.test_shares import compared, talk

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


async def test_a_household_with_many_addresses_makes_no_more_copies(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine()) as backend:
        token = (await backend.shares.publish("ann", await talk(backend, "One?"))).token
        for n in range(COPIES):
            await backend.shares.fork(token, f"guest-{n}", f"2001:db8::{n:x}")
        with pytest.raises(Refused):
            await backend.shares.fork(token, "guest-new", "2001:db8::ffff")
        await backend.shares.fork(token, "guest-far", "2001:db8:0:1::1")
