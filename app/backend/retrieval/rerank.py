"""A cross-encoder, which reads the query and a passage together: slower than an index, and a better judge.

Invariant: used by one thread only; scores are the model's own, higher for better.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.backend.errors import Unavailable
from app.backend.imports import one_at_a_time
from app.backend.retrieval.threads import wait_passively
from app.settings import RetrievalSettings

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reranker:
    """A loaded cross-encoder; `batch_size` pairs go through it at once."""

    model: CrossEncoder
    batch_size: int


@dataclass(frozen=True, slots=True)
class Pairs:
    """A query with the texts to weigh, for the thread that owns the cross-encoder."""

    query: str
    texts: tuple[str, ...]
    reranker: Reranker


def score_pairs(batch: Sequence[Pairs]) -> list[list[float]]:
    """One score for each text of each item; all pairs go through the model together."""
    pairs = [(item.query, text) for item in batch for text in item.texts]
    if not pairs:
        return [[] for _ in batch]
    reranker = batch[0].reranker
    scores = iter(reranker.model.predict(pairs, batch_size=reranker.batch_size, show_progress_bar=False))
    return [[float(next(scores)) for _ in item.texts] for item in batch]


def load_reranker(settings: RetrievalSettings, weights: Path | str) -> Reranker:
    """Load it from a folder or by hub name. Raises Unavailable with the reason."""
    wait_passively()
    try:
        with one_at_a_time:
            import torch
            from sentence_transformers import CrossEncoder

        gpu = torch.cuda.is_available() if settings.device == "auto" else settings.device == "cuda"
        model = CrossEncoder(str(weights), device="cuda" if gpu else "cpu")
        model.eval()
        return Reranker(model.half() if gpu else model, settings.batch_size)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        log.exception("the reranker could not be loaded")
        raise Unavailable(
            f"The cross-encoder could not be loaded ({type(error).__name__}); retrieval.reranker must be a folder or a"
            " hub name that sentence-transformers can read."
        ) from error
