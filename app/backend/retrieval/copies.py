"""Copies of files that their owner may change, move or delete at any time.

Invariant: what happens to an original later does not reach its copy.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Mapping
from pathlib import Path

from app.backend.errors import StoreError

_FICLONE = 0x40049409
"""`fcntl.FICLONE` from Python 3.12 on. File systems that know it share the blocks until either file is written to."""


def copy_files(targets: Mapping[Path, Path]) -> None:
    """Copy each file to its target, whose folder exists. Raises StoreError before anything is copied without room."""
    real = {source: target for source, target in targets.items() if not _share(source, target)}
    needed = sum(source.stat().st_size for source in real)
    free = min((shutil.disk_usage(target.parent).free for target in real.values()), default=needed)
    if free < needed:
        raise StoreError(
            f"The files are copied, which needs {needed >> 20} MiB, and the disk of the data folder has "
            f"{free >> 20} MiB left; free some, or choose another disk with --data."
        )
    for source, target in real.items():
        shutil.copyfile(source, target)


def _share(source: Path, target: Path) -> bool:
    """Whether the file system could make the copy without copying."""
    with source.open("rb") as original, target.open("wb") as copy:
        try:
            fcntl.ioctl(copy, _FICLONE, original.fileno())
        except OSError:
            return False
    return True
