"""What a share link promises: a snapshot that nothing changes, a token that tells nothing, nothing once it is gone."""

from __future__ import annotations

import asyncio
import re
import secrets
import sqlite3
from pathlib import Path

import pytest

from app.backend.engines.scripted import ScriptedEngine
from app.backend.errors import BadField, ColloquyError, NotFound
from app.backend.records import Side
from app.backend.service import Question
from app.backend.storage import shares as store
from tests.doubles import running
from tests.sharing import compared, refusal, talk

pytestmark = pytest.mark.anyio


async def test_a_link_shows_what_was_asked_answered_and_found(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine([["330 metres [1]."]])) as backend:
        conversation = await talk(backend, "How tall is the Eiffel Tower?")
        published = await backend.shares.publish("ann", conversation)
        shown = (await backend.shares.opened(published.token)).snapshot
        (answer,) = shown.answers()
        assert shown.turns[0].question == "How tall is the Eiffel Tower?"
        assert answer.answer == "330 metres [1]."
        assert [p.id for p in answer.passages] == ["p1", "p2", "p3"]
        assert answer.citations[0].passage_id == "p1"
        assert (answer.pipeline, answer.corpus_version, answer.model) == ("naive", "1", backend.engine_model())
        assert answer.seed is not None
        assert answer.params["temperature"] == 0.0


async def test_what_happens_later_never_shows(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine()) as backend:
        conversation = await talk(backend, "First?")
        token = (await backend.shares.publish("ann", conversation)).token
        before = (await backend.shares.opened(token)).snapshot
        ticket = await backend.ask("ann", conversation, Question("Second?"))
        [r async for r in backend.events("ann", ticket.generation_id)]
        await backend.update_conversation("ann", conversation, title="Renamed")
        first = (await backend.conversation("ann", conversation)).turns[0]
        again = await backend.regenerate("ann", first.chosen_id)
        [r async for r in backend.events("ann", again.generation_id)]
        assert (await backend.shares.opened(token)).snapshot == before


async def test_nothing_in_it_names_its_owner_or_an_id(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine()) as backend:
        conversation = await talk(backend, "First?", "Second?", owner="guest-ann")
        published = await backend.shares.publish("guest-ann", conversation)
        kept = sqlite3.connect(tmp_path / "colloquy.db").execute("SELECT snapshot FROM shares").fetchone()[0]
        whole = await backend.conversation("guest-ann", conversation)
        ids = [conversation, published.share.id, *(n for t in whole.turns for n in (t.id, t.chosen_id))]
        assert "guest-ann" not in kept
        assert [name for name in ids if name in kept] == []


async def test_revoked_expired_deleted_and_unknown_links_are_all_the_same(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine()) as backend:
        now = [1_000_000_000.0]
        backend.shares._clock = lambda: now[0]
        one, two = await talk(backend, "One?"), await talk(backend, "Two?")
        revoked = await backend.shares.publish("ann", one)
        expired = await backend.shares.publish("ann", one, 60)
        deleted = await backend.shares.publish("ann", two)
        for published in (revoked, expired, deleted):
            await backend.shares.opened(published.token)
        await backend.shares.revoke("ann", revoked.share.id)
        now[0] += 61
        await backend.delete_conversation("ann", two)
        gone = [revoked.token, expired.token, deleted.token, secrets.token_urlsafe(32), "", "x" * 10_000, "\udce4"]
        assert len({await refusal(backend, token) for token in gone}) == 1
        for token in gone:
            with pytest.raises(NotFound):
                await backend.shares.fork(token, "bob")
            with pytest.raises(NotFound):
                await backend.shares.again(token, "1", "bob")
            with pytest.raises(NotFound):
                await anext(backend.shares.watch(token, "1"))


async def test_undoing_a_deletion_brings_the_link_back(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine()) as backend:
        conversation = await talk(backend, "One?")
        token = (await backend.shares.publish("ann", conversation)).token
        await backend.delete_conversation("ann", conversation)
        assert await backend.shares.listing("ann") == ()
        await backend.restore_conversation("ann", conversation)
        assert (await backend.shares.opened(token)).snapshot.turns[0].question == "One?"


async def test_only_its_owner_may_share_list_or_revoke(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine()) as backend:
        conversation = await talk(backend, "One?")
        published = await backend.shares.publish("ann", conversation)
        for attempt in (
            backend.shares.preview("bob", conversation),
            backend.shares.publish("bob", conversation),
            backend.shares.revoke("bob", published.share.id),
            backend.shares.revoke("bob", "0" * 32),
        ):
            with pytest.raises(NotFound):
                await attempt
        assert await backend.shares.listing("bob") == ()
        assert [s.id for s in await backend.shares.listing("ann")] == [published.share.id]


async def test_what_was_previewed_is_what_is_published_or_nothing_is(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine()) as backend:
        conversation = await talk(backend, "One?")
        seen = (await backend.shares.preview("ann", conversation)).digest()
        ticket = await backend.ask("ann", conversation, Question("Two?"))
        [r async for r in backend.events("ann", ticket.generation_id)]
        with pytest.raises(BadField) as refused:
            await backend.shares.publish("ann", conversation, seen=seen)
        assert refused.value.reason == "share_changed"
        preview = await backend.shares.preview("ann", conversation)
        published = await backend.shares.publish("ann", conversation, seen=preview.digest())
        assert (await backend.shares.opened(published.token)).snapshot == preview


async def test_an_empty_conversation_is_not_shared(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine()) as backend:
        conversation = await talk(backend)
        with pytest.raises(BadField):
            await backend.shares.publish("ann", conversation)


async def test_views_are_counted_but_not_the_owners_own(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine()) as backend:
        token = (await backend.shares.publish("ann", await talk(backend, "One?"))).token
        for viewer in ("bob", "", "ann", "bob"):
            await backend.shares.viewed(await backend.shares.opened(token), viewer)
        assert [s.views for s in await backend.shares.listing("ann")] == [3]


@pytest.mark.process
async def test_ten_thousand_tokens_are_unique_unlike_any_id_and_none_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MAX_SHARES", 10_000)
    async with running(tmp_path, ScriptedEngine()) as backend:
        conversation = await talk(backend, "One?")
        tokens: set[str] = set()
        ids = {conversation}
        for _ in range(100):
            published = await asyncio.gather(*(backend.shares.publish("ann", conversation) for _ in range(100)))
            tokens |= {p.token for p in published}
            ids |= {p.share.id for p in published}
        assert len(tokens) == 10_000
        assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", token) for token in tokens)  # 256 bits
        whole = "\n".join(sqlite3.connect(tmp_path / "colloquy.db").iterdump())
        words = set(re.findall(r"[A-Za-z0-9_-]{43}", whole))
        assert not tokens & words
        assert not [token for token in list(tokens)[:200] if token in whole]
        assert not {i[:8] for i in ids} & {t[:8] for t in tokens}


async def test_the_hash_of_a_link_is_bound_to_links(tmp_path: Path) -> None:
    """Whoever could plant a session's hash among the links, or the other way round, would gain nothing."""
    from app.backend.storage.accounts import hashed

    assert store.hashed("token") != hashed("token")


async def test_too_many_links_are_refused_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_SHARES", 2)
    async with running(tmp_path, ScriptedEngine()) as backend:
        conversation = await talk(backend, "One?")
        for _ in range(2):
            await backend.shares.publish("ann", conversation)
        with pytest.raises(ColloquyError, match="revoke one"):
            await backend.shares.publish("ann", conversation)


async def test_a_comparison_is_shared_column_by_column_and_copied_as_one(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine()) as backend:
        comparison = await compared(backend)
        token = (await backend.shares.publish("ann", comparison)).token
        shown = (await backend.shares.opened(token)).snapshot
        assert (shown.kind, [(a.id, a.pipeline) for a in shown.answers()]) == (
            "comparison",
            [("1a", "naive"), ("1b", "direct")],
        )
        again = await backend.comparisons.again("ann", comparison, "a", Side("direct"))
        [r async for r in backend.events("ann", again.generation_id)]
        assert (await backend.shares.opened(token)).snapshot == shown
        copy = await backend.comparisons.get("bob", await backend.shares.fork(token, "bob"))
        assert [(c.letter, c.generation.pipeline) for c in copy.columns] == [("a", "naive"), ("b", "direct")]
        assert [c.generation.answer for c in copy.columns] == [a.answer for a in shown.answers()]
        rerun = await backend.shares.again(token, "1b", "bob")
        [r async for r in backend.events("bob", rerun.generation_id)]
        assert (await backend.generation("bob", rerun.generation_id)).pipeline == "direct"


async def test_a_blind_comparison_is_shared_after_the_vote_only(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine()) as backend:
        comparison = await compared(backend, blind=True)
        for attempt in (backend.shares.preview("ann", comparison), backend.shares.publish("ann", comparison)):
            with pytest.raises(BadField) as refused:
                await attempt
            assert refused.value.reason == "share_hidden"
        await backend.comparisons.vote("ann", comparison, "tie")
        assert len((await backend.shares.preview("ann", comparison)).answers()) == 2


async def test_what_is_too_long_for_a_link_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_BYTES", 100)
    async with running(tmp_path, ScriptedEngine()) as backend:
        with pytest.raises(BadField, match="too long"):
            await backend.shares.publish("ann", await talk(backend, "One?"))
