"""Multi-query retrieval, pinned to RAG-Fusion: original and wordings searched at once, joined by reciprocal rank."""

from __future__ import annotations

import asyncio

import pytest

from app.backend.events import Retrieved
from app.backend.pipelines.multi_query import fused, wordings
from app.backend.types import Passage, RetrieverName
from tests.pipelines.doubles import BEES, MOON, RUST, Shelf, ask, done, engine, prompts, run

pytestmark = pytest.mark.anyio


class Rankings(Shelf):
    """Another ranking for each query; none answers before all have been asked."""

    def __init__(self, rankings: dict[str, tuple[Passage, ...]]) -> None:
        super().__init__()
        self.rankings = rankings
        self.all_asked = asyncio.Event()

    async def search(
        self,
        query: str,
        *,
        corpus: str,
        top_k: int,
        retriever: RetrieverName | None = None,
        cache_salt: str | None = None,
    ) -> tuple[Passage, ...]:
        self.searches.append((query, corpus, top_k, retriever))
        if len(self.searches) == len(self.rankings):
            self.all_asked.set()
        await self.all_asked.wait()
        return self.rankings[query][:top_k]


async def test_all_wordings_are_searched_together_and_the_model_reads_the_joined_ranking() -> None:
    shelf = Rankings({"Who?": (BEES, MOON), "Which man?": (MOON, RUST), "What name?": (MOON,)})
    scripted = await engine(["1. Which man?\n2. What name?\n3. Who?"], ["Newton [2]."])
    events = await run("multi-query", ask("multi-query", "Who?", retrieval_topk=2), scripted, shelf)
    assert [text for text, *_ in shelf.searches] == ["Who?", "Which man?", "What name?"]
    assert [event.numbers for event in events if isinstance(event, Retrieved)] == [(1, 2), (2, 3), (2,)]
    asked = prompts(scripted)[1][-1][1]
    assert f"[2] {MOON.title}" in asked
    assert f"[1] {BEES.title}" in asked
    assert RUST.title not in asked
    assert [(c.n, c.passage_id) for c in done(events).citations] == [(2, "a")]


async def test_a_model_that_writes_no_questions_leaves_the_original() -> None:
    shelf = Shelf()
    await run("multi-query", ask("multi-query", "Who?"), await engine([""], ["x"]), shelf)
    assert [text for text, *_ in shelf.searches] == ["Who?"]


def test_fusion_adds_one_over_k_plus_rank() -> None:
    assert fused([(BEES, MOON), (MOON,)], k=60) == [MOON, BEES]  # 1/62 + 1/61 against 1/61


def test_wordings_lose_their_bullets_and_doubles() -> None:
    assert wordings("- A?\n2) B?\n\nA?\n3、丙？\nwho?", "Who?") == ["A?", "B?", "丙？"]
