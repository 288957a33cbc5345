"""The dense index: faiss, inner product.

Invariant: a `DenseIndex` is searched by one thread only (GPU indexes share scratch memory even for reads), and ids of
-1, with which faiss fills up when it finds too little, never leave this file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.backend.errors import BadInput
from app.backend.retrieval.fusion import Hit, in_order
from app.backend.retrieval.threads import threads_for
from app.settings import RetrievalSettings

if TYPE_CHECKING:
    from app.backend.retrieval.encoder import Vectors

GPU_SHARD = 1_000_000
"""Vectors moved to the GPU at a time."""
_DIGITS = 5
"""Scores are rounded: the last bits depend on who else was in the batch."""


class DenseIndex:
    """A loaded index with `rows` vectors of `dims` numbers."""

    def __init__(self, index: Any) -> None:
        self.rows: int = index.ntotal
        self.dims: int = index.d
        self._index = index

    def search(self, queries: Vectors, k: int) -> list[list[Hit]]:
        """For each query the `k` nearest rows, best first, equal scores in the order of the rows."""
        import faiss

        faiss.omp_set_num_threads(threads_for(len(queries)))  # counts for the calling thread only
        scores, rows = self._index.search(queries, min(k, self.rows))
        found = zip(rows.tolist(), scores.tolist(), strict=True)
        return [[hit for hit in _in_order(*one) if hit[0] >= 0] for one in found]


def _in_order(rows: list[int], scores: list[float]) -> list[Hit]:
    return in_order((row, round(score, _DIGITS)) for row, score in zip(rows, scores, strict=True))


class DenseWriter:
    """Builds a flat index block by block."""

    def __init__(self, dims: int) -> None:
        import faiss

        self._index = faiss.IndexFlatIP(dims)

    def add(self, vectors: Vectors) -> None:
        self._index.add(vectors)

    def write(self, path: Path) -> None:
        import faiss

        faiss.write_index(self._index, str(path))


def open_dense(path: Path, settings: RetrievalSettings) -> DenseIndex:
    """Load any faiss index file. Raises BadInput when it is none."""
    import faiss

    try:
        index = faiss.read_index(str(path))
    except RuntimeError as error:
        raise BadInput(f"{path.name} is no faiss index; build the corpus again.") from error
    if index.metric_type != faiss.METRIC_INNER_PRODUCT:
        raise BadInput(f"{path.name} ranks by distance; build it with inner product (faiss.METRIC_INNER_PRODUCT).")
    if isinstance(ivf := faiss.try_extract_index_ivf(index), faiss.IndexIVF):
        ivf.nprobe = min(settings.nprobe, ivf.nlist)
    elif settings.device != "cpu" and isinstance(index, faiss.IndexFlat):
        index = to_gpu(index)
    return DenseIndex(index)


def to_gpu(flat: Any) -> Any:
    """The index on the GPU in fp16; `flat` itself where faiss has no GPU."""
    import faiss

    if not hasattr(faiss, "StandardGpuResources") or faiss.get_num_gpus() == 0:
        return flat
    config = faiss.GpuIndexFlatConfig()
    config.useFloat16 = True
    resources = faiss.StandardGpuResources()
    resources.setTempMemory(256 << 20)
    return in_shards(flat, lambda: faiss.GpuIndexFlatIP(resources, flat.d, config), GPU_SHARD)


def in_shards(flat: Any, empty: Callable[[], Any], size: int) -> Any:
    """Copy `flat` into indexes made by `empty`, each of at most `size` rows, that answer as one.

    A GPU index reallocates itself whenever it grows, so one big one would need twice its memory while it is filled; in
    shards only the one being filled does.
    """
    import faiss

    searched_in_threads, rows_numbered_through = False, True
    shards = faiss.IndexShards(flat.d, searched_in_threads, rows_numbered_through)  # type: ignore[call-arg]
    for start in range(0, flat.ntotal, size):
        shard = empty()
        shard.add(flat.reconstruct_n(start, min(size, flat.ntotal - start)))
        shards.add_shard(shard)
    return shards
