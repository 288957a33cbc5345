"""The SQLite file: one thread owns the only write connection, a few threads hold read-only ones.

A write is durable when it returns (WAL, synchronous=FULL). Whatever waits while the writer is busy is committed
together: each write runs in a savepoint of its own, so one that fails takes no other with it.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import sqlite_utils

from app.backend.errors import Busy, ColloquyError, StoreError
from app.backend.storage.schema import migrations

T = TypeVar("T")
Task = tuple[Callable[[sqlite_utils.Database], Any], "Future[Any]"]

BATCH = 500
READERS = 4
CLOSING_PATIENCE_S = 5.0


class Database:
    """`open` it once, then `write` and `read` with functions of a `sqlite_utils.Database`."""

    def __init__(self, path: Path, *, max_waiting: int = 10_000, lock_patience_s: float = 60.0) -> None:
        self._path = path
        self._lock_patience_s = lock_patience_s
        self._waiting: queue.Queue[Task | None] = queue.Queue(max_waiting)
        self._readers = ThreadPoolExecutor(READERS, "sqlite-reader", initializer=self._open_reader)
        self._local = threading.local()
        self._writer = threading.Thread(target=self._write_loop, name="sqlite-writer", daemon=True)
        self._closed = False

    def open(self) -> None:
        """Create or migrate the file and start the writer. Raises StoreError when that can't be done."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA busy_timeout = 5000")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            self._db = sqlite_utils.Database(connection)
            self._db.execute("PRAGMA schema_version").fetchone()
            migrations.apply(self._db)
        except OSError as error:
            raise StoreError(
                f"The data folder cannot be written ({error.strerror}): choose another with --data."
            ) from error
        except sqlite3.Error as error:
            raise StoreError(f"The database cannot be opened: {_sentence(error)}") from error
        self._writer.start()

    async def write(self, change: Callable[[sqlite_utils.Database], T]) -> T:
        """Run `change` on the write connection; it is committed when this returns. A cancelled caller loses only the
        result.

        Raises Busy when too many writes wait, StoreError when SQLite fails, and whatever `change` raises.
        """
        return await asyncio.wrap_future(self._submit(change))

    async def read(self, query: Callable[[sqlite_utils.Database], T]) -> T:
        """Run `query` on a read-only connection. Sees everything that was written before."""
        return await asyncio.wrap_future(self._readers.submit(self._read, query))

    def close(self) -> None:
        """Finish what waits, then close. Later writes raise StoreError. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self._waiting.put(None)
        self._writer.join()
        self._readers.shutdown()

    def _submit(self, change: Callable[[sqlite_utils.Database], T]) -> Future[T]:
        if self._closed:
            raise StoreError("The database is closed: the server is shutting down.")
        result: Future[T] = Future()
        try:
            self._waiting.put_nowait((change, result))
        except queue.Full:
            raise Busy("The log cannot keep up; please try again in a moment.", retry_after_s=2) from None
        return result

    def _write_loop(self) -> None:
        open_ = True
        while open_:
            batch: list[Task] = []
            task = self._waiting.get()
            while task is not None:
                batch.append(task)
                if len(batch) == BATCH:
                    break
                try:
                    task = self._waiting.get_nowait()
                except queue.Empty:
                    break
            else:
                open_ = False
            if batch:
                self._commit(batch)
        self._db.close()

    def _commit(self, batch: list[Task]) -> None:
        results: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            self._begin()
            for change, future in batch:
                results.append((future, *self._run(change)))
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.conn.in_transaction:
                self._db.execute("ROLLBACK")
            failure = StoreError(f"This could not be saved: {_sentence(error)}")
            results = [(future, None, failure) for _, future in batch]
        for future, value, raised in results:
            if not future.set_running_or_notify_cancel():
                continue
            if raised is None:
                future.set_result(value)
            else:
                future.set_exception(raised)

    def _begin(self) -> None:
        """BEGIN IMMEDIATE, with patience: somebody else may hold the lock, a backup for example."""
        began = time.monotonic()
        while True:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorname not in ("SQLITE_BUSY", "SQLITE_LOCKED") or (
                    time.monotonic() - began > (CLOSING_PATIENCE_S if self._closed else self._lock_patience_s)
                ):
                    raise

    def _run(self, change: Callable[[sqlite_utils.Database], Any]) -> tuple[Any, BaseException | None]:
        try:
            with self._db.atomic():
                return change(self._db), None
        except sqlite3.Error as error:
            if not self._db.conn.in_transaction:
                raise
            return None, StoreError(f"This could not be saved: {_sentence(error)}")
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets it
            return None, error

    def _open_reader(self) -> None:
        connection = sqlite3.connect(f"{self._path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)
        connection.execute("PRAGMA busy_timeout = 5000")
        self._local.db = sqlite_utils.Database(connection)

    def _read(self, query: Callable[[sqlite_utils.Database], T]) -> T:
        try:
            return query(self._local.db)
        except ColloquyError:
            raise
        except sqlite3.Error as error:
            raise StoreError(f"The log could not be read: {_sentence(error)}") from error


def _sentence(error: sqlite3.Error) -> str:
    match getattr(error, "sqlite_errorname", ""):
        case "SQLITE_FULL":
            return "the disk is full. Free some space and try again."
        case "SQLITE_READONLY" | "SQLITE_READONLY_DIRECTORY" | "SQLITE_CANTOPEN" | "SQLITE_PERM":
            return "the data folder is read-only. Choose another with --data."
        case "SQLITE_BUSY" | "SQLITE_LOCKED":
            return "another program holds the database. Close it and try again."
        case "SQLITE_CORRUPT" | "SQLITE_NOTADB":
            return "the file is damaged or no database. Restore it from a backup."
        case name:
            return f"SQLite reports {name or 'an error'}."
