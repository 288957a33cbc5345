"""The database's promises."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlite_utils

from app.backend.errors import Busy, NotFound, StoreError
from app.backend.storage.database import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "colloquy.db")
    database.open()
    yield database
    database.close()


def remember(text: str):
    return lambda db: db.execute("INSERT INTO search VALUES (?, 'c', 't')", [text])


async def texts(database: Database) -> list[str]:
    return await database.read(lambda db: [row["text"] for row in db.query("SELECT text FROM search")])


async def test_a_write_that_returned_is_seen_by_the_next_read(database: Database) -> None:
    await database.write(remember("one"))
    assert await texts(database) == ["one"]


async def test_a_failing_write_takes_no_other_of_its_batch_with_it(database: Database) -> None:
    def refuse(db: sqlite_utils.Database) -> None:
        remember("lost")(db)
        raise NotFound("no")

    gate = threading.Event()
    waiting = [database.write(lambda db: gate.wait()), database.write(remember("a")), database.write(refuse)]
    tasks = [asyncio.ensure_future(w) for w in [*waiting, database.write(remember("b"))]]
    await asyncio.sleep(0)
    gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[2], NotFound)
    assert await texts(database) == ["a", "b"]


async def test_searches_however_many_and_long_keep_no_read_waiting(database: Database) -> None:
    gate = threading.Event()
    searching = [asyncio.ensure_future(database.search(lambda db: gate.wait(), f"{n}")) for n in range(20)]
    try:
        async with asyncio.timeout(30):
            assert await texts(database) == []
    finally:
        gate.set()
    assert all(await asyncio.gather(*searching))


async def test_the_searches_of_one_owner_leave_room_for_anothers(database: Database) -> None:
    gate = threading.Event()
    anns = [asyncio.ensure_future(database.search(lambda db: gate.wait(), "ann")) for _ in range(20)]
    await asyncio.sleep(0)
    try:
        async with asyncio.timeout(30):
            assert await database.search(lambda db: "found", "bob") == "found"
        assert not any(one.done() for one in anns)
    finally:
        gate.set()
    assert all(await asyncio.gather(*anns))


async def test_readers_cannot_write(database: Database) -> None:
    with pytest.raises(StoreError):
        await database.read(remember("x"))


async def test_a_full_writer_refuses_at_once_and_says_when_to_retry(tmp_path: Path) -> None:
    database = Database(tmp_path / "colloquy.db", max_waiting=1)
    database.open()
    gate, entered = threading.Event(), threading.Event()

    def hold(db: sqlite_utils.Database) -> None:
        entered.set()
        gate.wait()

    holding = asyncio.ensure_future(database.write(hold))
    await asyncio.to_thread(entered.wait)
    waiting = asyncio.ensure_future(database.write(remember("a")))
    await asyncio.sleep(0)
    with pytest.raises(Busy) as refused:
        await database.write(remember("b"))
    assert refused.value.retry_after_s
    gate.set()
    await asyncio.gather(holding, waiting)
    database.close()


async def test_nobody_else_can_read_the_database_or_its_new_folder(tmp_path: Path) -> None:
    database = Database(tmp_path / "data" / "colloquy.db")
    database.open()
    await database.write(remember("secret"))
    files = list((tmp_path / "data").iterdir())
    assert {file.name for file in files} == {"colloquy.db", "colloquy.db-wal", "colloquy.db-shm"}
    assert [path.name for path in [tmp_path / "data", *files] if path.stat().st_mode & 0o077] == []
    database.close()


async def test_a_lock_held_by_another_process_is_waited_for(database: Database, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "colloquy.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    write = asyncio.ensure_future(database.write(remember("late")))
    await asyncio.sleep(0.1)
    assert not write.done()
    other.execute("ROLLBACK")
    other.close()
    await write
    assert await texts(database) == ["late"]


async def test_closing_finishes_what_waits_and_refuses_what_comes_later(tmp_path: Path) -> None:
    database = Database(tmp_path / "colloquy.db")
    database.open()
    writes = [asyncio.ensure_future(database.write(remember(str(n)))) for n in range(50)]
    await asyncio.sleep(0)
    await asyncio.to_thread(database.close)
    await asyncio.gather(*writes)
    with pytest.raises(StoreError):
        await database.write(remember("late"))
    for late in (texts(database), database.search(lambda db: db.execute("SELECT 1"), "ann")):
        with pytest.raises(StoreError, match="shutting down"):
            await late
    with sqlite3.connect(tmp_path / "colloquy.db") as again:
        assert again.execute("SELECT count(*) FROM search").fetchone() == (50,)


@pytest.mark.parametrize("make", [lambda p: p.write_bytes(b"no database, only bytes" * 200), lambda p: p.mkdir()])
async def test_a_file_that_is_no_database_is_refused_in_one_sentence(tmp_path: Path, make) -> None:
    make(tmp_path / "colloquy.db")
    with pytest.raises(StoreError) as refused:
        Database(tmp_path / "colloquy.db").open()
    assert str(tmp_path) not in refused.value.message
    assert "\n" not in refused.value.message


async def test_a_cancelled_writer_loses_only_the_result(database: Database) -> None:
    gate = threading.Event()
    holding = asyncio.ensure_future(database.write(lambda db: gate.wait()))
    write = asyncio.ensure_future(database.write(remember("kept")))
    await asyncio.sleep(0)
    gate.set()
    await holding
    await database.write(remember("next"))
    write.cancel()
    assert "next" in await texts(database)


async def test_whatever_a_write_raises_the_next_one_is_written(database: Database) -> None:
    def leaves(db: sqlite_utils.Database) -> None:
        raise SystemExit

    async with asyncio.timeout(10):
        with pytest.raises(StoreError, match="could not be saved"):
            await database.write(leaves)
        await database.write(lambda db: db.table("t").insert({"n": 1}))
        assert await database.read(lambda db: [row["n"] for row in db.table("t").rows]) == [1]
