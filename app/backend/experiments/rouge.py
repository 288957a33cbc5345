"""ROUGE (Lin 2004) by the two packages that FlashRAG uses; Chinese is cut into words by jieba first.

Invariant: an empty side gives zeros instead of the packages' ValueError.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from app.backend.text import chinese

KEYS = ("rouge-1", "rouge-2", "rouge-l")


class _Scorer(Protocol):
    def get_scores(self, hyps: str, refs: str) -> list[dict[str, dict[str, float]]]: ...


def rouge(said: str, wanted: str) -> Mapping[str, float]:
    """F1 by `KEYS`, words split on white space."""
    from rouge import Rouge

    return _scores(Rouge(), said, wanted)


def zh_rouge(said: str, wanted: str) -> Mapping[str, float]:
    """F1 by `KEYS`, words as jieba cuts them."""
    from rouge_chinese import Rouge

    return _scores(Rouge(), " ".join(chinese().cut(said)), " ".join(chinese().cut(wanted)))


def _scores(scorer: _Scorer, said: str, wanted: str) -> Mapping[str, float]:
    try:
        (scores,) = scorer.get_scores(said, wanted)
    except ValueError:  # nothing, or nothing but full stops
        return dict.fromkeys(KEYS, 0.0)
    return {key: scores[key]["f"] for key in KEYS}
