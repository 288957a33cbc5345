"""One change to the database by another process than the server's: the command line.

Invariant: a short transaction that waits its turn, and no checkpoint, which is the server's own business.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import sqlite_utils

from app.backend.errors import StoreError
from app.backend.storage.private import make_database
from app.backend.storage.schema import migrations
from app.backend.storage.troubles import reason

T = TypeVar("T")
PATIENCE_S = 10.0


def visit(path: Path, change: Callable[[sqlite_utils.Database], T]) -> T:
    """Run `change` in a transaction of its own; makes the file when there is none. Raises StoreError."""
    try:
        make_database(path)
        with closing(sqlite3.connect(path, isolation_level=None, timeout=PATIENCE_S)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            db = sqlite_utils.Database(connection)
            migrations.apply(db)
            connection.execute("BEGIN IMMEDIATE")  # what reads first cannot wait for its turn to write
            with connection:
                return change(db)
    except OSError as error:
        raise StoreError(
            f"The data folder cannot be written ({error.strerror}): choose another with --data."
        ) from error
    except sqlite3.Error as error:
        raise StoreError(f"The accounts cannot be read or changed: {reason(error)}") from error
