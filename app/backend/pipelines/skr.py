"""SKR (Wang et al. 2023; FlashRAG: `skr`): it is searched only where that helps the model. Questions of which this is
known (`retrieval.judger_data`) tell by their likeness to the question; without any, the model is asked.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path

from pydantic import Field

from app.backend.errors import Busy, DeadlineExceeded, Unavailable
from app.backend.events import Degraded, Event, Step, Thought
from app.backend.pipelines.modes import mode
from app.backend.pipelines.neighbours import Neighbours, read
from app.backend.pipelines.params import Entry, ReaderParams
from app.backend.pipelines.prompts import inert
from app.backend.pipelines.steps import Evidence, answer, choose, look_up
from app.backend.protocols import Tools
from app.backend.types import Message, Query

PROMPT = "{question}\nDo you need additional information to answer this question? Answer yes or no."


class SkrParams(ReaderParams):
    topk: int = Field(5, ge=1, le=100, description="Questions like this one that tell whether to search.")


async def run(query: Query, tools: Tools, known: Neighbours | None = None) -> AsyncGenerator[Event, None]:
    params = SkrParams.of(query.params)
    yield mode(known is not None)
    evidence = Evidence()
    question = query.standalone
    search: bool | None = None
    if known:
        yield Step("judge", "by known questions")
        try:
            near = await known.nearest(question, params.topk, tools.retriever)
        except (Unavailable, Busy, DeadlineExceeded) as error:
            yield Degraded("method", f"{error.message} The model was asked whether it needs a search.")
        else:
            search = known.search_helps(near)
            yield Thought("\n".join(f"{one.judgement}: {one.question}" for one in near))
    if search is None:
        yield Step("judge", "by the model")
        said = await choose((Message("user", PROMPT.format(question=inert(question))),), ("yes", "no"), tools)
        search = said["yes"] >= said["no"]
        if any(said.values()):
            yield Thought(f"A search is needed: {said['yes']:.2f}")
        else:
            yield Degraded("method", "The model did not say whether it needs a search; it was searched.")
    if search:
        async with aclosing(look_up([question], query.corpus, params, tools, evidence)) as events:
            async for event in events:
                yield event
    passages = evidence.passages[: params.context_topk]
    async with aclosing(answer(query, passages, params.sampling(), tools, evidence, compat=params.compat)) as events:
        async for event in events:
            yield event


def informed(judger_data: Path) -> Entry:
    """The method with labelled questions. Raises BadInput when the file has none."""
    return replace(ENTRY, run=partial(run, known=Neighbours(read(judger_data))))


ENTRY = Entry(
    family="adaptive",
    title="SKR",
    summary="Searches only where that helps the model, judged by questions like this one or by the model itself.",
    paper="Wang et al. 2023, Self-Knowledge Guided Retrieval Augmentation for Large Language Models",
    uses_retrieval=True,
    params=SkrParams,
    run=run,
)
