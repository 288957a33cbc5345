"""SimpleDeepSearcher (Sun et al. 2025; FlashRAG: `simpledeepsearcher`): many searches in one train of thought.

The answer stands in a LaTeX box. FlashRAG cuts what a search brings to 3,000 tokens; here whole documents go when the
context is full.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from functools import partial

from pydantic import Field

from app.backend.events import Event
from app.backend.pipelines.params import Entry
from app.backend.pipelines.reasoning import Method, ReasoningParams, Round, continued, reason, titled
from app.backend.pipelines.tagged import Tags
from app.backend.protocols import Tools
from app.backend.types import Message, Prompt, Query

ASKED = (
    "You are a reasoning assistant with the ability to perform web searches to help you answer the user's question "
    "accurately. You have special tools:\n\n- To perform a search: write <|begin_search_query|> your query here "
    "<|end_search_query|>.\nThen, the system will search and analyze relevant web pages, then provide you with helpful "
    "information in the format <|begin_search_result|> ...search results... <|end_search_result|>.\n\nWhenever you "
    "encounter a topic, fact, or piece of information you are uncertain about or need further details on, please "
    "perform a search to gather more accurate, up-to-date, or specific information. You can repeat the search process "
    "multiple times if necessary. The maximum number of search attempts is limited to {limit}.\n\nOnce you have all "
    "the information you need, continue your reasoning.\n\nRemember:\n- Use <|begin_search_query|> to request a web "
    "search and end with <|end_search_query|>.\n- When done searching, continue your reasoning.\n- Do not generate "
    "<|begin_search_result|> and <|end_search_result|> tags yourself.\n\nPlease answer the following question. You "
    "should think step by step to solve it.\n\nProvide your final answer in the format \\boxed{{YOUR_ANSWER}}.\n\n"
    "Question:\n{question}\n\n"
)
TAGS = Tags(
    query=("<|begin_search_query|>", "<|end_search_query|>"),
    documents=("<|begin_search_result|>", "<|end_search_result|>"),
    answer=None,
)


class SimpleDeepSearcherParams(ReasoningParams):
    max_retrieval_num: int = Field(10, ge=1, le=20, description="Rounds of searching at most.")


def layout(limit: int, question: str, rounds: Sequence[Round]) -> Prompt:
    return continued([Message("user", ASKED.format(limit=limit, question=question))], "", TAGS, rounds)


def run(query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
    params = SimpleDeepSearcherParams.of(query.params)
    method = Method(TAGS, partial(layout, params.max_retrieval_num), titled, checkpoints=("SimpleDeepSearcher",))
    return reason(query, tools, params, method)


ENTRY = Entry(
    family="reasoning",
    title="SimpleDeepSearcher",
    summary="Searches many times in one long train of thought.",
    paper="Sun et al. 2025, SimpleDeepSearcher: Deep Information Seeking via "
    "Web-Powered Reasoning Trajectory Synthesis",
    uses_retrieval=True,
    params=SimpleDeepSearcherParams,
    run=run,
)
