"""The command line changes the database beside a server that writes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database

from app.backend.storage.visit import visit


def test_who_reads_before_writing_is_not_overtaken_by_the_server(tmp_path: Path) -> None:
    path = tmp_path / "colloquy.db"
    visit(path, lambda db: None)

    def change(db: Database) -> None:
        db.execute("SELECT count(*) FROM bans").fetchone()
        with (
            closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as server,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            server.execute("INSERT INTO drain (since, operator) VALUES ('now', 'server')")
        db.execute("INSERT INTO drain (since, operator) VALUES ('now', 'command line')")

    visit(path, change)
    assert visit(path, lambda db: [row["operator"] for row in db.query("SELECT * FROM drain")]) == ["command line"]
