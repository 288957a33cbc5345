"""Answers that cost less while too many wait: fewer passages, then no rewriting, then shorter answers, then refusal.

Pure. Only chats are eased: a comparison or an experiment would no longer compare what it says it compares.
"""

from __future__ import annotations

from dataclasses import replace

from app.backend.events import Degraded
from app.backend.types import ParamValue, Query

FEWER_PASSAGES, NO_REWRITING, SHORTER, REFUSING = 1, 2, 3, 4
LEFT_AT = 0.7
"""A rung is left when the wait is under this part of what it was climbed at, so that answers do not flap."""


def step(level: int, wait_s: float, most_s: float) -> int:
    """The next level, one rung at a time: each quarter of the longest wait that is allowed is one."""
    rung_s = most_s / REFUSING
    if level < REFUSING and wait_s > (level + 1) * rung_s:
        return level + 1
    if level and wait_s < LEFT_AT * level * rung_s:
        return level - 1
    return level


def ease(level: int, query: Query) -> tuple[Query, tuple[Degraded, ...]]:
    """The query as it is answered at a level, and what was left out, in words. What changes nothing is not said."""
    params: dict[str, ParamValue] = dict(query.params)
    said: list[Degraded] = []
    if level >= FEWER_PASSAGES and "context_topk" in params:
        read = min(int(params["context_topk"]), int(params["retrieval_topk"]))
        if (fewer := (read + 1) // 2) < read:
            params["context_topk"] = fewer
            words = f"Many people are asking: the model reads {fewer} of {read} passages."
            said.append(Degraded("load", words, "load_passages", fewer))
    rewrite = query.rewrite and level < NO_REWRITING
    if query.rewrite and not rewrite and query.history:
        words = "Many people are asking: the question was searched for as it stands."
        said.append(Degraded("load", words, "load_rewrite"))
    if level >= SHORTER and (longest := int(params.get("max_tokens", 1))) > 1:
        params["max_tokens"] = longest // 2
        words = f"Many people are asking: the answer may have {longest // 2:,} tokens instead of {longest:,}."
        said.append(Degraded("load", words, "load_answer", longest // 2))
    return replace(query, params=params, rewrite=rewrite), tuple(said)
