"""R1-Searcher (Song et al. 2025; FlashRAG: `r1-searcher`): the model searches for one fact at a time while it thinks.

The authors' base checkpoint goes on with the prompt as a plain text; their Llama, which knows a chat, and other models
get it as a chat whose answer has begun.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from app.backend.events import Event
from app.backend.pipelines.params import Entry
from app.backend.pipelines.reasoning import Method, ReasoningParams, Round, continued, reason, titled, trace
from app.backend.pipelines.tagged import Tags
from app.backend.protocols import Tools
from app.backend.types import Message, Prompt, Query

ASKED = (
    "The User asks a question, and the Assistant solves it.\nThe Assistant first thinks about the reasoning process in "
    "the mind and then provides the User with the final answer.\nThe output format of reasoning process and final "
    'answer are enclosed within <think> </think> and <answer> </answer> tags, respectively, i.e., "<think> reasoning '
    'process here </think>\\n\\n<answer> final answer here </answer>".\nDuring the thinking process, the Assistant '
    'can perform searching for uncertain knowledge if necessary with the format of "<|begin_of_query|> search query '
    '(only keywords) here <|end_of_query|>". **A query must involve only a single triple**.\nThen, the system will '
    'provide the Assistant with helpful information with the format of "<|begin_of_documents|> ...search results... '
    '<|end_of_documents|>".\n\nUser:{question}'
)
BEGUN = "<think>"
TAGS = Tags(
    query=("<|begin_of_query|>", "<|end_of_query|>"), documents=("<|begin_of_documents|>", "<|end_of_documents|>")
)


def layout(question: str, rounds: Sequence[Round]) -> Prompt:
    return continued([Message("user", ASKED.format(question=question))], BEGUN, TAGS, rounds)


def raw(question: str, rounds: Sequence[Round]) -> str:
    return f"{ASKED.format(question=question)}\nAssistant: {BEGUN}{trace(TAGS, rounds)}"


def run(query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
    return reason(query, tools, ReasoningParams.of(query.params), METHOD)


RAW = ("R1-Searcher", "base-RAG-RL")
METHOD = Method(TAGS, layout, titled, checkpoints=(*RAW, "Instruct-RAG-RL"), raw_checkpoints=RAW, raw=raw)
ENTRY = Entry(
    family="reasoning",
    title="R1-Searcher",
    summary="Thinks aloud and searches for one fact at a time.",
    paper="Song et al. 2025, R1-Searcher: Incentivizing the Search Capability in LLMs via Reinforcement Learning",
    uses_retrieval=True,
    params=ReasoningParams,
    run=run,
)
