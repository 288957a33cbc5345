"""Building a lexical index of any size.

bm25s itself indexes in memory, with 36 bytes for every word of every passage. Here the words wait on disk, the scores
are put straight into columns on disk, and bm25s saves them in its own format.

Invariant: the scores are those of `bm25s.BM25().index(...)`; memory holds the vocabulary and four bytes a passage.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

from app.backend.retrieval.lexical import RULES
from app.backend.text import STOPWORDS, WORDS, words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NO_WORD = "\N{REPLACEMENT CHARACTER}"
"""Stands for a passage without words, so that every passage has one. No query does."""


class LexicalWriter:
    """Takes texts one after another; `write` makes the index of them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._spill = (folder / "words.tmp").open("w+b")
        self._lengths = array("I")
        self._vocabulary: dict[str, int] = {}

    def add(self, text: str) -> None:
        vocabulary = self._vocabulary
        ids = array("i", [vocabulary.setdefault(word, len(vocabulary)) for word in words(text) or [_NO_WORD]])
        self._spill.write(ids.tobytes())
        self._lengths.append(len(ids))

    def write(self) -> None:
        import bm25s
        import numpy as np

        index = bm25s.BM25()
        passages = len(self._lengths)
        frequencies = np.zeros(len(self._vocabulary), dtype=np.int64)
        for ids, _ in self._counted():
            frequencies[ids] += 1
        starts = np.concatenate([[0], np.cumsum(frequencies)])
        scores = self._column("scores.tmp", np.float32, starts[-1])
        rows = self._column("rows.tmp", np.int32, starts[-1])
        idf = np.log(1 + (passages - frequencies + 0.5) / (frequencies + 0.5))
        longer = np.asarray(self._lengths) / np.mean(self._lengths)
        free = starts[:-1].copy()
        for row, (ids, counts) in enumerate(self._counted()):
            places = free[ids]
            scores[places] = idf[ids] * counts / (index.k1 * (1 - index.b + index.b * longer[row]) + counts)
            rows[places] = row
            free[ids] += 1
        index.scores = {"data": scores, "indices": rows, "indptr": starts, "num_docs": passages}
        index.vocab_dict = self._vocabulary
        index.nonoccurrence_array = None
        index.save(self._folder, show_progress=False)
        (self._folder / RULES).write_text(json.dumps({"rules": WORDS, "stopwords": sorted(STOPWORDS)}), "utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._spill.close()
        for path in self._folder.glob("*.tmp"):
            path.unlink()

    def _counted(self) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int64]]]:
        """For each passage its different words and how often it has them, read back from disk."""
        import numpy as np

        self._spill.seek(0)
        for length in self._lengths:
            ids = np.frombuffer(self._spill.read(4 * length), dtype=np.int32)
            yield np.unique(ids, return_counts=True)

    def _column(self, name: str, dtype: type[np.generic], length: int) -> np.memmap:
        import numpy as np

        return np.memmap(self._folder / name, dtype=dtype, mode="w+", shape=(int(length),))
