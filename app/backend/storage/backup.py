"""A copy of the database while it is in use, and the note of the last one.

One read transaction is held for the whole copy: it is one moment's state, writers go on, and their pace cannot make it
begin again. Invariant: a file under the name that was asked for is complete, was checked and is on the disk.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from app.backend.errors import BadInput, StoreError
from app.backend.records import Backup

PAGES_A_STEP = 1024
SPARE_BYTES = 16 * 1024 * 1024
_NOTE = "last-backup.json"
_OWNED = ("secret", "lock", _NOTE, "corpora", "models")
"""What a data folder has beside the database: files, and folders with all that is in them."""
Progress = Callable[[str, int, int], None]
"""Hears the phase ("copying" or "checking"), and how many pages of how many are done."""


def back_up(
    database: Path, target: Path, *, replace: bool = False, on_progress: Progress = lambda phase, done, total: None
) -> Backup:
    """Copy the database to the file `target`, check the copy, and note it beside the database.

    Blocks: call it in a thread. Raises BadInput when it cannot be done as asked, StoreError when it fails; then
    nothing is left behind and an older file of that name is as it was.
    """
    began = time.monotonic()
    target = _checked(database, target.expanduser().absolute(), replace)
    partial = _empty_beside(target)
    try:
        _copy(database, partial, on_progress)
        on_progress("checking", 0, 1)
        check(partial)
        on_progress("checking", 1, 1)
        _sync(partial)
        if target.exists() and not replace:
            raise _exists(target)
        os.replace(partial, target)
        _sync(target.parent)
    except sqlite3.Error as error:
        raise _failure(error, target) from error
    except OSError as error:
        raise StoreError(f"The backup cannot be written ({error.strerror}); choose another folder.") from error
    finally:
        partial.unlink(missing_ok=True)
    made = Backup(str(target), time.time(), target.stat().st_size, round(time.monotonic() - began, 3))
    _write_note(database.parent / _NOTE, made)
    return made


def check(copy: Path) -> None:
    """Raises StoreError unless the file is a sound database, all its references included."""
    damaged = StoreError("The copy is damaged and was thrown away: check the disk, then try again.")
    try:
        with closing(sqlite3.connect(f"{copy.as_uri()}?mode=ro", uri=True)) as db:
            if db.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
                raise damaged
            if db.execute("PRAGMA foreign_key_check").fetchone() is not None:
                raise damaged
            if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'conversations'").fetchone() is None:
                raise damaged
    except sqlite3.DatabaseError as error:
        raise damaged from error


def last(database: Path) -> Backup | None:
    """The last backup that was made of this database, by whatever process."""
    try:
        return Backup(**json.loads((database.parent / _NOTE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _checked(database: Path, target: Path, replace: bool) -> Path:
    if not database.is_file():
        raise BadInput("There is no database in this data folder; name the right one with --data DIR.")
    if target.is_dir():
        raise BadInput(f"{target} is a folder; name a file in it, such as {target / 'colloquy-backup.db'}.")
    if not target.parent.is_dir():
        raise BadInput(f"The folder {target.parent} does not exist; make it first, or choose another.")
    place = target.parent.resolve() / target.name
    if place.is_relative_to(folder := database.parent.resolve()):
        name = place.relative_to(folder).parts[0]
        if place.parent == folder and name.startswith(database.name):
            raise BadInput("This is the database itself; name another file for the backup.")
        if name in _OWNED:
            raise BadInput(f"`{name}` in the data folder is the server's own; name another file for the backup.")
    if target.exists() and not replace:
        raise _exists(target)
    needed, free = database.stat().st_size + SPARE_BYTES, shutil.disk_usage(target.parent).free
    if free < needed:
        raise StoreError(
            f"The backup needs {needed >> 20} MiB and its disk has {free >> 20} MiB left; "
            "free some, or choose another disk."
        )
    return target


def _exists(target: Path) -> BadInput:
    return BadInput(f"{target} exists already; add --force to replace it, or choose another name.")


def _empty_beside(target: Path) -> Path:
    """A new file in the same folder that nobody else can read: a backup holds everybody's conversations."""
    try:
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-", suffix=".partial")
    except OSError as error:
        raise StoreError(f"The folder {target.parent} cannot be written to ({error.strerror}).") from error
    os.close(descriptor)
    return Path(name)


def _copy(database: Path, partial: Path, on_progress: Progress) -> None:
    with closing(_source(database)) as source, closing(sqlite3.connect(partial, isolation_level=None)) as copy:
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        copy.execute("PRAGMA synchronous = OFF")  # it is made durable at once at the end
        source.backup(
            copy,
            pages=PAGES_A_STEP,
            progress=lambda _, remaining, total: on_progress("copying", total - remaining, total),
        )
        source.execute("ROLLBACK")
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, nothing beside it


def _source(database: Path) -> sqlite3.Connection:
    """Only reads, but is not opened read-only: without a server somebody has to make the WAL's index."""
    source = sqlite3.connect(f"{database.resolve().as_uri()}?mode=rw", uri=True, isolation_level=None)
    source.execute("PRAGMA busy_timeout = 5000")
    source.execute("PRAGMA query_only = ON")
    return source


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_note(note: Path, made: Backup) -> None:
    partial = note.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(made)), encoding="utf-8")
    os.replace(partial, note)


def _failure(error: sqlite3.Error, target: Path) -> StoreError:
    match getattr(error, "sqlite_errorname", ""):
        case "SQLITE_FULL":
            return StoreError("The disk of the backup is full; free some space, or choose another disk.")
        case "SQLITE_CORRUPT" | "SQLITE_NOTADB":
            return StoreError("The database is damaged and cannot be copied; restore it from an older backup.")
        case "SQLITE_BUSY" | "SQLITE_LOCKED":
            return StoreError("Another program holds the database; close it and try again.")
        case name:
            return StoreError(f"The backup to {target} failed: SQLite reports {name or 'an error'}.")
