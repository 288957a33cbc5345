"""Texts to vectors, by sentence-transformers.

Invariant: vectors are float32, of length 1 and C-contiguous, so that an inner product is the cosine.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
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


def display_name(encoder: str) -> str:
    """The encoder's name without the folder or organisation it is in."""
    return encoder if encoder.startswith("package:") else encoder.rstrip("/").split("/")[-1]


class SentenceEncoder:
    """An encoder that sentence-transformers can load."""

    def __init__(self, settings: RetrievalSettings, model: SentenceTransformer) -> None:
        name, dims = display_name(settings.encoder), model.get_embedding_dimension()
        if dims is None:
            raise Unavailable(f"The model {name!r} does not say how long its vectors are.")
        self._query_prompt = _prompt(settings.query_prefix, model, "query")
        self._passage_prompt = _prompt(settings.passage_prefix, model, "document", "passage", "corpus")
        self.id = f"{name}|{self._passage_prompt}" if self._passage_prompt else name
        self.dims = dims
        self.model = model
        self._batch_size = settings.batch_size
        self._on_cpu = model.device.type == "cpu"

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return self._encode(self.model.encode_query, self._query_prompt, texts)

    def encode_passages(self, texts: Sequence[str]) -> Vectors:
        return self._encode(self.model.encode_document, self._passage_prompt, texts)

    def _encode(self, encode: Callable[..., Vectors], prompt: str, texts: Sequence[str]) -> Vectors:
        import numpy as np

        if self._on_cpu:
            import torch

            torch.set_num_threads(threads_for(len(texts)))
        vectors = encode(
            list(texts),
            prompt=prompt,
            batch_size=_CPU_BATCH if self._on_cpu else self._batch_size,
            normalize_embeddings=True,
            show_progress_bar=False,
        )
        return np.ascontiguousarray(vectors, dtype=np.float32)


def _prompt(given: str | None, model: SentenceTransformer, *names: str) -> str:
    """What goes before each text: what the settings say, else what the model's own config says under these names."""
    own = (model.prompts.get(name) or "" for name in names)
    return next(filter(None, own), "") if given is None else given


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
            f"The encoder {display_name(settings.encoder)!r} could not be loaded ({type(error).__name__}); "
            "retrieval.encoder must be a sentence-transformers folder or a hub name that can be reached."
        ) from error
