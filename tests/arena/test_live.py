"""The arena over a database: up to date with every vote, made once for all who look, silent about who asked what."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.backend.arena import live
from app.backend.arena.battles import Filters
from app.backend.arena.board import Board, Pending, Score, make_board
from app.backend.arena.live import Arena
from app.backend.storage import battles
from app.backend.storage.database import Database
from tests.arena.ballots import cast, series

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "colloquy.db")
    database.open()
    yield database
    await asyncio.to_thread(database.close)


@pytest.fixture
def arena(database: Database) -> Arena:
    return Arena(database)


def ratings(board: Board) -> dict[str, float]:
    return {row.rating.contender: row.rating.rating for row in board.rows}


async def test_each_vote_is_in_the_next_leaderboard(arena: Arena, database: Database) -> None:
    assert await arena.board(Filters()) == Board()
    await database.write(lambda db: series(db, "naive", "direct", 6, 3))
    board = await arena.board(Filters())
    assert not board.rows
    assert board.pending == (Pending("direct", 9, 1), Pending("naive", 9, 1))
    seen = await arena.version()
    await database.write(lambda db: cast(db, "a", ("naive", "direct")))
    assert await arena.version() != seen
    board = await arena.board(Filters())
    assert [row.rating.contender for row in board.rows] == ["naive", "direct"]
    assert board.rows[0].score == Score(7, 0, 3)
    assert board.cells["direct", "naive"] == Score(3, 0, 7)
    before = ratings(board)["naive"]
    await database.write(lambda db: cast(db, "b", ("direct", "naive")))
    assert ratings(await arena.board(Filters()))["naive"] > before


async def test_a_vote_that_was_changed_changes_the_leaderboard(arena: Arena, database: Database) -> None:
    await database.write(lambda db: series(db, "naive", "direct", 10, 0))
    before = (await arena.board(Filters())).rows[0].score
    await database.write(lambda db: db.execute("DELETE FROM votes WHERE rowid = 10"))
    await database.write(lambda db: cast(db, "b", ("naive", "direct")))
    assert before == Score(10, 0, 0)
    assert (await arena.board(Filters())).rows[0].score == Score(9, 0, 1)


async def test_votes_that_do_not_count_are_not_read(arena: Arena, database: Database) -> None:
    await database.write(lambda db: series(db, "naive", "direct", 20, 0, counted=False))
    assert await arena.board(Filters()) == Board()


async def test_filters_leave_the_votes_they_name(arena: Arena, database: Database) -> None:
    def some(db: Database) -> None:
        series(db, "naive", "direct", 12, 0, corpus="shelf", language="en", judge="human")
        series(db, "naive", "direct", 0, 15, corpus="other", language="zh", judge="model", blind=False)

    await database.write(some)
    assert (await arena.board(Filters())).votes == 27
    for filters in (Filters("shelf"), Filters(language="en"), Filters(judge="human"), Filters(blind=True)):
        assert (await arena.board(filters)).votes == 12
    assert (await arena.board(Filters("other", "zh", "model"))).rows[0].rating.contender == "direct"
    assert await arena.board(Filters("shelf", "zh")) == Board()
    facets = await arena.facets()
    assert (facets.corpora, facets.languages, facets.judges) == (("other", "shelf"), ("en", "zh"), ("human", "model"))


async def test_what_there_is_no_vote_for_is_not_computed_or_kept(arena: Arena, database: Database) -> None:
    await database.write(lambda db: series(db, "naive", "direct", 12, 0))
    for n in range(50):
        assert await arena.board(Filters(f"made up {n}")) == Board()
    assert arena._known is not None
    assert not arena._known.boards


async def test_a_leaderboard_is_made_once_for_all_who_look(
    arena: Arena, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: Counter[bool] = Counter()
    threads: set[str] = set()

    def counting(battles: tuple[object, ...], *, style: bool) -> Board:
        made[style] += 1
        threads.add(threading.current_thread().name)
        return make_board(battles, style=style)  # type: ignore[arg-type]

    monkeypatch.setattr(live, "make_board", counting)
    await database.write(lambda db: series(db, "naive", "direct", 12, 8))
    boards = await asyncio.gather(*(arena.board(Filters()) for _ in range(20)))
    assert made == {False: 1}
    assert all(board is boards[0] for board in boards)
    await arena.board(Filters(), style=True)
    assert made == {False: 1, True: 1}
    assert threads == {"leaderboard"}, "the threads that answering uses are not taken"


async def test_so_many_battles_are_rated_at_most_the_newest_votes_whole(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(battles, "NEWEST", 13)
    for corpus in ("first", "second", "third"):
        await database.write(lambda db, on=corpus: cast(db, "tie", ("a", "b", "c", "d"), corpus=on))
    _, found = await database.read(battles.battles)
    assert Counter(battle.corpus for battle in found) == {"second": 6, "third": 6}


async def test_behind_a_cell_only_ones_own_questions_show(arena: Arena, database: Database) -> None:
    def some(db: Database) -> None:
        series(db, "naive", "direct", 3, 0, owner="guest-2", question="What is hidden here?")
        cast(db, "b", ("direct", "naive"), question="My own question?")
        cast(db, "tie", ("direct", "hyde"), question="Of others?")

    await database.write(some)
    seen = await arena.behind("guest-1", "naive", "direct", Filters())
    assert [(s.battle.left.contender, s.battle.outcome) for s in seen] == [("naive", 1.0)] * 4
    assert [s.question for s in seen] == ["My own question?", "", "", ""]
    assert "hidden" not in repr(seen)
    assert not seen[0].comparison_id  # it is gone, or was never there
    assert [s.battle.outcome for s in await arena.behind("guest-1", "direct", "naive", Filters())] == [0.0] * 4
    assert await arena.behind("guest-1", "naive", "nobody", Filters()) == ()


async def test_ones_own_comparison_can_be_opened_while_it_is_there(arena: Arena, database: Database) -> None:
    def some(db: Database) -> str:
        comparison = cast(db, "a", ("naive", "direct"))
        row = {"id": comparison, "owner": "guest-1", "created_at": "2026-01-01", "updated_at": "2026-01-01"}
        db.table("conversations").insert(row)
        return comparison

    comparison = await database.write(some)
    assert (await arena.behind("guest-1", "naive", "direct", Filters()))[0].comparison_id == comparison
    assert (await arena.behind("guest-2", "naive", "direct", Filters()))[0].comparison_id == ""
    await database.write(lambda db: db.execute("UPDATE conversations SET deleted_at = '2026-01-02'"))
    assert (await arena.behind("guest-1", "naive", "direct", Filters()))[0].comparison_id == ""


async def test_times_and_the_frontier_are_told(arena: Arena, database: Database) -> None:
    def some(db: Database) -> None:
        series(db, "good", "slow", 9, 3, ms=(2000, 5000))
        series(db, "fast", "slow", 2, 10, ms=(500, 5000))
        series(db, "good", "fast", 11, 1, ms=(2000, 500))

    await database.write(some)
    board = await arena.board(Filters())
    assert [(r.rating.contender, r.ms, r.slow_ms, r.frontier) for r in board.rows] == [
        ("good", 2000, 2000, True),
        ("slow", 5000, 5000, False),
        ("fast", 500, 500, True),
    ]


async def test_a_pair_is_picked_from_the_candidates(arena: Arena, database: Database) -> None:
    await database.write(lambda db: series(db, "naive", "direct", 12, 8))
    shown = Counter([name for _ in range(40) for name in await arena.pick(["naive", "direct", "hyde"], "m")])
    assert set(shown) == {"naive", "direct", "hyde"}
    assert shown["hyde"] > 30


async def test_a_method_on_another_model_is_another_contender(arena: Arena, database: Database) -> None:
    await database.write(lambda db: series(db, "naive", "direct", 8, 2))
    assert {row.rating.contender for row in (await arena.board(Filters())).rows} == {"naive", "direct"}
    await database.write(lambda db: series(db, "naive", "direct(top_p=0.5)", 2, 8, model="big"))
    ratings = {row.rating.contender: row.score for row in (await arena.board(Filters())).rows}
    assert ratings["naive@m"] == Score(8, 0, 2)
    await database.write(lambda db: cast(db, "a", ("naive@m", "naive@big"), model=""))  # links the two
    board = await arena.board(Filters())
    assert {row.rating.contender for row in board.rows} == {"naive@m", "direct@m", "naive@big", "direct@big(top_p=0.5)"}


async def test_a_blind_pair_is_picked_by_what_is_known_of_this_model(arena: Arena, database: Database) -> None:
    await database.write(lambda db: series(db, "naive", "direct", 30, 30, model="big"))
    await database.write(lambda db: series(db, "naive", "hyde", 30, 30))
    for model, new, known in (("big", "hyde", "direct"), ("m", "direct", "hyde")):
        shown = Counter([name for _ in range(40) for name in await arena.pick(["naive", "direct", "hyde"], model)])
        assert shown[new] > 35 > shown[known]
