"""The files of one version of a corpus, in the making.

Invariant: memory holds one block of passages and of vectors, all ids and the vocabulary; all else goes to disk at once.
"""

from __future__ import annotations

import json
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from app.backend.errors import BadInput
from app.backend.retrieval import corpus as disk
from app.backend.retrieval.copies import copy_files
from app.backend.retrieval.dense import DenseWriter, shape_of
from app.backend.retrieval.documents import Draft, Problem
from app.backend.retrieval.encoder import Encoder
from app.backend.retrieval.lexical import open_lexical
from app.backend.retrieval.lexical_writer import LexicalWriter
from app.backend.text import WORDS, language

Progress = Callable[[str, int, int | None], None]
"""Called with the phase (copy, read, load encoder, encode, words, check), what is done of it, and of how much, if
known."""

BLOCK = 512
_LISTED = 1000
"""Problems kept in the report; all are counted."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was built. `problems` lists the first of the `skipped` things that were left out."""

    corpus: str
    version: str
    passages: int
    languages: tuple[str, ...]
    encoder: str
    dims: int
    skipped: int
    problems: tuple[Problem, ...]
    seconds: float
    bytes: int


class Build:
    """The files of one version, in the making."""

    def __init__(self, version: Path, on_progress: Progress) -> None:
        self._version = version
        self._progress = on_progress
        self._began = time.monotonic()
        self._rows = 0
        self._languages: Counter[str] = Counter()
        self._skipped = 0
        self._problems: list[Problem] = []
        self._encoder = ""
        self._dims = 0
        self._words = WORDS

    def write_passages(self, drafts: Iterable[Draft | Problem], strict: bool) -> None:
        ids: set[str] = set()
        with (self._version / disk.PASSAGES).open("wb") as lines, (self._version / disk.OFFSETS).open("wb") as offsets:
            offsets.write(array("Q", [0]).tobytes())
            for draft in drafts:
                if isinstance(draft, Draft) and draft.id in ids:
                    draft = Problem(draft.where, f"the id {draft.id[:64]!r} was used before")
                if isinstance(draft, Problem):
                    self._leave_out(draft, strict)
                    continue
                ids.add(draft.id)
                record = {"id": draft.id, "contents": disk.join_contents(draft.title, draft.text)}
                lines.write(json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
                offsets.write(array("Q", [lines.tell()]).tobytes())
                self._count(draft.title, draft.text)
        if self._rows == 0:
            first = f" ({self._problems[0].where}: {self._problems[0].reason})" if self._problems else ""
            raise BadInput(f"No passage was found in the files{first}.")

    def take_over(self, corpus: Path, index: Path | None, bm25: Path | None) -> None:
        """Copy what exists already: its owner may change or delete it at any time."""
        self._progress("copy", 0, None)
        targets = {corpus: self._version / disk.PASSAGES}
        if index is not None:
            targets[index] = self._version / disk.DENSE
        if bm25 is not None:
            (self._version / disk.LEXICAL).mkdir()
            targets |= {path: self._version / disk.LEXICAL / path.name for path in bm25.iterdir() if path.is_file()}
        copy_files(targets)

    def read_passages(self, corpus: Path) -> None:
        """See where the lines of the copy of `corpus` begin."""
        copy = self._version / disk.PASSAGES
        with copy.open("rb") as lines, (self._version / disk.OFFSETS).open("wb") as offsets:
            offsets.write(array("Q", [0]).tobytes())
            for line in lines:
                where = f"{corpus}:{self._rows + 1}"
                try:
                    record = json.loads(line)
                    title, text = disk.split_contents(disk.contents_of(record))
                    record["id"]
                except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                    raise BadInput(
                        f'{where}: every line must be JSON with "id" and "contents": lines are vectors.'
                    ) from None
                offsets.write(array("Q", [lines.tell()]).tobytes())
                self._count(title, text)
        if self._rows == 0:
            raise BadInput(f"No passage was found in {corpus.name}.")

    def encode(self, encoder: Encoder | None) -> None:
        if encoder is None:
            return
        done = 0
        self._progress("encode", 0, self._rows)
        with DenseWriter(self._version / disk.DENSE, encoder.dims) as writer:
            for block in _blocks(disk.Passages(self._version)):
                writer.add(encoder.encode_passages([f"{title}\n{text}".strip() for _, title, text in block]))
                done += len(block)
                self._progress("encode", done, self._rows)
        self._encoder, self._dims = encoder.id, encoder.dims

    def check_vectors(self, index: Path, encoder: Encoder | None) -> None:
        rows, dims = shape_of(index)
        self._same_rows(index.name, rows)
        if encoder is None or encoder.dims != dims:
            have = f"the encoder makes {encoder.dims}" if encoder else "there is no encoder"
            raise BadInput(
                f"{index.name} has vectors of {dims} numbers, but {have}; "
                "set retrieval.encoder to the encoder that made it."
            )
        self._encoder, self._dims = encoder.id, dims

    def index_words(self) -> None:
        with LexicalWriter(self._version / disk.LEXICAL) as writer:
            for row, (_, title, text) in enumerate(disk.Passages(self._version), start=1):
                writer.add(f"{title}\n{text}")
                self._tick("words", row, self._rows)
            writer.write()

    def check_words(self, bm25: Path) -> None:
        self._same_rows(bm25.name, open_lexical(bm25).rows)
        self._words = "flashrag"

    def finish(self, description: str, source: str) -> Report:
        version = self._version
        languages = tuple(name for name, count in self._languages.most_common() if count * 50 >= self._rows)
        manifest = disk.Manifest(
            name=version.parent.name,
            version=version.name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            passages=self._rows,
            languages=languages,
            description=description,
            encoder=self._encoder,
            dims=self._dims,
            words=self._words,
            source=source,
        )
        self._progress("check", 0, None)
        size = sum(mark.size for mark in disk.write_manifest(version, manifest).files.values())
        return Report(
            corpus=manifest.name,
            version=manifest.version,
            passages=self._rows,
            languages=languages,
            encoder=self._encoder,
            dims=self._dims,
            skipped=self._skipped,
            problems=tuple(self._problems),
            seconds=round(time.monotonic() - self._began, 2),
            bytes=size,
        )

    def _count(self, title: str, text: str) -> None:
        self._rows += 1
        self._languages[language(text or title)] += 1
        self._tick("read", self._rows, None)

    def _tick(self, phase: str, done: int, total: int | None) -> None:
        if done % BLOCK == 0 or done == total:
            self._progress(phase, done, total)

    def _leave_out(self, problem: Problem, strict: bool) -> None:
        if strict:
            raise BadInput(f"{problem.where}: {problem.reason}. Nothing was changed.")
        self._skipped += 1
        if self._skipped <= _LISTED:
            self._problems.append(problem)

    def _same_rows(self, name: str, rows: int) -> None:
        if rows != self._rows:
            raise BadInput(f"{name} has {rows} rows, the corpus {self._rows}; they don't belong together.")


def _blocks(passages: Iterable[tuple[str, str, str]]) -> Iterator[list[tuple[str, str, str]]]:
    each = iter(passages)
    while block := list(islice(each, BLOCK)):
        yield block
