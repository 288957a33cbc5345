"""The retriever in this process, through its public door."""

from __future__ import annotations

import asyncio
import threading

import pytest

from app.backend.errors import BadInput, DenseUnavailable, NotFound, Unavailable
from app.backend.retrieval import loading
from app.backend.retrieval.fusion import CANDIDATES
from app.backend.retrieval.local import LocalRetriever
from app.settings import RetrievalSettings
from tests.retrieval.conftest import PASSAGES, CountingEncoder, World, running

pytestmark = pytest.mark.anyio


async def test_every_way_finds_the_passage_with_its_title_and_text(world: World) -> None:
    world.build()
    async with world.retriever() as retriever:
        for way in ("dense", "bm25", "hybrid", None):
            found = await retriever.search("bees collected nectar", corpus="small", top_k=2, retriever=way)
            first = found[0]
            assert (first.id, first.title, first.text, first.corpus) == (*PASSAGES[1], "small")
            assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)


async def test_queries_that_wait_are_encoded_and_searched_together(world: World) -> None:
    world.build()
    gate, began = threading.Event(), threading.Event()

    def hold() -> None:
        began.set()
        assert gate.wait(10)

    world.encoder.before_batch = hold
    async with world.retriever() as retriever:

        async def ask(query: str) -> str:
            found = await retriever.search(query, corpus="small", top_k=1, retriever="dense")
            return found[0].id

        first = asyncio.create_task(ask("apples grow on trees"))
        await asyncio.to_thread(began.wait, 10)
        others = [
            asyncio.create_task(ask(f"bees running a hive and collected nectar {number}")) for number in range(20)
        ]
        while sum(not task.done() for task in others) and retriever.waiting < 20:
            await asyncio.sleep(0)
        gate.set()
        assert await asyncio.gather(first, *others) == ["apples", *["bees"] * 20]
    assert [len(batch) for batch in world.encoder.batches] == [1, 20]


async def test_a_poisoned_query_fails_alone_and_in_one_sentence(world: World) -> None:
    world.build()
    async with world.retriever() as retriever:
        asked = [retriever.search(q, corpus="small", top_k=1, retriever="dense") for q in ("bees", "poison", "apples")]
        bees, poison, apples = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(poison, Unavailable) and "poisoned" not in poison.message
        assert isinstance(bees, tuple) and isinstance(apples, tuple)
        assert await retriever.search("bees again", corpus="small", top_k=1, retriever="dense")


async def test_half_a_character_cannot_fail_the_batch(world: World) -> None:
    world.build()
    async with world.retriever() as retriever:
        assert await retriever.search("bees \ud83d", corpus="small", top_k=1)


async def test_the_cache_answers_the_same_question_until_the_corpus_changes(world: World) -> None:
    world.build()
    async with world.retriever() as retriever:

        async def ask() -> str:
            return (await retriever.search("bees hive", corpus="small", top_k=1, retriever="dense"))[0].text

        assert await ask() == await ask()
        assert len(world.encoder.batches) == 1
        world.build(lines=[("bees", "Bees", "A new text of the bees hive.")])
        while await ask() != "A new text of the bees hive.":
            await asyncio.sleep(0)


async def test_without_the_encoder_words_still_find_and_the_rest_says_why_not(world: World) -> None:
    world.build()
    async with running(world.without_encoder()) as retriever:
        assert (await retriever.search("bees", corpus="small", top_k=1, retriever="bm25"))[0].id == "bees"
        with pytest.raises(Unavailable, match="could not be loaded") as refused:
            await retriever.search("bees", corpus="small", top_k=1, retriever="dense")
        assert not isinstance(refused.value, DenseUnavailable)
        with pytest.raises(DenseUnavailable, match="could not be loaded"):
            await retriever.search("bees", corpus="small", top_k=1, retriever="hybrid")
        health = retriever.health()
        assert health.state == "down" and "BM25 still answers" in health.detail


async def test_an_encoder_that_could_not_be_loaded_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.build()
    monkeypatch.setattr(loading, "PAUSE_S", 0)
    back = threading.Event()
    tries = 0

    def load(*_: object) -> CountingEncoder:
        nonlocal tries
        tries += 1
        if not back.is_set():
            raise OSError("the hub cannot be reached")
        return world.encoder

    async with running(
        LocalRetriever(world.settings.retrieval, world.corpora, lambda ref: ref, load=load)
    ) as retriever:
        async with asyncio.timeout(30):
            while tries < 3:
                await asyncio.sleep(0)
        assert retriever.health().state == "down"
        assert "hub" not in retriever.health().detail
        with pytest.raises(DenseUnavailable):
            await retriever.search("bees", corpus="small", top_k=1)
        back.set()
        async with asyncio.timeout(30):
            while retriever.health().state != "ready":
                await asyncio.sleep(0)
        assert (await retriever.search("bees", corpus="small", top_k=1))[0].id == "bees"
        loaded = tries
        await asyncio.sleep(0.01)
        assert tries == loaded


async def test_a_server_that_wants_no_encoder_is_ready_with_words_alone(world: World) -> None:
    world.build()
    settings = RetrievalSettings(encoder="", retriever="bm25")
    async with world.retriever(settings) as retriever:
        assert (await retriever.search("bees", corpus="small", top_k=1))[0].id == "bees"
        assert retriever.health().state == "ready"
        with pytest.raises(Unavailable, match="bm25"):
            await retriever.search("bees", corpus="small", top_k=1, retriever="hybrid")


async def test_a_corpus_of_another_encoder_is_not_searched_with_this_one(world: World) -> None:
    world.build()
    world.encoder.id = "another"
    async with world.retriever() as retriever:
        with pytest.raises(Unavailable, match="counting"):
            await retriever.search("bees", corpus="small", top_k=1)


@pytest.mark.parametrize(("query", "top_k"), [("  ", 1), ("bees", 0), ("bees", 100_000)])
async def test_a_wrong_question_is_refused(world: World, query: str, top_k: int) -> None:
    world.build()
    async with world.retriever() as retriever:
        with pytest.raises(BadInput):
            await retriever.search(query, corpus="small", top_k=top_k)


@pytest.mark.parametrize("name", ["nothing", "../small", "", ".", "a/b"])
async def test_an_unknown_corpus_is_refused(world: World, name: str) -> None:
    world.build()
    async with world.retriever() as retriever:
        with pytest.raises((NotFound, BadInput)):
            await retriever.search("bees", corpus=name, top_k=1)


async def test_more_can_be_asked_for_than_there_is(world: World) -> None:
    world.build()
    async with world.retriever() as retriever:
        assert len(await retriever.search("bees", corpus="small", top_k=CANDIDATES, retriever="dense")) == 4


async def test_after_closing_a_search_is_unavailable(world: World) -> None:
    world.build()
    async with world.retriever() as retriever:
        pass
    assert retriever.health().state == "stopped"
    with pytest.raises(Unavailable):
        await retriever.search("bees", corpus="small", top_k=1)


async def test_closing_while_the_encoder_loads_is_quiet(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    loading, go_on = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []
    failed: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", failed.append)

    def load(*_: object) -> CountingEncoder:
        threads.append(threading.current_thread())
        loading.set()
        go_on.wait(10)
        return world.encoder

    async with running(LocalRetriever(world.settings.retrieval, world.corpora, lambda ref: ref, load=load)):
        await asyncio.to_thread(loading.wait, 10)
    go_on.set()
    await asyncio.to_thread(threads[0].join, 10)
    assert failed == []


@pytest.mark.parametrize("way", ["dense", "bm25", "hybrid"])
async def test_the_same_search_at_the_same_time_is_made_once_and_outlives_who_began_it(world: World, way: str) -> None:
    world.build()
    gate, began = threading.Event(), threading.Event()

    def hold() -> None:
        began.set()
        assert gate.wait(10)

    world.encoder.before_batch = hold
    async with world.retriever() as retriever:

        async def ask(top_k: int = 2, text: str = "bees collected nectar") -> list[str]:
            return [p.id for p in await retriever.search(text, corpus="small", top_k=top_k, retriever=way)]  # type: ignore[arg-type]

        warm = asyncio.create_task(retriever.search("apples", corpus="small", top_k=1, retriever="dense"))
        await asyncio.to_thread(began.wait, 10)  # the thread of the encoder is busy
        first, second, deeper = (asyncio.create_task(ask(k)) for k in (2, 2, 3))
        await asyncio.sleep(0)
        first.cancel()
        gate.set()
        assert (await second)[0] == "bees"
        assert (await deeper)[:2] == await second
        await warm
        assert await ask(4)
        asked = [text for batch in world.encoder.batches for text in batch]
        assert asked.count("bees collected nectar") == (0 if way == "bm25" else 1)


async def test_a_search_that_failed_is_made_anew(world: World) -> None:
    world.build()
    async with world.retriever() as retriever:
        together = [retriever.search("poison", corpus="small", top_k=1, retriever="dense") for _ in range(3)]
        assert [type(e) for e in await asyncio.gather(*together, return_exceptions=True)] == [Unavailable] * 3
        world.encoder.encode_queries = world.encoder.encode_passages  # type: ignore[method-assign]
        assert await retriever.search("poison", corpus="small", top_k=1, retriever="dense")


async def test_a_search_that_nobody_waits_for_is_given_up(world: World) -> None:
    world.build()
    gate, began = threading.Event(), threading.Event()

    def hold() -> None:
        began.set()
        assert gate.wait(10)

    world.encoder.before_batch = hold
    async with world.retriever() as retriever:
        busy = asyncio.create_task(retriever.search("apples", corpus="small", top_k=1, retriever="dense"))
        await asyncio.to_thread(began.wait, 10)
        left = [
            asyncio.create_task(retriever.search("bees", corpus="small", top_k=1, retriever="dense")) for _ in range(2)
        ]
        while not retriever.waiting:
            await asyncio.sleep(0)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        gate.set()
        await busy
        await retriever.search("pears", corpus="small", top_k=1, retriever="dense")
    assert ["bees"] not in world.encoder.batches
