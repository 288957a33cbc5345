"""AutoRefine (Shi et al. 2025; FlashRAG: `autorefine`): as Search-R1, and each search's documents are refined first."""

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
    "You are a helpful assistant who is good at answering questions with multi-turn search engine calling. To answer "
    "questions, you must first reason through the available information using <think> and </think>. If you identify "
    "missing knowledge, you may issue a search request using <search> query </search> at any time. The retrieval "
    "system will provide you with the three most relevant documents enclosed in<documents> and </documents>. After "
    "each search, you need to summarize and refine the existing documents in <refine> and </refine>. You may send "
    "multiple search requests if needed. Once you have sufficient information, provide a concise final answer using "
    "<answer> and </answer>.\n<user> Question: {question} </user>"
)
TAGS = Tags(query=("<search>", "</search>"), documents=("<documents>", "</documents>"))


def layout(question: str, rounds: Sequence[Round]) -> Prompt:
    return continued([Message("user", ASKED.format(question=question))], "", TAGS, rounds)


def run(query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
    return reason(query, tools, ReasoningParams.of(query.params), METHOD)


METHOD = Method(TAGS, layout, listed, checkpoints=("AutoRefine",))
ENTRY = Entry(
    family="reasoning",
    title="AutoRefine",
    summary="Thinks, searches, and sums up what each search brought before it goes on.",
    paper="Shi et al. 2025, Search and Refine During Think: Autonomous Retrieval-Augmented Reasoning of LLMs",
    uses_retrieval=True,
    params=ReasoningParams,
    run=run,
)
