"""Comparing texts with each other, and a cross-encoder that reads the question and a passage together."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from app.backend.errors import Unavailable
from app.backend.retrieval.local import LocalRetriever
from app.backend.retrieval.rerank import Pairs, Reranker, load_reranker, score_pairs
from app.backend.types import Passage
from app.settings import RetrievalSettings
from tests.retrieval.conftest import World, running

pytestmark = pytest.mark.anyio
BEES = Passage("bees", "Bees", "Bees hum.", 0.9, "small")
RUST = Passage("rust", "Rust", "Iron rusts in wet air.", 0.8, "small")


class Longest:
    """A cross-encoder that likes long texts, and notes how many pairs it got at once."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def predict(self, pairs, **how):
        self.calls.append(len(pairs))
        return [len(text) for _, text in pairs]


def test_all_pairs_that_wait_go_through_the_model_together_and_each_query_gets_its_own() -> None:
    model = Longest()
    reranker = Reranker(model, 8)
    batch = [Pairs("a", ("xx", "x"), reranker), Pairs("b", (), reranker), Pairs("c", ("xxx",), reranker)]
    assert score_pairs(batch) == [[2.0, 1.0], [], [3.0]]
    assert model.calls == [3]


async def test_texts_become_vectors_of_length_one(world: World) -> None:
    async with world.retriever() as retriever:
        vectors = await retriever.embed(["bees hum", "iron rusts"])
        assert [sum(x * x for x in vector) for vector in vectors] == [pytest.approx(1), pytest.approx(1)]
        assert await retriever.embed([]) == ()


async def test_without_a_cross_encoder_reranking_says_what_to_set(world: World) -> None:
    async with world.retriever() as retriever:
        with pytest.raises(Unavailable, match=r"retrieval\.reranker"):
            await retriever.rerank("bees", [BEES])


@pytest.mark.process
async def test_a_cross_encoder_on_disk_reranks(world: World, tmp_path: Path) -> None:
    settings = world.settings.retrieval.model_copy(update={"reranker": str(tmp_path)})
    retriever = LocalRetriever(settings, world.corpora, lambda ref: ref, load=lambda *_: world.encoder)
    async with running(retriever):
        with pytest.raises(Unavailable):  # it is not there yet
            await retriever.rerank("bees", [BEES, RUST])
        small_cross_encoder(tmp_path)
        ranked = await retriever.rerank("bees", [BEES, RUST])
        again = await retriever.rerank("bees", [RUST, BEES])
    assert {passage.id for passage in ranked} == {"bees", "rust"}
    assert ranked[0].score > ranked[1].score
    assert [p.id for p in ranked] == [p.id for p in again]


@pytest.mark.process
def test_a_folder_without_a_model_is_refused_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"retrieval\.reranker must be"):
        load_reranker(RetrievalSettings(), tmp_path)


def small_cross_encoder(folder: Path) -> Path:
    """BERT's architecture with two small layers and random weights."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    torch.manual_seed(1)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "bees", "hum", "iron", "rust", "##s", "."]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab_file=str(folder / "vocab.txt")).save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(vocab_size=len(words), num_labels=1, max_position_embeddings=64, initializer_range=0.5, **sizes)
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


async def test_a_search_goes_between_the_pieces_of_many_texts_and_the_search_counts_as_alive(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.build()
    begun, go_on = threading.Event(), threading.Semaphore(0)

    def before() -> None:
        begun.set()
        go_on.acquire()

    world.encoder.before_batch = before
    async with world.retriever() as retriever:
        many = asyncio.ensure_future(retriever.embed(["long"] * 400))
        await asyncio.to_thread(begun.wait)
        search = asyncio.ensure_future(retriever.search("bees", corpus="small", top_k=1, retriever="dense"))
        while not retriever.waiting:
            await asyncio.sleep(0)
        go_on.release(3)  # the search may share its batch with the next piece
        assert (await search)[0].id == "bees"
        assert not many.done()
        assert retriever.health().state == "ready"
        many.cancel()
        go_on.release(100)
    assert sum("long" in batch for batch in world.encoder.batches) <= 4
    assert max(map(len, world.encoder.batches)) <= 16


async def test_pieces_of_one_reranking_are_weighed_together(world: World, tmp_path: Path) -> None:
    settings = world.settings.retrieval.model_copy(update={"reranker": str(small_cross_encoder(tmp_path))})
    retriever = LocalRetriever(settings, world.corpora, lambda ref: ref, load=lambda *_: world.encoder)
    passages = [Passage(str(n), "", "bees hum. " * (n % 7) + "iron", 0.0, "small") for n in range(40)]
    async with running(retriever):
        ranked = await retriever.rerank("bees", passages)
    assert [p.score for p in ranked] == sorted((p.score for p in ranked), reverse=True)
    assert {p.id for p in ranked} == {p.id for p in passages}
