"""What SQLite reports, in words for people.

Invariant: no sentence holds a path or a statement.
"""

from __future__ import annotations

import sqlite3

from app.backend.errors import StoreError

_FULL = "the disk is full. Free some space and try again."
_NO_MORE = "the disk takes no more: a quota or another limit is reached. Free some space and try again."
_READ_ONLY = "the data folder is read-only. Choose another with --data."
_HELD = "another program holds the database. Close it and try again."
_DAMAGED = "the file is damaged or no database. Restore it from a backup."
_REASONS = {
    "SQLITE_FULL": _FULL,
    "SQLITE_IOERR_WRITE": _NO_MORE,
    "SQLITE_READONLY": _READ_ONLY,
    "SQLITE_READONLY_DIRECTORY": _READ_ONLY,
    "SQLITE_CANTOPEN": _READ_ONLY,
    "SQLITE_PERM": _READ_ONLY,
    "SQLITE_BUSY": _HELD,
    "SQLITE_LOCKED": _HELD,
    "SQLITE_CORRUPT": _DAMAGED,
    "SQLITE_NOTADB": _DAMAGED,
}
PASSING = frozenset({"SQLITE_BUSY", "SQLITE_LOCKED"})
RETRY_S = 5.0


class Trouble(StoreError):
    """The file cannot be written, whatever is to be written."""


class Held(Trouble):
    """It could not be written in the time that a request waits; it was not begun, so nothing was."""

    status = 503


def reason(error: sqlite3.Error) -> str:
    """Why, as the end of a sentence, with what to do about it."""
    name = getattr(error, "sqlite_errorname", "")
    return _REASONS.get(name, f"SQLite reports {name or 'an error'}.")


def unsaved(error: sqlite3.Error) -> StoreError:
    """The error of a write."""
    sentence = f"This could not be saved: {reason(error)}"
    if getattr(error, "sqlite_errorname", "") in PASSING:
        return Held(sentence, retry_after_s=RETRY_S)
    return StoreError(sentence) if isinstance(error, sqlite3.IntegrityError) else Trouble(sentence)
