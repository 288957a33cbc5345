"""Conversations: only their owner sees them, nothing is lost by a slip, everything can be found again."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlite_utils

from app.backend.digest import Digest
from app.backend.errors import BadInput, NotFound
from app.backend.events import Done, Recorded, Retrieved, Started
from app.backend.storage import conversations, generations, rows
from app.backend.storage.database import Database
from app.backend.storage.generations import Begun, Plan
from app.backend.types import Citation, Exchange, Passage, Usage

pytestmark = pytest.mark.anyio
PLAN = Plan("naive", "demo", {"retrieval_topk": 3}, "scripted", '{"profile":"scripted"}')
PASSAGE = Passage("p1", "RAG", "Retrieval finds passages.", 0.5, "demo")


class Diary:
    """The store as one owner writes it."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def new(self, owner: str = "ann") -> str:
        return (await self.database.write(lambda db: conversations.create(db, owner))).id

    async def ask(self, chat: str, question: str, parent: str | None = None, owner: str = "ann") -> Begun:
        return await self.database.write(lambda db: generations.add_turn(db, owner, chat, parent, question, PLAN, 8))

    async def answer(self, begun: Begun, answer: str) -> None:
        citation = Citation(1, "p1", ((0, 9),), (0, len(answer)), "alignment")
        log = [Recorded(1, 0, Started()), Recorded(2, 1, Retrieved((PASSAGE,), 1.0))]
        log.append(Recorded(3, 5, Done(answer, (citation,), Usage(10, 5, 3, 1), {"total": 5.0})))
        await self.database.write(lambda db: generations.finish(db, begun.generation_id, log, Digest.of(log)))

    async def list(self, q: str = "", owner: str = "ann"):
        return await self.database.read(lambda db: conversations.listing(db, owner, q, 50))

    async def read(self, chat: str, owner: str = "ann"):
        return await self.database.read(lambda db: conversations.get(db, owner, chat))


@pytest.fixture
async def diary(tmp_path: Path) -> AsyncIterator[Diary]:
    database = Database(tmp_path / "colloquy.db")
    database.open()
    yield Diary(database)
    database.close()


async def test_an_answer_comes_back_with_passages_citations_and_cost(diary: Diary) -> None:
    chat = await diary.new()
    begun = await diary.ask(chat, "What is RAG?")
    await diary.answer(begun, "It retrieves.")
    (turn,) = (await diary.read(chat)).path()
    assert turn.chosen.answer == "It retrieves."
    assert turn.chosen.passages == (PASSAGE,)
    assert turn.chosen.citations == (Citation(1, "p1", ((0, 9),), (0, 13), "alignment"),)
    assert turn.chosen.usage == Usage(10, 5, 3, 1)
    assert turn.chosen.params == {"retrieval_topk": 3}


async def test_a_foreign_conversation_looks_like_a_missing_one(diary: Diary) -> None:
    chat = await diary.new()
    begun = await diary.ask(chat, "secret")
    doors = [
        lambda db, c, g: conversations.get(db, "bob", c),
        lambda db, c, g: conversations.update(db, "bob", c, title="mine", pinned=None),
        lambda db, c, g: conversations.delete(db, "bob", c),
        lambda db, c, g: conversations.show_branch(db, "bob", c, begun.turn_id),
        lambda db, c, g: generations.add_turn(db, "bob", c, None, "?", PLAN, 8),
        lambda db, c, g: generations.add_alternative(db, "bob", g, PLAN, 8),
        lambda db, c, g: generations.get(db, "bob", g),
        lambda db, c, g: generations.log(db, "bob", g, 0),
        lambda db, c, g: generations.choose(db, "bob", g),
    ]
    for door in doors:
        said = []
        for ids in ((chat, begun.generation_id), ("0" * 32, "0" * 32)):
            with pytest.raises(NotFound) as refused:
                await diary.database.write(lambda db, door=door, ids=ids: door(db, *ids))
            said.append(refused.value.message)
        assert said[0] == said[1]
    assert await diary.list(owner="bob") == ()
    assert await diary.list("secret", owner="bob") == ()
    assert (await diary.read(chat)).title == "secret"


async def test_deleting_can_be_undone_until_it_is_purged(diary: Diary) -> None:
    chat = await diary.new()
    await diary.answer(await diary.ask(chat, "keep me"), "an answer")
    await diary.database.write(lambda db: conversations.delete(db, "ann", chat))
    assert await diary.list() == ()
    with pytest.raises(NotFound):
        await diary.read(chat)
    with pytest.raises(NotFound):
        await diary.database.write(lambda db: conversations.restore(db, "bob", chat))
    await diary.database.write(lambda db: conversations.restore(db, "ann", chat))
    assert len(await diary.list("keep")) == 1
    await diary.database.write(lambda db: conversations.delete(db, "ann", chat))
    assert await diary.database.write(lambda db: conversations.purge(db, rows.iso(4e9))) == 1
    for table in ("conversations", "turns", "generations", "passages", "citations", "events", "timings", "search"):
        assert await diary.database.read(lambda db, t=table: db.execute(f"SELECT count(*) FROM {t}").fetchone()) == (0,)


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("tower", True),
        ("TOWER", True),
        ("eiffel metres", True),
        ("metres rome", False),
        ("wh", True),
        ("长城", True),
        ("万里长城", True),
        ("故宫", False),
        ('tow"er', False),
        ("tower OR rome", False),
        ("$", False),
        ("100%", True),
        ("_", False),
        ("NEAR(tower)", False),
        ("*", False),
        ("tower\0metres", True),
        ("rome\x01", False),
        ("tower \ud800", True),
    ],
)
async def test_search_finds_words_in_questions_and_answers_whatever_is_typed(diary: Diary, q: str, found: bool) -> None:
    chat = await diary.new()
    await diary.answer(
        await diary.ask(chat, "What about the Eiffel Tower? 万里长城在哪里？"), "It is 330 metres, 100% iron."
    )
    hits = await diary.list(q)
    assert bool(hits) == found
    if found:
        assert "\x02" in hits[0].snippet


async def test_editing_a_question_makes_a_branch_beside_it(diary: Diary) -> None:
    chat = await diary.new()
    first = await diary.ask(chat, "first")
    await diary.answer(first, "one")
    second = await diary.ask(chat, "second")
    await diary.answer(second, "two")
    edited = await diary.ask(chat, "second, edited", parent=first.turn_id)
    assert edited.history == (Exchange("first", "one"),)
    tree = await diary.read(chat)
    assert [t.question for t in tree.path()] == ["first", "second, edited"]
    assert [t.question for t in tree.siblings(tree.turn(edited.turn_id))] == ["second", "second, edited"]
    third = await diary.ask(chat, "third")
    await diary.database.write(lambda db: conversations.show_branch(db, "ann", chat, second.turn_id))
    assert [t.question for t in (await diary.read(chat)).path()] == ["first", "second"]
    await diary.database.write(lambda db: conversations.show_branch(db, "ann", chat, edited.turn_id))
    assert (await diary.read(chat)).leaf_id == third.turn_id


async def test_an_edited_first_question_starts_a_new_branch_at_the_root(diary: Diary) -> None:
    chat = await diary.new()
    await diary.answer(await diary.ask(chat, "first"), "one")
    edited = await diary.ask(chat, "first, edited", parent="")
    assert edited.history == ()
    assert [t.question for t in (await diary.read(chat)).path()] == ["first, edited"]


async def test_the_chosen_alternative_is_shown_and_built_on(diary: Diary) -> None:
    chat = await diary.new()
    first = await diary.ask(chat, "q")
    await diary.answer(first, "old")
    again = await diary.database.write(lambda db: generations.add_alternative(db, "ann", first.generation_id, PLAN, 8))
    await diary.answer(again, "new")
    assert (await diary.read(chat)).path()[0].chosen.answer == "new"
    await diary.database.write(lambda db: generations.choose(db, "ann", first.generation_id))
    assert (await diary.ask(chat, "next")).history == (Exchange("q", "old"),)


async def test_pinned_conversations_come_first(diary: Diary) -> None:
    chats = [await diary.new() for _ in range(3)]
    for chat in chats:
        await diary.ask(chat, f"question {chat}")
    await diary.database.write(lambda db: conversations.update(db, "ann", chats[0], title=None, pinned=True))
    assert (await diary.list())[0].id == chats[0]


@pytest.mark.parametrize("title", ["", "   ", "x" * 201])
async def test_a_title_must_be_short_and_there(diary: Diary, title: str) -> None:
    chat = await diary.new()
    with pytest.raises(BadInput):
        await diary.database.write(lambda db: conversations.update(db, "ann", chat, title=title, pinned=None))


async def test_the_file_reads_well_without_the_program(diary: Diary, tmp_path: Path) -> None:
    chat = await diary.new()
    await diary.answer(await diary.ask(chat, "What is RAG?"), "It retrieves.")
    (line,) = sqlite_utils.Database(tmp_path / "colloquy.db").query("SELECT * FROM log")
    assert (line["question"], line["answer"], line["passages"]) == ("What is RAG?", "It retrieves.", "[1] RAG")
    assert line["timings"] == "total 5 ms"


async def test_an_owner_keeps_a_hundred_empty_conversations_and_every_one_that_was_used(diary: Diary) -> None:
    used, empty, others = await diary.new(), await diary.new(), await diary.new("bob")
    await diary.ask(used, "What is RAG?")
    for _ in range(conversations.MAX_EMPTY):
        newest = await diary.new()
    with pytest.raises(NotFound):
        await diary.database.read(lambda db: conversations.get(db, "ann", empty))
    for owner, kept in (("ann", used), ("ann", newest), ("bob", others)):
        assert (await diary.database.read(lambda db, o=owner, k=kept: conversations.get(db, o, k))).id == kept


async def test_what_was_begun_and_left_empty_goes_for_good_and_what_was_used_stays(diary: Diary) -> None:
    used, empty = await diary.new(), await diary.new()
    await diary.ask(used, "What is RAG?")
    assert await diary.database.write(lambda db: conversations.purge(db, rows.iso(0))) == 0, "it is too early"
    assert await diary.database.write(lambda db: conversations.purge(db, rows.iso(4e9))) == 1
    assert (await diary.read(used)).turns
    with pytest.raises(NotFound):
        await diary.database.read(lambda db: conversations.get(db, "ann", empty))


async def test_however_many_words_are_typed_a_search_looks_for_a_few(diary: Diary) -> None:
    chat = await diary.new()
    await diary.ask(chat, "a b c d e f g h i j k l m n o p")
    many = " ".join(["a b c d e f g h i j k l m n o p"] * 100)
    assert [line.id for line in await diary.list(many)] == [chat]
