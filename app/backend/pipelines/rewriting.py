"""A follow-up question made to stand alone, so that a retriever without memory can search for it.

Invariant: what comes out is about the question that was asked. A small model often answers, copies or babbles instead;
such text is refused, and the question is searched for together with the one before it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from app.backend.events import Event, Step
from app.backend.pipelines.budget import fit
from app.backend.pipelines.citations import without_markers
from app.backend.pipelines.prompts import inert
from app.backend.pipelines.steps import complete
from app.backend.protocols import Pipeline, Tools
from app.backend.text import words
from app.backend.types import Exchange, Message, Passage, Query, Sampling

SYSTEM = (
    "Rewrite the user's last question so that it can be understood without the conversation: replace words like "
    '"it" or "he" by what they stand for. Keep its language. Write only the question.'
)
_EXAMPLES = (
    ("User: Who painted the Mona Lisa?\nAssistant: Leonardo da Vinci painted it.", "When did he die?"),
    ("User: 长城有多长？\nAssistant: 长城长约两万一千公里。", "它是谁修建的？"),
)
_REWRITTEN = ("When did Leonardo da Vinci die?", "长城是谁修建的？")
SAMPLING = Sampling(max_tokens=64, stop=("\n",))
_ANSWER_CHARS = 300
_LABEL = re.compile(
    r"^\s*(?:rewritten|last|stand-?alone)?\s*question\s*[:：]\s*|^改写后?的?问题\s*[:：]\s*", re.IGNORECASE
)
_POINTING = re.compile(
    r"\b(?:it|its|he|him|his|she|her|hers|they|them|their|this|that|these|those|there|then|one|ones|former|latter|other"
    r"|others|another|same|else|so|such|above)\b|[它他她这那其该此]|上述|另|呢",
    re.IGNORECASE,
)
_DEFINING = re.compile(
    r"^\s*(?:what|who|where)(?:['’]s|\s+(?:is|are|was|were))\s+(?!(?:the|your|my|our)\b)\S|^\s*(?:什么是|何谓)\S",
    re.IGNORECASE,
)
"""However short: "What is BM25?" is about what it names, and "What is the price?" about what was said before."""
_NAMED = re.compile(r"\s(?!I\b)\w*[A-Z].*?\b(?:and|but|or)\s+(?![A-Z])")
_NAMED_CHARS = 500
"""Only here is a name looked for: in a whole question of capitals it takes a third of a second."""
_PRONOUN = re.compile(r"\b(?:it|its|he|him|his|she|her|they|them|their)\b", re.IGNORECASE)
"""In the clause after a name it stands for that name: "How does HyDE work, and when does it help?"."""


def standing_alone(pipeline: Pipeline) -> Pipeline:
    """The pipeline, with its question made to stand alone before it begins."""

    async def run(query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
        if query.history:
            yield Step("rewrite")
            query = replace(query, rewritten=await rewrite(query, tools))
        async with aclosing(pipeline(query, tools)) as events:
            async for event in events:
                yield event

    return run


async def rewrite(query: Query, tools: Tools) -> str:
    """The text to search for. It never fails for what the model writes, only when the engine does."""
    written = ""
    if query.rewrite:
        prompt = await fit(tools.engine, query.question, query.history, (), SAMPLING.max_tokens, _prompt)
        written = await complete(prompt.messages, SAMPLING, tools)
    return await asyncio.to_thread(accepted, written, query.question, query.history)


def accepted(written: str, question: str, history: Sequence[Exchange]) -> str:
    """`written` if it is a rewritten `question`, else the question, after the one before it unless it stands alone.

    It must keep half of the question's words, take at most a quarter of its own from elsewhere than the conversation,
    stay short, and still ask if the question did.
    """
    text = _LABEL.sub("", written.strip()).strip().strip('"“”「」')
    asked, own = set(words(question)), set(words(text))
    known = asked.union(*(words(f"{exchange.question} {exchange.answer}") for exchange in history))
    fine = (
        2 * len(asked & own) >= len(asked)
        and 4 * len(own - known) <= len(own)
        and len(text) <= 2 * len(question) + 120
        and (not question.rstrip().endswith(("?", "？")) or text.endswith(("?", "？")))
    )
    if fine and own != asked:
        return text
    if (len(asked) >= 3 or _DEFINING.match(question)) and not _points_back(question):
        return question
    return f"{history[-1].question} {question}"


def _points_back(question: str) -> bool:
    """Whether a word in it stands for something that the question does not name before."""
    named = _NAMED.search(question, 0, _NAMED_CHARS)
    end = named.end() if named else len(question)
    return bool(_POINTING.search(question[:end] + _PRONOUN.sub("", question[end:])))


def _prompt(question: str, history: Sequence[Exchange], _: Sequence[Passage]) -> tuple[Message, ...]:
    messages = [Message("system", SYSTEM)]
    for (conversation, asked), rewritten in zip(_EXAMPLES, _REWRITTEN, strict=True):
        messages += [Message("user", _turn(conversation, asked)), Message("assistant", rewritten)]
    conversation = "\n".join(
        f"User: {e.question}\nAssistant: {without_markers(e.answer)[:_ANSWER_CHARS]}" for e in history
    )
    return (*messages, Message("user", _turn(inert(conversation), inert(question))))


def _turn(conversation: str, asked: str) -> str:
    return f"{conversation}\n\nLast question: {asked}"
