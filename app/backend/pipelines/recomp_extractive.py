"""RECOMP, extractive (Xu et al. 2024; FlashRAG: `recomp-extractive`): only the sentences closest to the question count.

With the encoder of the retriever, where the authors trained one for each data set.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial

from pydantic import Field

from app.backend.events import Event
from app.backend.pipelines.modes import mode
from app.backend.pipelines.params import Entry
from app.backend.pipelines.refine import Refined, RefinerParams, refining
from app.backend.protocols import Tools
from app.backend.text import sentences
from app.backend.types import Passage, Query

_SHORTEST = 6
"""Characters of a sentence that can say something, as in FlashRAG."""


class RecompExtractiveParams(RefinerParams):
    refiner_topk: int = Field(5, ge=1, le=100, description="Sentences that are kept, of all passages together.")


async def run(query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
    params = RecompExtractiveParams.of(query.params)
    yield mode(False, "encoder")
    async with aclosing(refining(query, params, tools, partial(_refine, params.refiner_topk))) as events:
        async for event in events:
            yield event


async def _refine(
    topk: int, question: str, passages: tuple[Passage, ...], tools: Tools
) -> AsyncGenerator[Event | Refined, None]:
    places = [
        (index, passage.text[start:end])
        for index, passage in enumerate(passages)
        for start, end in sentences(passage.text)
        if end - start >= _SHORTEST
    ]
    vectors = await tools.retriever.embed([question, *(text for _, text in places)])
    best = await asyncio.to_thread(closest, vectors[0], vectors[1:], topk)
    kept: dict[int, list[int]] = {}
    for place in best:
        kept.setdefault(places[place][0], []).append(place)
    texts = {index: " ".join(places[place][1] for place in sorted(own)) for index, own in kept.items()}
    yield Refined(tuple(replace(passages[index], text=text) for index, text in texts.items()))


def closest(query: Sequence[float], vectors: Sequence[Sequence[float]], topk: int) -> list[int]:
    """The places of the `topk` vectors that point most nearly the way of `query`, best first."""
    likeness = [sum(a * b for a, b in zip(query, vector, strict=True)) for vector in vectors]
    return sorted(range(len(vectors)), key=lambda place: -likeness[place])[:topk]


ENTRY = Entry(
    family="passages",
    title="RECOMP extractive",
    summary="Of the passages, only the sentences closest to the question are read.",
    paper="Xu et al. 2024, RECOMP: Improving Retrieval-Augmented LMs with Compression and Selective Augmentation",
    uses_retrieval=True,
    params=RecompExtractiveParams,
    run=run,
)
