"""Direct answering (FlashRAG: zero-shot): the model answers from what it knows. Nothing is searched, nothing cited."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from pydantic import Field

from app.backend.events import Event
from app.backend.pipelines.params import AS_FLASHRAG, Entry, GenerationParams
from app.backend.pipelines.steps import answer
from app.backend.protocols import Tools
from app.backend.types import Query


class DirectParams(GenerationParams):
    compat: bool = Field(False, description=AS_FLASHRAG)


async def run(query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
    params = DirectParams.of(query.params)
    async with aclosing(answer(query, (), params.sampling(), tools, compat=params.compat)) as events:
        async for event in events:
            yield event


ENTRY = Entry(
    family="basic",
    title="Direct",
    summary="The model answers from memory, without looking anything up.",
    paper="",
    uses_retrieval=False,
    params=DirectParams,
    run=run,
)
