"""A version of a corpus, opened for searching, and the work of the two threads that search.

Invariant: what is opened has passed its checks and its parts have the same number of rows.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.backend.errors import BadInput, Unavailable
from app.backend.retrieval import corpus as disk
from app.backend.retrieval.dense import DenseIndex, open_dense
from app.backend.retrieval.encoder import Encoder
from app.backend.retrieval.fusion import Hit
from app.backend.retrieval.lexical import LexicalIndex, open_lexical
from app.settings import RetrievalSettings

if TYPE_CHECKING:
    from app.backend.retrieval.encoder import Vectors

REMEMBERED = 1_000
"""Questions whose vectors are kept."""
Asked = tuple[str | None, str]
"""A question's salt and text."""


@dataclass(frozen=True, slots=True)
class Opened:
    """All that is needed to search one version."""

    manifest: disk.Manifest
    passages: disk.Passages
    lexical: LexicalIndex
    dense: DenseIndex | None

    @property
    def version(self) -> str:
        return self.manifest.version

    def dense_for(self, encoder: Encoder) -> DenseIndex:
        """The dense index, if it was built with this encoder. Raises Unavailable saying what to do."""
        name, built_with = self.manifest.name, self.manifest.encoder
        if self.dense is None:
            raise Unavailable(f"Corpus {name!r} has no dense index; search with bm25, or build it with an encoder.")
        if (built_with, self.manifest.dims) != (encoder.id, encoder.dims):
            raise Unavailable(f"Corpus {name!r} was built with another encoder ({built_with}); build it again.")
        return self.dense


def open_corpus(version: Path, settings: RetrievalSettings) -> Opened:
    """Check and open a version. Raises BadInput naming the file at fault and the fix."""
    manifest = disk.read_manifest(version)
    disk.check_files(version, manifest)
    passages = disk.Passages(version)
    lexical = open_lexical(version / disk.LEXICAL)
    dense = None
    if manifest.encoder and settings.encoder:
        dense = open_dense(version / disk.DENSE, settings)
    if any(rows != len(passages) for rows in (manifest.passages, lexical.rows, dense.rows if dense else len(passages))):
        raise BadInput(f"Corpus {manifest.name!r} can't be used: its parts differ in length; build it again.")
    return Opened(manifest, passages, lexical, dense)


@dataclass(frozen=True, slots=True)
class DenseSearch:
    """A query for the thread that owns the encoder and the dense indexes."""

    text: str
    encoder: Encoder
    index: DenseIndex
    k: int
    salt: str | None = None

    @property
    def asked(self) -> Asked:
        return self.salt, self.text


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts for the same thread, to be compared with each other."""

    texts: tuple[str, ...]
    encoder: Encoder


@dataclass(frozen=True, slots=True)
class LexicalSearch:
    """A query for the thread that searches by words."""

    text: str
    index: LexicalIndex
    k: int


class ByMeaning:
    """The work of the thread that owns the encoder: the hits of each search, the vectors of each group of texts.

    The vectors of the last questions are kept, so that the same one of the same salt is encoded once, however it is
    searched.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, Asked], Vectors] = OrderedDict()

    def __call__(self, batch: Sequence[DenseSearch | Texts]) -> list[Sequence[Hit] | Vectors]:
        found = iter(self._search([item for item in batch if isinstance(item, DenseSearch)]))
        return [item.encoder.encode_queries(item.texts) if isinstance(item, Texts) else next(found) for item in batch]

    def _search(self, batch: Sequence[DenseSearch]) -> list[list[Hit]]:
        """Encode all queries at once, then search each index once, as deep as its deepest query."""
        import numpy as np

        if not batch:
            return []
        vectors = self._encoded(batch[0].encoder, dict.fromkeys(search.asked for search in batch))
        results: list[list[Hit]] = [[] for _ in batch]
        for index in dict.fromkeys(search.index for search in batch):
            asked = [number for number, search in enumerate(batch) if search.index is index]
            queries = np.stack([vectors[batch[number].asked] for number in asked])
            found = index.search(queries, max(batch[n].k for n in asked))
            for number, hits in zip(asked, found, strict=True):
                results[number] = hits[: batch[number].k]
        return results

    def _encoded(self, encoder: Encoder, questions: Iterable[Asked]) -> Mapping[Asked, Vectors]:
        vectors = {asked: self._known.get((encoder.id, asked)) for asked in questions}
        if new := [asked for asked, vector in vectors.items() if vector is None]:
            vectors |= zip(new, encoder.encode_queries([text for _, text in new]), strict=True)
        found = {asked: vector for asked, vector in vectors.items() if vector is not None}
        for asked, vector in found.items():
            self._known[encoder.id, asked] = vector
            self._known.move_to_end((encoder.id, asked))
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found


def search_lexical(batch: Sequence[LexicalSearch]) -> list[list[Hit]]:
    """One query after the other: BM25 gains nothing from company."""
    return [search.index.search(search.text, search.k) for search in batch]
