"""A corpus on disk.

    corpora/NAME/current                 the version that is served, switched by one rename
    corpora/NAME/VERSION/manifest.json   what it is, with size and checksum of every file
                         passages.jsonl  FlashRAG's format, one passage a line; line = row = vector
                         offsets.u64     where each line begins, and the end of the last
                         dense.index     faiss; absent when it was built without an encoder
                         bm25/           bm25s

Invariant: a version never changes once `current` names it, and its manifest vouches for every file that is read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.backend.errors import BadInput, NotFound
from app.backend.types import CorpusInfo

CURRENT = "current"
MANIFEST = "manifest.json"
PASSAGES = "passages.jsonl"
OFFSETS = "offsets.u64"
DENSE = "dense.index"
LEXICAL = "bm25"
_FORMAT = 1
_HASHED_UP_TO = 512 << 20
"""Of bigger files as much is read, in blocks: reading 60 GB at every start takes minutes."""
_SAMPLES = 512
_SAMPLE_BYTES = 1 << 20
"""Blocks that are read of a huge file, and their size. With other numbers no sampled mark of today would fit."""


@dataclass(frozen=True, slots=True)
class FileMark:
    """How a file is recognised: by its size and its checksum; when it is huge, `sampled` is that of blocks all over it.

    A huge file of an older manifest has neither.
    """

    size: int
    sha256: str = ""
    sampled: str = ""

    @classmethod
    def of(cls, path: Path) -> FileMark:
        size = path.stat().st_size
        return cls(size, sha256(path)) if size <= _HASHED_UP_TO else cls(size, sampled=_sampled(path, size))

    def fits(self, path: Path) -> bool:
        if path.stat().st_size != self.size:
            return False
        if self.sampled:
            return _sampled(path, self.size) == self.sampled
        return not self.sha256 or sha256(path) == self.sha256


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a version holds. `encoder` is empty without a dense index, `words` names the rules of the lexical one."""

    name: str
    version: str
    created: str
    passages: int
    languages: tuple[str, ...]
    description: str
    encoder: str
    dims: int
    words: str
    source: str
    files: Mapping[str, FileMark] = field(default_factory=dict)
    format: int = _FORMAT

    def info(self) -> CorpusInfo:
        return CorpusInfo(self.name, self.passages, self.version, self.languages, self.description)


def can_name(name: str) -> bool:
    return 0 < len(name) <= 64 and all(c.isalnum() or c in "-_." for c in name) and not name.startswith((".", "-"))


def folder_of(corpora: Path, name: str) -> Path:
    """Where the corpus lives. Raises BadInput for a name that can't be one."""
    if not can_name(name):
        raise BadInput(f"{name[:64]!r} can't name a corpus; use up to 64 letters, digits, '-', '_' and '.'.")
    return corpora / name


def names(corpora: Path) -> list[str]:
    """The corpora there are, sorted. A folder with another name, such as a copy beside one, is none."""
    if not corpora.is_dir():
        return []
    return sorted(path.name for path in corpora.iterdir() if can_name(path.name) and (path / CURRENT).is_file())


def current(corpora: Path, name: str) -> Path:
    """The folder of the version that is served. Raises NotFound."""
    folder = folder_of(corpora, name)
    try:
        return folder / (folder / CURRENT).read_text("utf-8").strip()
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        raise NotFound(f"There is no corpus {name!r}.") from None


def make_current(version: Path) -> None:
    """Serve this version from now on."""
    pointer = version.parent / CURRENT
    fresh = pointer.with_suffix(".new")
    fresh.write_text(version.name, "utf-8")
    _sync(fresh)
    fresh.replace(pointer)
    _sync(version.parent)


def write_manifest(version: Path, manifest: Manifest) -> Manifest:
    """Add the marks of all files and write it down, all of it safe on disk."""
    marks = {
        path.relative_to(version).as_posix(): FileMark.of(path)
        for path in sorted(version.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    manifest = dataclasses.replace(manifest, files=marks)
    (version / MANIFEST).write_text(json.dumps(dataclasses.asdict(manifest), ensure_ascii=False, indent=1), "utf-8")
    for path in (*(version / file for file in marks), version / MANIFEST):
        _sync(path)
    return manifest


def read_manifest(version: Path) -> Manifest:
    """Raises BadInput when it is missing or damaged."""
    try:
        raw = json.loads((version / MANIFEST).read_text("utf-8"))
        if raw["format"] != _FORMAT:
            raise _damaged(version, MANIFEST, "comes from another version of this program")
        raw["files"] = {name: FileMark(**mark) for name, mark in raw["files"].items()}
        raw["languages"] = tuple(raw["languages"])
        return Manifest(**raw)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(version, MANIFEST, "is missing or damaged") from error


def check_files(version: Path, manifest: Manifest) -> None:
    """Compare every file with its mark. Raises BadInput naming the first that differs, and the fix."""
    for name, mark in manifest.files.items():
        path = version / name
        if not path.is_file():
            raise _damaged(version, name, "is missing")
        if not mark.fits(path):
            raise _damaged(version, name, "is damaged (its content is not what was built)")


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sampled(path: Path, size: int) -> str:
    """The checksum of blocks at equal distances, from the very first to the very last."""
    digest = hashlib.sha256()
    last = max(0, size - _SAMPLE_BYTES)
    with path.open("rb") as file:
        for number in range(_SAMPLES):
            file.seek(last * number // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _damaged(version: Path, file: str, what: str) -> BadInput:
    name = version.parent.name
    return BadInput(f"Corpus {name!r} can't be used: {file} {what}. Build it again with `ingest --corpus {name}`.")


def contents_of(record: Mapping[str, object]) -> str:
    """`contents` of a FlashRAG record, or `title` and `text` in its place; empty when it has neither."""
    contents = record.get("contents") or record.get("text")
    if not isinstance(contents, str):
        return ""
    title = record.get("title")
    return contents if record.get("contents") or not isinstance(title, str) else join_contents(title, contents)


def split_contents(contents: str) -> tuple[str, str]:
    """FlashRAG's `contents` as title and text: the first line is the title, if more follows."""
    title, _, text = contents.partition("\n")
    return (title.strip().strip('"'), text.strip()) if text.strip() else ("", contents.strip())


def join_contents(title: str, text: str) -> str:
    """The inverse of `split_contents`, on one title line."""
    return f"{' '.join(title.split())}\n{text}"


class Passages:
    """Random access to the passages without holding them in memory. Safe to read from any thread."""

    def __init__(self, version: Path) -> None:
        self._offsets = memoryview(_map(version / OFFSETS)).cast("Q")
        self._lines = _map(version / PASSAGES)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def read(self, row: int) -> tuple[str, str, str]:
        """Id, title and text of a row."""
        record = json.loads(self._lines[self._offsets[row] : self._offsets[row + 1]])
        return (str(record["id"]), *split_contents(contents_of(record)))

    def read_many(self, rows: Sequence[int]) -> list[tuple[str, str, str]]:
        return [self.read(row) for row in rows]

    def __iter__(self) -> Iterator[tuple[str, str, str]]:
        return map(self.read, range(len(self)))


def _map(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
