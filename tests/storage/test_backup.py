"""A backup's promises: one moment's state, checked, whole or not there at all."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlite_utils

from app import cli
from app.backend.errors import BadInput, StoreError
from app.backend.storage import backup, conversations
from app.backend.storage.backup import back_up
from app.backend.storage.database import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "colloquy.db")
    database.open()
    yield database
    database.close()


def pair(db: sqlite_utils.Database) -> None:
    """Two rows that only ever appear together."""
    for side in ("left", "right"):
        db.execute("INSERT INTO search VALUES (?, ?, 't')", ["x" * 500, side])


def contents(folder: Path, pattern: str = "*") -> set[Path]:
    return set(folder.glob(pattern))


def mode(path: Path) -> int:
    return path.stat().st_mode


def counts(path: Path) -> tuple[int, int]:
    with sqlite3.connect(path) as db:
        rows = dict(db.execute("SELECT conversation_id, count(*) FROM search GROUP BY 1").fetchall())
    return rows.get("left", 0), rows.get("right", 0)


async def test_a_backup_under_continuous_writes_is_one_moments_state_and_does_not_hold_them_up(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "PAGES_A_STEP", 1)
    for _ in range(300):
        await database.write(pair)
    written, began, go_on = 300, threading.Event(), threading.Event()

    def pause(phase: str, done: int, total: int) -> None:
        if phase == "copying" and done == 5:
            began.set()
            assert go_on.wait(10)

    copying = asyncio.create_task(
        asyncio.to_thread(back_up, tmp_path / "colloquy.db", tmp_path / "b.db", on_progress=pause)
    )
    await asyncio.to_thread(began.wait, 10)
    for _ in range(100):  # each returns while the copy stands half done
        await database.write(pair)
        written += 1
    go_on.set()
    while not copying.done():
        await database.write(pair)
        written += 1
    assert (await copying).bytes == (tmp_path / "b.db").stat().st_size
    assert counts(tmp_path / "b.db") == (300, 300)
    assert counts(tmp_path / "colloquy.db") == (written, written)


async def test_a_restored_backup_is_the_database(database: Database, tmp_path: Path) -> None:
    line = await database.write(lambda db: conversations.create(db, "anna"))
    back_up(tmp_path / "colloquy.db", tmp_path / "b.db")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "b.db").rename(tmp_path / "elsewhere" / "colloquy.db")
    restored = Database(tmp_path / "elsewhere" / "colloquy.db")
    restored.open()
    assert (await restored.read(lambda db: conversations.get(db, "anna", line.id))).id == line.id
    await restored.write(pair)
    restored.close()


async def test_a_damaged_database_makes_no_backup(database: Database, tmp_path: Path) -> None:
    for _ in range(300):
        await database.write(pair)
    database.close()
    with (tmp_path / "colloquy.db").open("r+b") as file:
        file.seek(40 * 4096)
        file.write(b"\xa5" * 4096 * 20)
    before = contents(tmp_path)
    with pytest.raises(StoreError, match="damaged"):
        back_up(tmp_path / "colloquy.db", tmp_path / "b.db")
    assert contents(tmp_path) == before


async def test_a_copy_that_is_damaged_on_its_way_is_refused_and_the_older_one_kept(
    database: Database, tmp_path: Path
) -> None:
    for _ in range(300):
        await database.write(pair)
    (tmp_path / "b.db").write_text("the older one")

    def damage(phase: str, done: int, total: int) -> None:
        if phase == "checking":
            for partial in tmp_path.glob(".b.db-*.partial"):
                with partial.open("r+b") as file:
                    file.seek(40 * 4096)
                    file.write(b"\xa5" * 4096 * 20)

    with pytest.raises(StoreError, match="thrown away"):
        back_up(tmp_path / "colloquy.db", tmp_path / "b.db", replace=True, on_progress=damage)
    assert (tmp_path / "b.db").read_text() == "the older one"
    assert not contents(tmp_path, ".b.db-*")
    assert backup.last(tmp_path / "colloquy.db") is None


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (".", "is a folder"),
        ("nowhere/b.db", "does not exist"),
        ("taken.db", "--force"),
        ("colloquy.db", "the database itself"),
        ("colloquy.db-wal", "the database itself"),
    ],
)
async def test_what_cannot_be_done_is_refused_before_anything_is_written(
    target: str, sentence: str, database: Database, tmp_path: Path
) -> None:
    (tmp_path / "taken.db").write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(BadInput, match=sentence):
        back_up(tmp_path / "colloquy.db", tmp_path / target)
    assert contents(tmp_path) == before
    assert (tmp_path / "taken.db").read_text() == "mine"


@pytest.mark.parametrize("own", ["secret", "lock", "last-backup.json", "colloquy.db-wal", "corpora/demo/current"])
async def test_force_never_replaces_what_the_server_owns(own: str, database: Database, tmp_path: Path) -> None:
    (tmp_path / own).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / own).touch()
    before = (tmp_path / own).read_bytes()
    with pytest.raises(BadInput, match="name another file"):
        back_up(tmp_path / "colloquy.db", tmp_path / own, replace=True)
    assert (tmp_path / own).read_bytes() == before
    (tmp_path / "backups").mkdir()
    (tmp_path / "backups" / "secret").write_text("an older copy")
    back_up(tmp_path / "colloquy.db", tmp_path / "backups" / "secret", replace=True)


async def test_a_disk_without_room_is_told_before_the_copy(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "SPARE_BYTES", 1 << 60)
    with pytest.raises(StoreError, match="free some"):
        back_up(tmp_path / "colloquy.db", tmp_path / "b.db")


async def test_the_last_backup_is_remembered_and_nobody_else_can_read_it(database: Database, tmp_path: Path) -> None:
    assert backup.last(tmp_path / "colloquy.db") is None
    made = back_up(tmp_path / "colloquy.db", tmp_path / "b.db")
    assert backup.last(tmp_path / "colloquy.db") == made
    assert mode(tmp_path / "b.db") & 0o077 == 0
    assert not contents(tmp_path, "b.db-*"), "one file, nothing beside it"


@pytest.mark.parametrize("running", [True, False])
async def test_the_command_works_with_and_without_a_server(
    running: bool, database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await database.write(pair)
    if not running:
        database.close()
    command = ["backup", str(tmp_path / "b.db"), "--data", str(tmp_path), "--profile", "scripted", "--json"]
    assert await asyncio.to_thread(cli.run, command) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["verified"] is True
    assert told["bytes"] == (tmp_path / "b.db").stat().st_size
    assert counts(tmp_path / "b.db") == (1, 1)
    assert await asyncio.to_thread(cli.run, command) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert await asyncio.to_thread(cli.run, [*command, "--force"]) == 0


async def test_the_command_says_in_one_sentence_that_there_is_no_database(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["backup", str(tmp_path / "b.db"), "--data", str(tmp_path / "empty"), "--profile", "scripted"]
    assert await asyncio.to_thread(cli.run, command) == 2
    assert "no database" in capsys.readouterr().err
    assert not (tmp_path / "empty").exists()
