"""Search-R1 (Jin et al. 2025; FlashRAG: `search-r1`): the model thinks, searches when it lacks something, answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from app.backend.events import Event
from app.backend.pipelines.params import Entry
from app.backend.pipelines.prompts import listed
from app.backend.pipelines.reasoning import Method, ReasoningParams, Round, continued, reason
from app.backend.pipelines.tagged import Tags
from app.backend.protocols import Tools
from app.backend.types import Message, Prompt, Query

ASKED = (
    "Answer the given question. You must conduct reasoning inside <think> and </think> first every time you get new "
    "information. After reasoning, if you find you lack some knowledge, you can call a search engine by <search> query "
    "</search> and it will return the top searched results between <information> and </information>. You can search as "
    "many times as your want. If you find no further external knowledge needed, you can directly provide the answer "
    "inside <answer> and </answer>, without detailed illustrations. For example, <answer> Beijing </answer>. "
    "Question: {question}\n"
)
TAGS = Tags(query=("<search>", "</search>"), documents=("<information>", "</information>"))


def layout(question: str, rounds: Sequence[Round]) -> Prompt:
    return continued([Message("user", ASKED.format(question=question))], "", TAGS, rounds)


def run(query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
    return reason(query, tools, ReasoningParams.of(query.params), METHOD)


METHOD = Method(TAGS, layout, listed, checkpoints=("Search-R1",))
ENTRY = Entry(
    family="reasoning",
    title="Search-R1",
    summary="Thinks aloud, searches whenever it lacks something, and then answers.",
    paper="Jin et al. 2025, Search-R1: Training LLMs to Reason and Leverage Search Engines with Reinforcement Learning",
    uses_retrieval=True,
    params=ReasoningParams,
    run=run,
)
