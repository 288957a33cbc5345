"""O2-Searcher (Mei et al. 2025; FlashRAG: `o2-searcher`): up to five queries at once, whose documents are learned from.

The chat is the authors': what was learned is the next message of the user. A reply in no format is told so once.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence

from pydantic import Field

from app.backend.events import Event
from app.backend.pipelines.params import Entry
from app.backend.pipelines.prompts import listed
from app.backend.pipelines.reasoning import Method, ReasoningParams, Round, reason
from app.backend.pipelines.tagged import Tags
from app.backend.protocols import Tools
from app.backend.types import Message, Prompt, Query

SYSTEM = (
    "As a expert researcher, provide comprehensive key findings for open-ended queries and precise answers to "
    "other specific questions. Each time you receive new information, you MUST first engage in reasoning within "
    "the <think> and </think> tags. After reasoning, if you realize that you lack certain knowledge, you can "
    "invoke a SEARCH action with distinct queries (one to five) using the <search>\n<query>QUERY</query>\n"
    "<query>QUERY</query>\n</search> format to obtain relevant learnings, which will be presented between the "
    "<learnings> and </learnings> tags.\n You are allowed to perform searches as many times as necessary. If you "
    "determine that no additional external knowledge is required, you can directly present the output within the "
    "<answer> and </answer> tags."
)
ASKED = "Initial query:{question}"
LEARNED = "Search learnings: <learnings>{documents}</learnings>.\n"
INVALID = (
    "The response you attempted before is invalid. If you plan to execute actions like SEARCH, you need to enclose the "
    "SEARCH queries within the <search> and </search> tags. Furthermore, the required queries for the SEARCH action "
    "should be placed between the <query> and </query> tags. Moreover, if you wish to present the final output for the "
    "initial query, you must wrap the result within the <answer> and </answer> tags.\n"
)
TAGS = Tags(query=("<search>", "</search>"), documents=("<learnings>", "</learnings>"))
QUERIES = 5
_QUERY = re.compile(r"<query>(.*?)</query>", re.DOTALL)


class O2SearcherParams(ReasoningParams):
    retrieval_topk: int = Field(3, ge=1, le=100, description="Passages that are retrieved.")


def layout(question: str, rounds: Sequence[Round]) -> Prompt:
    messages = [Message("system", SYSTEM), Message("user", ASKED.format(question=question))]
    for r in rounds:
        told = INVALID if r.found is None else LEARNED.format(documents="\n".join(r.found))
        messages += [Message("assistant", r.said), Message("user", told)]
    return tuple(messages)


def queries(said: str) -> list[str]:
    """Those of one search."""
    return _QUERY.findall(said)[:QUERIES]


def run(query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
    return reason(query, tools, O2SearcherParams.of(query.params), METHOD)


METHOD = Method(TAGS, layout, listed, checkpoints=("O2-Searcher",), queries=queries, corrects=True)
ENTRY = Entry(
    family="reasoning",
    title="O2-Searcher",
    summary="Asks up to five queries at once, learns from what they find, and answers open questions too.",
    paper="Mei et al. 2025, O2-Searcher: A Searching-based Agent Model for Open-Domain Open-Ended Question Answering",
    uses_retrieval=True,
    params=O2SearcherParams,
    run=run,
)
