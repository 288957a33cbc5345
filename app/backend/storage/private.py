"""Places that only this user can read: they hold everybody's words and the hashes of passwords.

Invariant: what is made here is never, not even for a moment, readable by others; what was there is left as it is.
"""

from __future__ import annotations

import os
from pathlib import Path


def make_folder(folder: Path) -> None:
    """Make the folder, and those above it, when there is none. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def make_database(path: Path) -> None:
    """Make the file empty, and its folder, when there is none; what SQLite puts beside it gets the same rights."""
    make_folder(path.parent)
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def is_open_to_others(folder: Path) -> bool:
    """Whether others on this machine may look into the folder."""
    return bool(folder.stat().st_mode & 0o077)
