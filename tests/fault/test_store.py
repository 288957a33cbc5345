"""A database that cannot be written costs what needs it, for as long as that lasts, and says so in a sentence."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from app.api.errors import ErrorBoundary
from app.backend.errors import StoreError
from app.backend.storage.database import Database
from tests.api.house import SentEvent, Served, error_of, events_of, on_loopback, read_stream, until_part
from tests.fault.house import House, ended_once, house, kinds, scripted, until

pytestmark = pytest.mark.anyio

HOLD = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
db.execute("COMMIT")
"""


@contextmanager
def held(database: Path) -> Iterator[subprocess.Popen[str]]:
    """The write lock, in another process; `communicate` lets it go."""
    command = [sys.executable, "-c", HOLD, str(database)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@asynccontextmanager
async def answering(data: Path, count: int = 1) -> AsyncIterator[tuple[Served, list[str], asyncio.Event]]:
    """A server with answers that have said "one" and say " two" and end when the event is set."""
    gate = asyncio.Event()
    async with house(data, scripted(*[["one", gate, " two"]] * count)) as served:
        running = [await served.ask() for _ in range(count)]
        await until(lambda: served.engine.open == count)
        yield served, running, gate


async def test_while_another_process_holds_the_lock_streams_go_on_and_afterwards_all_is_saved_in_order(
    tmp_path: Path,
) -> None:
    """Case 41; the lock is held as long as it takes to see everything go on without it."""
    async with answering(tmp_path, 3) as (served, running, gate):
        streams = [asyncio.ensure_future(events_of(served.guest, gid)) for gid in running]
        with held(tmp_path / "colloquy.db") as holder:
            gate.set()
            words, ticks = [], 0
            async with served.guest.stream("GET", f"/api/generations/{running[0]}/events") as response:
                async for event in read_stream(response.aiter_lines()):
                    if isinstance(event, SentEvent):
                        words += [event.data["text"]] if event.kind == "token" else []
                        continue
                    ticks += 1
                    if ticks == 3:
                        break
            assert words == ["one", " two"]
            await until_part(served, "database", "down")
            assert (await served.guest.get("/api/conversations")).status_code == 200
            assert not any(task.done() for task in streams)
            await asyncio.to_thread(holder.communicate, "")
        for events in await asyncio.gather(*streams):
            assert ended_once(events).kind == "done"
            assert "degraded" not in kinds(events)
            assert [event.id for event in events] == list(range(1, len(events) + 1))
        await until_part(served, "database", "ready")
    with sqlite3.connect(tmp_path / "colloquy.db") as db:
        for gid in running:
            rows = db.execute("SELECT seq FROM events WHERE generation_id = ? ORDER BY seq", [gid]).fetchall()
            assert [seq for (seq,) in rows] == list(range(1, len(rows) + 1))
        assert db.execute("SELECT DISTINCT status, answer FROM generations").fetchall() == [("done", "one two")]


async def test_a_stop_is_told_at_once_also_while_another_process_holds_the_lock(tmp_path: Path) -> None:
    """An answer that is whole waits for the disk, so that it is not lost; one that is not has nothing to lose."""
    async with answering(tmp_path) as (served, running, _):
        stream = asyncio.ensure_future(events_of(served.guest, running[0]))
        with held(tmp_path / "colloquy.db") as holder:
            await served.guest.post(f"/api/generations/{running[0]}/stop")
            async with asyncio.timeout(30):  # half of what a lock is waited for
                end = ended_once(await stream)
            assert (end.kind, end.data["answer"]) == ("stopped", "one")
            assert (await served.guest.get(f"/api/generations/{running[0]}")).json()["status"] == "running"
            await asyncio.to_thread(holder.communicate, "")
        await until(lambda: served.backend._generations._live == {})
        assert ended_once(await events_of(served.guest, running[0])) == end


async def test_what_is_new_while_another_process_holds_the_lock_is_told_soon_to_come_again_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.backend.storage.database.REQUEST_PATIENCE_S", 0.3)
    async with house(tmp_path, scripted(["one"])) as served:
        conversation = (await served.guest.post("/api/conversations")).json()["id"]
        asked = f"/api/conversations/{conversation}/ask", {"question": "What is RAG?", "pipeline": "direct"}
        with held(tmp_path / "colloquy.db"):
            async with asyncio.timeout(30):
                for refused in (
                    await served.guest.post(asked[0], json=asked[1]),
                    await served.guest.post("/api/conversations"),
                    await served.guest.patch(f"/api/conversations/{conversation}", json={"title": "Mine"}),
                ):
                    assert (refused.status_code, error_of(refused)["code"]) == (503, "store_error")
                    assert int(refused.headers["retry-after"]) > 0
        await until_part(served, "database", "ready")
        assert (await served.guest.get(f"/api/conversations/{conversation}")).json()["turns"] == []
        accepted = await served.guest.post(asked[0], json=asked[1])
        assert ended_once(await events_of(served.guest, accepted.json()["generation_id"])).kind == "done"
    with sqlite3.connect(tmp_path / "colloquy.db") as db:
        assert db.execute("SELECT count(*), max(title) FROM conversations").fetchone() == (1, "What is RAG?")


async def test_a_lock_that_is_never_let_go_is_told_in_our_words(tmp_path: Path) -> None:
    database = Database(tmp_path / "colloquy.db", lock_patience_s=0.3)
    database.open()
    with held(tmp_path / "colloquy.db"):
        with pytest.raises(StoreError, match="another program holds the database"):
            await database.write(lambda db: db.execute("DELETE FROM search"), patient=True)
        assert database.health().state == "down"
        assert "locked" not in database.health().detail
    await asyncio.to_thread(database.close)


async def test_the_end_of_the_server_is_not_held_up_by_somebody_elses_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many writes wait, they share one patience, and each is answered in our shape."""
    monkeypatch.setattr("app.backend.storage.database.CLOSING_PATIENCE_S", 0.5)
    async with answering(tmp_path) as (served, running, gate):
        stream = asyncio.ensure_future(events_of(served.guest, running[0]))
        with held(tmp_path / "colloquy.db"):
            waiting = [asyncio.ensure_future(served.guest.post("/api/conversations"))]
            await until(lambda: served.database._oldest is not None)  # it is being tried
            waiting += [asyncio.ensure_future(served.guest.post("/api/conversations")) for _ in range(2)]
            await until(lambda: served.database._waiting.qsize() >= 2)
            gate.set()
            async with asyncio.timeout(20):
                await served.app.state.drain()
            for refused in await asyncio.gather(*waiting):
                assert (refused.status_code, error_of(refused)["code"]) == (503, "store_error")
            assert ended_once(await stream).kind == "done"


async def test_a_request_that_the_end_cuts_off_is_answered_in_our_shape() -> None:
    app, begun = FastAPI(), asyncio.get_running_loop().create_future()

    @app.get("/")
    async def hangs() -> None:
        begun.set_result(asyncio.current_task())
        await asyncio.Event().wait()

    app.add_middleware(ErrorBoundary)
    async with on_loopback(app) as url, httpx.AsyncClient() as client:
        request = asyncio.ensure_future(client.get(url))
        (await begun).cancel()  # as uvicorn does with what is left when its time is up
        answer = await request
    assert (answer.status_code, error_of(answer)["code"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0


async def pragma(house: House, statement: str) -> None:
    await house.database.write(lambda db: db.execute(statement).fetchall())


async def test_on_a_full_disk_answers_are_read_to_their_end_and_saved_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New questions are refused with the fix; what was acknowledged is not lost."""
    monkeypatch.setattr("app.backend.generations.SAVE_AGAIN_S", 0.05)
    gate = asyncio.Event()
    long = [f"word{n} " for n in range(200)]
    async with house(tmp_path, scripted(["one ", gate, *long])) as served:
        generation = await served.ask()
        await until(lambda: served.engine.open == 1)
        await pragma(served, "PRAGMA max_page_count = 1")  # no room for another page, which SQLite calls a full disk
        gate.set()
        events = await events_of(served.guest, generation)
        assert ended_once(events).data["answer"].endswith("word199 ")
        assert [e.data["part"] for e in events if e.kind == "degraded"] == ["log"]
        refused = await served.guest.post("/api/conversations")
        while refused.status_code == 201:  # until the last page is used up
            refused = await served.guest.post("/api/conversations")
        assert (refused.status_code, "the disk is full" in error_of(refused)["message"]) == (500, True)
        assert (await served.guest.get("/api/conversations")).status_code == 200
        await pragma(served, "PRAGMA max_page_count = 1000000")
        async with asyncio.timeout(30):
            while (await served.guest.get(f"/api/generations/{generation}")).json()["status"] != "done":
                await asyncio.sleep(0.05)
        assert (await served.guest.post("/api/conversations")).status_code == 201


async def test_a_read_only_folder_is_refused_in_a_sentence_and_recovers(tmp_path: Path) -> None:
    async with house(tmp_path, scripted()) as served:
        await pragma(served, "PRAGMA query_only = 1")
        refused = await served.guest.post("/api/conversations")
        assert (refused.status_code, "read-only" in error_of(refused)["message"]) == (500, True)
        await until_part(served, "database", "down")
        assert (await served.guest.get("/readyz")).status_code == 503
        served.database._db.execute("PRAGMA query_only = 0")  # no write of ours could
        await until_part(served, "database", "ready")
        assert (await served.guest.post("/api/conversations")).status_code == 201


async def test_a_database_that_is_deleted_under_the_server_is_noticed(tmp_path: Path) -> None:
    """SQLite itself would go on with the nameless file, and lose everything at the end."""
    async with house(tmp_path, scripted()) as served:
        await until_part(served, "database", "ready")
        kept = (tmp_path / "colloquy.db").rename(tmp_path / "kept.db")
        await until_part(served, "database", "down")
        for answer in (await served.guest.post("/api/conversations"), await served.guest.get("/api/conversations")):
            assert (answer.status_code, "database file is gone" in error_of(answer)["message"]) == (500, True)
            assert str(tmp_path) not in answer.text
        kept.rename(tmp_path / "colloquy.db")
        await until_part(served, "database", "ready")
        assert (await served.guest.post("/api/conversations")).status_code == 201
