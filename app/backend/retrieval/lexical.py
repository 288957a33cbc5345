"""The lexical index: BM25 by bm25s.

Invariant: a query is cut into words by the very rules its index was built with. Our own indexes use `text.words`; a
`bm25/` folder that FlashRAG built brings its stop words and tells whether it stemmed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.backend.errors import BadInput
from app.backend.retrieval.fusion import Hit
from app.backend.text import WORDS, words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Cutter = Callable[[str], list[str]]

RULES = "words.json"
"""Beside bm25s's own files, in folders we built: the rules of the words. FlashRAG's have the next two instead."""
_STOPWORDS = "stopwords.tokenizer.json"
_TOKENIZER = "vocab.tokenizer.json"
_FLASHRAG_WORD = re.compile(r"(?u)\b\w\w+\b")


class LexicalIndex:
    """A loaded index of `rows` passages, memory-mapped."""

    def __init__(self, index: Any, cut: Cutter) -> None:
        self.rows: int = index.scores["num_docs"]
        self._index = index
        self._cut = cut

    def search(self, query: str, k: int) -> list[Hit]:
        """The `k` best rows that share a word with the query, best first, equal scores in the order of the rows."""
        import numpy as np

        ids = self._index.get_tokens_ids(self._cut(query))
        if not ids:
            return []
        scores: NDArray[np.float32] = self._index.get_scores_from_ids(ids)
        if len(scores) > k:
            floor = max(np.partition(scores, -k)[-k], np.finfo(scores.dtype).tiny)
            rows = np.flatnonzero(scores >= floor)
        else:
            rows = np.flatnonzero(scores > 0)
        best = rows[np.argsort(-scores[rows], kind="stable")[:k]]
        return list(zip(best.tolist(), scores[best].tolist(), strict=True))


def open_lexical(folder: Path) -> LexicalIndex:
    """Load our own or FlashRAG's `bm25/` folder. Raises BadInput when it is neither."""
    import bm25s

    try:
        cut = _cutter(folder)
        # Without numba: it would compile for seconds. Nothing is unpickled.
        index = bm25s.BM25.load(folder, mmap=True, allow_pickle=False, backend="numpy", show_progress=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{folder.name}/ is no bm25s index; build the corpus again.") from error
    return LexicalIndex(index, cut)


def _cutter(folder: Path) -> Cutter:
    if (folder / RULES).exists():
        rules = json.loads((folder / RULES).read_text("utf-8"))["rules"]
        if rules != WORDS:
            raise BadInput(f"{folder.name}/ was built with other word rules ({rules}); build the corpus again.")
        return words
    stopwords = frozenset(json.loads((folder / _STOPWORDS).read_text("utf-8")))
    stemmed = bool(json.loads((folder / _TOKENIZER).read_text("utf-8"))["word_to_stem"])
    return _flashrag_cutter(stopwords, stemmed)


def _flashrag_cutter(stopwords: frozenset[str], stemmed: bool) -> Cutter:
    """What FlashRAG's tokenizer did with the passages: stop words out, then stemmed if English."""

    def cut(query: str) -> list[str]:
        import Stemmer

        kept = [word for word in _FLASHRAG_WORD.findall(query.lower()) if word not in stopwords]
        return list(Stemmer.Stemmer("english", 0).stemWords(kept)) if stemmed else kept

    return cut
