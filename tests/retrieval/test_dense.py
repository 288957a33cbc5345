"""The dense index gives rows that exist, in an order that doesn't depend on luck."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest

from app.backend.errors import BadInput
from app.backend.retrieval.dense import DenseIndex, DenseWriter, in_shards, open_dense, shape_of
from app.settings import RetrievalSettings

DIMS = 8
SETTINGS = RetrievalSettings(device="cpu", nprobe=2)


@pytest.fixture
def vectors() -> np.ndarray:
    found = np.random.default_rng(7).standard_normal((200, DIMS)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def save(path: Path, index: faiss.Index) -> Path:
    faiss.write_index(index, str(path))
    return path


def test_a_written_index_finds_what_brute_force_finds(tmp_path: Path, vectors: np.ndarray) -> None:
    path = tmp_path / "dense.index"
    with DenseWriter(path, DIMS) as writer:
        for block in np.array_split(vectors, 7):
            writer.add(block)
    index = open_dense(path, SETTINGS)
    assert (index.rows, index.dims) == shape_of(path) == (200, DIMS)
    found = index.search(vectors[:20], 5)
    expected = np.argsort(-(vectors[:20] @ vectors.T), axis=1)[:, :5]
    assert [[row for row, _ in hits] for hits in found] == expected.tolist()


def test_a_written_index_is_byte_for_byte_what_faiss_writes(tmp_path: Path, vectors: np.ndarray) -> None:
    with DenseWriter(tmp_path / "ours.index", DIMS) as writer:
        writer.add(vectors[:150])
        writer.add(vectors[150:])
    flat = faiss.IndexFlatIP(DIMS)
    flat.add(vectors)
    assert (tmp_path / "ours.index").read_bytes() == save(tmp_path / "its.index", flat).read_bytes()


def test_rows_that_do_not_exist_are_dropped(tmp_path: Path, vectors: np.ndarray) -> None:
    index = faiss.index_factory(DIMS, "IVF50,Flat", faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    _, raw = index.search(vectors[:5], 100)
    assert (raw == -1).any(), "the test needs an index that finds too little"
    found = open_dense(save(tmp_path / "ivf.index", index), SETTINGS).search(vectors[:5], 100)
    assert all(row >= 0 for hits in found for row, _ in hits)


def test_an_ivf_index_searches_as_many_lists_as_the_settings_say(tmp_path: Path, vectors: np.ndarray) -> None:
    index = faiss.index_factory(DIMS, "PCA6,IVF20,Flat", faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    path = save(tmp_path / "ivf.index", index)
    counts = [
        len(open_dense(path, RetrievalSettings(device="cpu", nprobe=nprobe)).search(vectors[:1], 200)[0])
        for nprobe in (1, 5, 99)
    ]
    assert counts[0] < counts[1] < counts[2] == 200


def test_equal_scores_stand_in_the_order_of_their_rows() -> None:
    index = faiss.IndexFlatIP(DIMS)
    index.add(np.ones((30, DIMS), dtype=np.float32))
    (hits,) = DenseIndex(index).search(np.ones((1, DIMS), dtype=np.float32), 30)
    assert [row for row, _ in hits] == list(range(30))


def test_shards_answer_as_the_whole_does(vectors: np.ndarray) -> None:
    flat = faiss.IndexFlatIP(DIMS)
    flat.add(vectors)
    made: list[faiss.IndexFlatIP] = []

    def empty() -> faiss.IndexFlatIP:
        made.append(faiss.IndexFlatIP(DIMS))
        return made[-1]

    shards = in_shards(flat, empty, 64)
    assert [shard.ntotal for shard in made] == [64, 64, 64, 8]
    assert DenseIndex(shards).search(vectors[:9], 6) == DenseIndex(flat).search(vectors[:9], 6)


def test_what_is_no_index_or_ranks_by_distance_is_refused(tmp_path: Path, vectors: np.ndarray) -> None:
    (tmp_path / "x.index").write_bytes(b"no index at all")
    for read in (shape_of, lambda path: open_dense(path, SETTINGS)):
        with pytest.raises(BadInput, match=r"x\.index"):
            read(tmp_path / "x.index")
    far = faiss.IndexFlatL2(DIMS)
    far.add(vectors)
    with pytest.raises(BadInput, match="inner product"):
        open_dense(save(tmp_path / "l2.index", far), SETTINGS)
