"""Joining rankings: weighted reciprocal rank fusion.

Invariant: the result depends on the ranks alone, and equal scores stand in the order of their rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from app.backend.text import language
from app.settings import RetrievalSettings

Hit = tuple[int, float]
"""A row of the corpus and its score."""

CANDIDATES = 100
"""How deep each ranking is read before fusion."""
_LAST_RESORT = 0.001
"""Weight of an encoder that does not know the language: it breaks ties and fills what BM25 leaves open."""


def reciprocal_rank_fusion(rankings: Iterable[tuple[float, Sequence[Hit]]], k: int) -> list[Hit]:
    """Every hit of a ranking with weight w adds w / (k + rank) to its row."""
    scores: dict[int, float] = {}
    for weight, ranking in rankings:
        for rank, (row, _) in enumerate(ranking, start=1):
            scores[row] = scores.get(row, 0.0) + weight / (k + rank)
    return in_order(scores.items())


def in_order(hits: Iterable[Hit]) -> list[Hit]:
    """Best score first, then lowest row."""
    return sorted(hits, key=lambda hit: (-hit[1], hit[0]))


def dense_weight(query: str, settings: RetrievalSettings) -> float:
    """The say of the encoder for this query, beside BM25's 1.0."""
    known = settings.encoder_languages
    return settings.dense_weight if "multilingual" in known or language(query) in known else _LAST_RESORT
