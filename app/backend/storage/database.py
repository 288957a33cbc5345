"""The SQLite file: one thread owns the only write connection, a few threads hold read-only ones.

A write is durable when it returns (WAL, synchronous=FULL). Whatever waits while the writer is busy is committed
together: each write runs in a savepoint of its own, so one that fails takes no other with it. Nothing is written to or
read from a file that is no longer in its place.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import sqlite_utils
import structlog
from prometheus_client import CollectorRegistry, Gauge, Histogram

from app.backend.errors import Busy, StoreError
from app.backend.storage.private import make_database
from app.backend.storage.schema import migrations
from app.backend.storage.troubles import PASSING, RETRY_S, Held, Trouble, reason, unsaved
from app.backend.storage.waiting import Write
from app.backend.types import Health

log = structlog.get_logger(__name__)
T = TypeVar("T")

BATCH = 500
READERS = 4
SEARCHERS = 2
"""Beside the readers: what looks through the texts of everybody takes long, and others' reads must not wait for it."""
SLOW_S = 1.0
PROBE_S = 2.0
CLOSING_PATIENCE_S = 5.0
REQUEST_PATIENCE_S = 2.0
_STEP_MS = 250
"""How long SQLite itself waits for a lock; then we look whether there is patience left."""
_GONE = "The database file is gone: it was moved or deleted while the server runs. Restart the server, from a backup."
_CLOSED = "The database is closed: the server is shutting down."


class Database:
    """`open` it once, then `write` and `read` with functions of a `sqlite_utils.Database`.

    A `registry` gets its metrics.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_waiting: int = 10_000,
        lock_patience_s: float = 60.0,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self.path = path
        self._lock_patience_s = lock_patience_s
        self._give_up_at = float("inf")
        self._waiting: queue.Queue[Write | None] = queue.Queue(max_waiting)
        self._readers = ThreadPoolExecutor(READERS, "sqlite-reader")
        self._searchers = ThreadPoolExecutor(SEARCHERS, "sqlite-searcher")
        self._searching: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._local = threading.local()
        self._health = Health("stopped", "The database is not open.")
        self._oldest: float | None = None
        self._took = Histogram("colloquy_write_seconds", "Write handed over to write on the disk", registry=registry)
        lag = Gauge("colloquy_writer_lag_seconds", "Age of the oldest write that is not on the disk", registry=registry)
        lag.set_function(self._lag_s)
        self._writer = threading.Thread(target=self._write_loop, name="sqlite-writer", daemon=True)
        self._closed = False

    def open(self) -> None:
        """Create or migrate the file and start the writer. Raises StoreError when that can't be done."""
        try:
            make_database(self.path)
            connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA busy_timeout = 5000")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            self._db = sqlite_utils.Database(connection)
            self._db.execute("PRAGMA schema_version").fetchone()
            migrations.apply(self._db)
            self._db.execute(f"PRAGMA busy_timeout = {_STEP_MS}")
            self._file = self._identity()
        except OSError as error:
            why = f"The data folder cannot be written ({error.strerror}): choose another with --data."
            raise StoreError(why) from error
        except sqlite3.Error as error:
            raise StoreError(f"The database cannot be opened: {reason(error)}") from error
        self._health = Health("ready", "", time.time())
        self._writer.start()

    def health(self) -> Health:
        """Down from a failed write to the next one that succeeds (one is tried now and then), and without the file."""
        if self._health.state == "ready" and self._identity() != self._file:
            self._become(_GONE)
        return self._health

    async def write(self, change: Callable[[sqlite_utils.Database], T], *, patient: bool = False) -> T:
        """Run `change` on the write connection; it is committed when this returns. A cancelled caller loses only the
        result. What is not `patient` is given up when it could not begin within seconds.

        Raises Busy when too many writes wait, StoreError when SQLite fails, and whatever `change` raises.
        """
        future = self._submit(change)
        result = asyncio.wrap_future(future)
        done, _ = await asyncio.wait([result], timeout=None if patient else REQUEST_PATIENCE_S)
        if not done and future.cancel():
            trouble = self._health.detail or "This could not be saved: the disk is slow. Try again in a moment."
            raise Held(trouble, retry_after_s=RETRY_S)
        return await result

    async def read(self, query: Callable[[sqlite_utils.Database], T]) -> T:
        """Run `query` on a read-only connection. Sees everything that was written before. Raises StoreError."""
        return await asyncio.wrap_future(self._ask(self._readers, query))

    async def search(self, query: Callable[[sqlite_utils.Database], T], owner: str) -> T:
        """As `read`, for what may take long: it waits for others of its kind, and only they wait for it. Of each owner
        one is made at a time, so that nobody's keep all searchers busy.
        """
        async with self._searching.setdefault(owner, asyncio.Lock()):
            return await asyncio.wrap_future(self._ask(self._searchers, query))

    def hurry(self) -> None:
        """The end is near: from now on all writes together wait a few seconds for a lock that somebody else holds."""
        self._give_up_at = min(self._give_up_at, time.monotonic() + CLOSING_PATIENCE_S)

    def close(self) -> None:
        """Finish what waits, then close. Later calls raise StoreError. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self.hurry()
        self._waiting.put(None)
        self._writer.join()
        self._readers.shutdown()
        self._searchers.shutdown(cancel_futures=True)
        self._health = Health("stopped", "The database is closed.", time.time())

    def _ask(self, readers: ThreadPoolExecutor, query: Callable[[sqlite_utils.Database], T]) -> Future[T]:
        try:
            return readers.submit(self._read, query)
        except RuntimeError as error:
            if self._closed:
                raise StoreError(_CLOSED) from error
            raise

    def _submit(self, change: Callable[[sqlite_utils.Database], T]) -> Future[T]:
        if self._closed:
            raise StoreError(_CLOSED)
        write = Write(change)
        try:
            self._waiting.put_nowait(write)
        except queue.Full:
            raise Busy("The log cannot keep up; please try again in a moment.", retry_after_s=2) from None
        return write.result

    def _write_loop(self) -> None:
        open_ = True
        while open_:
            batch: list[Write] = []
            try:
                write = self._waiting.get(timeout=PROBE_S if self._health.state == "down" else None)
            except queue.Empty:
                write = Write(_probe)
            while write is not None:
                batch.append(write)
                if len(batch) == BATCH:
                    break
                try:
                    write = self._waiting.get_nowait()
                except queue.Empty:
                    break
            else:
                open_ = False
            if batch:
                self._commit_or_fail(batch)
        self._db.close()

    def _commit_or_fail(self, batch: list[Write]) -> None:
        """Whatever happens, everybody hears of it and the next batch is written: nobody else could write any more."""
        try:
            self._commit(batch)
        except BaseException:
            log.exception("the writer stumbled")
            with suppress(sqlite3.Error):
                self._db.conn.rollback()
            for write in batch:
                write.fail(StoreError("This could not be saved; please try again."))

    def _commit(self, batch: list[Write]) -> None:
        self._oldest = batch[0].since
        results: list[tuple[Future[Any], Any, BaseException | None]] = []
        trouble = ""
        try:
            self._check_file()
            self._begin()
            for write in filter(Write.claim, batch):
                value, raised = self._run(write.change)
                results.append((write.result, value, raised))
                if isinstance(raised, Trouble):
                    trouble = raised.message
            self._db.execute("COMMIT")
        except (sqlite3.Error, StoreError) as error:
            if self._db.conn.in_transaction:
                self._db.execute("ROLLBACK")
            failure = error if isinstance(error, StoreError) else unsaved(error)
            trouble = failure.message
            results = [(write.result, None, failure) for write in batch if write.claim()]
        self._become(trouble)
        for future, value, raised in results:
            if raised is None:
                future.set_result(value)
            else:
                future.set_exception(raised)
        self._measure(batch)

    def _begin(self) -> None:
        """BEGIN IMMEDIATE, with patience: somebody else may hold the lock, a backup for example."""
        began = time.monotonic()
        while True:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                now = time.monotonic()
                patient = now - began <= self._lock_patience_s and now < self._give_up_at
                if error.sqlite_errorname not in PASSING or not patient:
                    raise
                if now - began > SLOW_S:
                    self._become(unsaved(error).message)

    def _run(self, change: Callable[[sqlite_utils.Database], Any]) -> tuple[Any, BaseException | None]:
        try:
            with self._db.atomic():
                return change(self._db), None
        except sqlite3.Error as error:
            if not self._db.conn.in_transaction:
                raise
            return None, unsaved(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets it
            return None, error

    def _measure(self, batch: list[Write]) -> None:
        now = time.monotonic()
        for write in batch:
            self._took.observe(now - write.since)
        if (waited_s := now - batch[0].since) > SLOW_S:
            log.warning("slow write", waited_s=round(waited_s, 1), writes=len(batch), waiting=self._waiting.qsize())
        self._oldest = None

    def _lag_s(self) -> float:
        oldest = self._oldest
        return 0.0 if oldest is None else time.monotonic() - oldest

    def _become(self, trouble: str) -> None:
        if trouble != self._health.detail:
            self._health = Health("down" if trouble else "ready", trouble, time.time())

    def _identity(self) -> tuple[int, int] | None:
        """Which file is in our place; SQLite itself goes on, unseen, with one that was deleted."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _check_file(self) -> None:
        if self._identity() != self._file:
            raise Trouble(_GONE)

    def _reader(self) -> sqlite_utils.Database:
        """The connection of this thread."""
        if not hasattr(self._local, "db"):
            connection = sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)
            connection.execute("PRAGMA busy_timeout = 5000")
            self._local.db = sqlite_utils.Database(connection)
        return self._local.db

    def _read(self, query: Callable[[sqlite_utils.Database], T]) -> T:
        try:
            self._check_file()
            return query(self._reader())
        except sqlite3.Error as error:
            raise StoreError(f"The log could not be read: {reason(error)}") from error


def _probe(db: sqlite_utils.Database) -> None:
    """The smallest write that reaches the disk."""
    [version] = db.execute("PRAGMA user_version").fetchone()
    db.execute(f"PRAGMA user_version = {version}")
