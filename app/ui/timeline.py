"""Where the time of an answer went, as bars beside each other.

Invariant: bars follow in the order of the stages, never overlap, and end at 100 % or before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.backend.types import Usage

_ORDER = ("queue", "rewrite", "retrieve", "rerank", "first_token", "decode", "cite")
_NO_BAR = {"ttft", "total", "mode"}


@dataclass(frozen=True, slots=True)
class Bar:
    """A stage: when it began and how long it took, in milliseconds and in per cent of the whole."""

    stage: str
    ms: float
    left: float
    width: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """`read` and `written` are the tokens that the model was given and gave, `rate` those it wrote in a second."""

    bars: tuple[Bar, ...]
    total_ms: float
    read: int
    written: int
    rate: float | None


def timeline(timings_ms: Mapping[str, float], usage: Usage) -> Timeline | None:
    """The bars of an answer's timings; None when nothing was timed."""
    stages = {name: ms for name, ms in timings_ms.items() if name not in _NO_BAR and ms >= 0}
    if not stages:
        return None
    unknown = [name for name in stages if name not in _ORDER]
    order = [name for name in (*_ORDER[:4], *unknown, *_ORDER[4:]) if name in stages]
    whole = max(timings_ms.get("total", 0.0), sum(stages.values())) or 1.0
    bars: list[Bar] = []
    at = 0.0
    for name in order:
        bars.append(Bar(name, stages[name], round(100 * at / whole, 2), round(100 * stages[name] / whole, 2)))
        at += stages[name]
    writing_s = (stages.get("rewrite", 0.0) + stages.get("decode", 0.0)) / 1000
    timed = writing_s > 0.01 and usage.completion_tokens > 1 and not unknown  # other stages write too, several at once
    rate = usage.completion_tokens / writing_s if timed else None
    return Timeline(tuple(bars), whole, usage.prompt_tokens, usage.completion_tokens, rate)
