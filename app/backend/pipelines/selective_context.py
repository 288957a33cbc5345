"""Selective Context (Li et al. 2023; FlashRAG: `selective-context`): what the model expects anyway is left out.

The self-information of each token is the engine's own -log p, sentence by sentence as in the authors' code. Their
phrases are the noun phrases of a parser; ours are what stands between function words and punctuation (Rose et al.
2010), which needs no parser in any language.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate
from typing import Literal

from pydantic import Field

from app.backend.events import Event
from app.backend.pipelines.params import Entry
from app.backend.pipelines.prompts import quoted
from app.backend.pipelines.refine import Refined, RefinerParams, Unit, mean, refining, surprises
from app.backend.protocols import Tools
from app.backend.text import STOPWORDS, sentences
from app.backend.types import Passage, Query

Level = Literal["phrase", "sent", "token"]
_HAN = "\u3400-\u9fff"
_PIECE = re.compile(rf"\s*(?:[{_HAN}]|[^\W{_HAN}]+(?:[-'’.,][^\W{_HAN}]+)*|\S)")


class SelectiveContextParams(RefinerParams):
    reduce_ratio: float = Field(0.5, ge=0, le=1, description="The share of the parts that is left out.")
    reduce_level: Level = Field("phrase", description="What is kept or left out as a whole.")


def run(query: Query, tools: Tools) -> AsyncGenerator[Event, None]:
    params = SelectiveContextParams.of(query.params)
    return refining(query, params, tools, partial(_refine, params.reduce_ratio, params.reduce_level))


async def _refine(
    ratio: float, level: Level, question: str, passages: tuple[Passage, ...], tools: Tools
) -> AsyncGenerator[Event | Refined, None]:
    texts = [quoted(passage.text) for passage in passages]
    places = [(index, text[a:b]) for index, text in enumerate(texts) for a, b in sentences(text)]
    weighed = await surprises([sentence for _, sentence in places], tools)
    parts = [parted(tokens, sentence, level) for (_, sentence), tokens in zip(places, weighed, strict=True)]
    least = threshold([part.nats for sentence in parts for part in sentence], ratio)
    kept: dict[int, list[str]] = {}
    for (index, _), sentence in zip(places, parts, strict=True):
        if text := "".join(part.text for part in sentence if part.nats >= least).strip():
            kept.setdefault(index, []).append(text)
    yield Refined(tuple(replace(passages[index], text=" ".join(left)) for index, left in kept.items()))


def parted(tokens: Sequence[Unit], sentence: str, level: Level) -> list[Unit]:
    """A sentence in parts, each as unexpected as its tokens are in the mean."""
    if level == "token":
        return list(tokens)
    if level == "sent":
        return [Unit(sentence, mean(tokens))]
    texts = phrases(sentence)
    ends = list(accumulate(map(len, texts)))
    found: list[list[Unit]] = [[] for _ in texts]
    at = 0
    for token in tokens:
        first, at = bisect_left(ends, at + 1), at + len(token.text)
        for place in range(first, bisect_left(ends, at) + 1):
            found[place].append(token)
    return [Unit(text, mean(own)) for text, own in zip(texts, found, strict=True)]


def phrases(sentence: str) -> list[str]:
    """The runs of words between function words and punctuation, and these; together the sentence."""
    found: list[str] = []
    goes_on = False
    for piece in _PIECE.findall(sentence):
        word = piece.strip().lower()
        joins = word not in STOPWORDS and any(map(str.isalnum, word))
        if joins and goes_on:
            found[-1] += piece
        else:
            found.append(piece)
        goes_on = joins
    return found


def threshold(values: Sequence[float], ratio: float) -> float:
    """The percentile below which values are dropped; the largest never is."""
    return sorted(values)[math.ceil(ratio * (len(values) - 1))] if values else 0.0


ENTRY = Entry(
    family="passages",
    title="Selective Context",
    summary="What the model would expect anyway is left out of the passages.",
    paper="Li et al. 2023, Compressing Context to Enhance Inference Efficiency of Large Language Models",
    uses_retrieval=True,
    params=SelectiveContextParams,
    run=run,
)
