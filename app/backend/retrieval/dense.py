"""The dense index: faiss, inner product.

Invariant: a `DenseIndex` is searched by one thread only (GPU indexes share scratch memory even for reads), and ids of
-1, with which faiss fills up when it finds too little, never leave this file.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from app.backend.errors import BadInput
from app.backend.retrieval.fusion import Hit, in_order
from app.backend.retrieval.threads import threads_for
from app.settings import RetrievalSettings

if TYPE_CHECKING:
    from app.backend.retrieval.encoder import Vectors

GPU_SHARD = 1_000_000
"""Vectors moved to the GPU at a time."""
_COUNT = struct.Struct("<q")
_ROWS_AT = 8
"""Where faiss writes the number of vectors, behind the kind of index and the length of a vector."""
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
    """Writes a flat index block by block; memory holds none of it.

    The file of a flat index is a header and all vectors. So this begins with faiss's own file of an empty one and at
    the end puts the two numbers right that are not 0 any more: of vectors, in its middle, and of floats, its last.
    """

    def __init__(self, path: Path, dims: int) -> None:
        import faiss

        empty = faiss.serialize_index(faiss.IndexFlatIP(dims)).tobytes()
        self._last = len(empty) - _COUNT.size
        self._dims = dims
        self._rows = 0
        self._file = path.open("wb")
        self._file.write(empty)

    def add(self, vectors: Vectors) -> None:
        self._file.write(vectors.astype("<f4", order="C", copy=False).data)
        self._rows += len(vectors)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._file as file:
            for place, count in ((_ROWS_AT, self._rows), (self._last, self._rows * self._dims)):
                file.seek(place)
                file.write(_COUNT.pack(count))


def open_dense(path: Path, settings: RetrievalSettings) -> DenseIndex:
    """Load any faiss index file. Raises BadInput when it is none."""
    import faiss

    index = _read(path)
    if isinstance(ivf := faiss.try_extract_index_ivf(index), faiss.IndexIVF):
        ivf.nprobe = min(settings.nprobe, ivf.nlist)
    elif settings.device != "cpu" and isinstance(index, faiss.IndexFlat):
        index = to_gpu(index)
    return DenseIndex(index)


def shape_of(path: Path) -> tuple[int, int]:
    """How many vectors an index file has, and of how many numbers, without loading them. Raises as `open_dense`."""
    import faiss

    index = _read(path, faiss.IO_FLAG_MMAP_IFC)
    return index.ntotal, index.d


def _read(path: Path, flags: int = 0) -> Any:
    import faiss

    try:
        index = faiss.read_index(str(path), flags)
    except RuntimeError as error:
        raise BadInput(f"{path.name} is no faiss index; build the corpus again.") from error
    if index.metric_type != faiss.METRIC_INNER_PRODUCT:
        raise BadInput(f"{path.name} ranks by distance; build it with inner product (faiss.METRIC_INNER_PRODUCT).")
    return index


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
