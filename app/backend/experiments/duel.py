"""Which of two answers a model finds better: the pairwise judge of MT-Bench (Zheng et al. 2023, Judging LLM-as-a-Judge
with MT-Bench and Chatbot Arena, 3.1 and 3.4; with the golden answers, where there are some, as its reference).

Invariant: both orders are asked, greedily. A judge that keeps to a place and not to an answer gives a tie.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import structlog

from app.backend.errors import BadInput
from app.backend.pipelines.steps import together
from app.backend.protocols import Engine
from app.backend.types import Message, Sampling

log = structlog.get_logger(__name__)

MOST_CHARS = 4_000
"""So much of an answer is read, and of what else a file gives: two of them fit into a small window."""
PROMPT = """\
Please act as an impartial judge of the answers of two assistants to the question below. Choose the one that answers \
the question better: consider whether it is correct, helpful and to the point. Neither the order of the answers nor \
their length may influence you. Say [[A]] if assistant A is better, [[B]] if assistant B is better, and [[C]] for a tie.

[Question]
{question}
{reference}
[Answer of assistant A]
{first}

[Answer of assistant B]
{second}
"""
REFERENCE = """
[Right answer]
{golden}
"""
BEGUN = "My verdict is [["
"""The beginning of its answer: then also a small model goes on with a letter."""
_VERDICT = re.compile(r"\s*([ABC])\b")
_FIRST = {"A": 1.0, "B": 0.0, "C": 0.5}


async def duel(
    engine: Engine, question: str, golden: Sequence[str], left: str, right: str, *, request_id: str
) -> float | None:
    """1 when `left` is better, 0 when `right` is, else a half; None when what the judge said could not be read, or the
    judge could not read what it was given.
    """
    ahead, behind = await together(
        _asked(engine, question, golden, left, right, f"{request_id}-0"),
        _asked(engine, question, golden, right, left, f"{request_id}-1"),
    )
    if ahead is None or behind is None:
        return None
    return ahead if ahead == 1 - behind else 0.5


async def _asked(
    engine: Engine, question: str, golden: Sequence[str], first: str, second: str, request_id: str
) -> float | None:
    reference = REFERENCE.format(golden=" / ".join(golden)[:MOST_CHARS]) if golden else ""
    words = PROMPT.format(
        question=question[:MOST_CHARS], reference=reference, first=first[:MOST_CHARS], second=second[:MOST_CHARS]
    )
    prompt = (Message("user", words), Message("assistant", BEGUN))
    try:
        said = "".join([delta.text async for delta in engine.stream(prompt, Sampling(4), request_id=request_id)])
    except BadInput as error:  # too long for its window; it would be the next time, too
        log.warning("answers not judged", request_id=request_id, reason=error.message)
        return None
    found = _VERDICT.match(said)
    return _FIRST[found[1]] if found else None
