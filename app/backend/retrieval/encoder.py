"""Texts to vectors, by sentence-transformers.

Invariant: vectors are float32, of length 1 and C-contiguous, so that an inner product is the cosine.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from app.backend.errors import Unavailable
from app.backend.imports import one_at_a_time
from app.backend.retrieval.threads import threads_for, wait_passively
from app.settings import RetrievalSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    Vectors = NDArray[np.float32]

log = logging.getLogger(__name__)


_CPU_BATCH = 16
"""Texts in one forward pass on a CPU; more fall out of its caches."""


class Encoder(Protocol):
    """`id` names the weights and prefixes: only an index that was built under the same id can be searched."""

    id: str
    dims: int

    def encode_queries(self, texts: Sequence[str]) -> Vectors: ...

    def encode_passages(self, texts: Sequence[str]) -> Vectors: ...


def encoder_id(settings: RetrievalSettings) -> str:
    """The id of the encoder these settings ask for; empty when they ask for none."""
    name = settings.encoder if settings.encoder.startswith("package:") else settings.encoder.rstrip("/").split("/")[-1]
    return f"{name}|{settings.passage_prefix}" if settings.passage_prefix else name


class SentenceEncoder:
    """An encoder that sentence-transformers can load."""

    def __init__(self, settings: RetrievalSettings, model: SentenceTransformer) -> None:
        dims = model.get_embedding_dimension()
        if dims is None:
            raise Unavailable(f"The model {encoder_id(settings)!r} does not say how long its vectors are.")
        self.id = encoder_id(settings)
        self.dims = dims
        self.model = model
        self._settings = settings
        self._on_cpu = model.device.type == "cpu"

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return self._encode(self._settings.query_prefix, texts)

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        return self._encode(self._settings.passage_prefix, texts)

    def _encode(self, prefix: str, texts: Sequence[str]) -> Vectors:
        import numpy as np
        import torch

        if self._on_cpu:
            torch.set_num_threads(threads_for(len(texts)))
        vectors = self.model.encode(
            [prefix + text for text in texts],
            batch_size=_CPU_BATCH if self._on_cpu else self._settings.batch_size,
            normalize_embeddings=True,
            show_progress_bar=False,
        )
        return np.ascontiguousarray(vectors, dtype=np.float32)


def load_encoder(settings: RetrievalSettings, weights: Path | str) -> SentenceEncoder:
    """Load the encoder from a folder or by hub name (16 s, most of it imports). Raises Unavailable with the reason."""
    wait_passively()
    try:
        with one_at_a_time:
            import torch
            from sentence_transformers import SentenceTransformer
            from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        gpu = torch.cuda.is_available() if settings.device == "auto" else settings.device == "cuda"
        model = SentenceTransformer(str(weights), device="cuda" if gpu else "cpu")
        model.eval()
        return SentenceEncoder(settings, model.half() if gpu else model)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        log.exception("the encoder could not be loaded")
        raise Unavailable(
            f"The encoder {encoder_id(settings)!r} could not be loaded ({type(error).__name__}); "
            "retrieval.encoder must be a sentence-transformers folder or a hub name that can be reached."
        ) from error
