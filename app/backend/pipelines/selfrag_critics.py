"""Who writes and judges in Self-RAG: the authors' model by its reflection tokens, or any model that is asked in words.

Invariant: both give the same judgements, from probabilities; one that the model does not make counts as undecided.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from app.backend.pipelines.budget import fit
from app.backend.pipelines.modes import defused
from app.backend.pipelines.prompts import ECHO, answer_prompt, block, inert
from app.backend.pipelines.steps import Written, choose, together, write
from app.backend.protocols import Tools
from app.backend.types import Exchange, Message, Passage, Sampling, Scored

RETRIEVAL = ("[Retrieval]", "[No Retrieval]")
RELEVANT = ("[Relevant]", "[Irrelevant]")
SUPPORT = ("[Fully supported]", "[Partially supported]", "[No support / Contradictory]")
UTILITY = ("[Utility:1]", "[Utility:2]", "[Utility:3]", "[Utility:4]", "[Utility:5]")
MARKS = (*RETRIEVAL, "[Continue to Use Evidence]", *RELEVANT, *SUPPORT, *UTILITY, "<paragraph>", "</paragraph>", "</s>")

JUDGE = "You judge. Answer with one word or number and nothing else."
NEEDED = "Do facts have to be looked up to answer this question? Answer yes or no."
HELPS = "Does the passage help to answer the question? Answer yes or no."
BACKED = "Does the passage support the answer? Answer fully, partially or no."
USEFUL = "How useful is the answer to the person who asked, from 1 (useless) to 5 (perfect)? Answer with the number."
_YES_NO, _DEGREES, _GRADES = ("yes", "no"), ("fully", "partially", "no"), ("1", "2", "3", "4", "5")
_SENTENCE_ENDS = (". ", "。", "\n")


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of answer that one passage led to: `raw` to go on from, `text` to read.

    `likely`, `relevant` and `supported` go from 0 to 1, `useful` from -1 to 1. `unfounded`: the passage does not
    support it at all. `more`: the model wants to go on.
    """

    raw: str
    text: str
    likely: float
    relevant: float
    supported: float
    useful: float
    unfounded: bool
    more: bool


class Critic(Protocol):
    async def wants_search(self) -> float:
        """How probable it is that the question needs a search."""

    async def segment(self, said: str, passage: Passage, piecewise: bool) -> Segment:
        """What follows `said` from `passage`: all of it, or the next piece."""


@dataclass(frozen=True, slots=True)
class Native:
    """The authors' prompt; all judgements are read off the reflection tokens of the one answer."""

    question: str
    sampling: Sampling
    tools: Tools

    async def wants_search(self) -> float:
        written = await write(self._prompt("", ()), Sampling(1, logprobs=20, special_tokens=True), self.tools)
        return _shares(next(iter(written.tokens), None), RETRIEVAL).get("[Retrieval]", 0.5)

    async def segment(self, said: str, passage: Passage, piecewise: bool) -> Segment:
        written = await self._write(said, (passage,), ("[Retrieval]",) if piecewise else ())
        support = _shares(_first(written.tokens, SUPPORT), SUPPORT)
        return Segment(
            raw=written.text,
            text=plain(written.text),
            likely=_likelihood(written),
            relevant=_shares(next(iter(written.tokens), None), RELEVANT).get("[Relevant]", 0.5),
            supported=_degree(support, SUPPORT),
            useful=_usefulness(_shares(_first(written.tokens, UTILITY), UTILITY), UTILITY),
            unfounded="[No support / Contradictory]" in written.text,
            more=written.stopped_by == "[Retrieval]",
        )

    async def from_memory(self) -> str:
        """The answer without a search."""
        return plain((await self._write("[No Retrieval]", (), ())).text)

    async def _write(self, said: str, passages: Sequence[Passage], stop: tuple[str, ...]) -> Written:
        def layout(_: str, __: Sequence[Exchange], kept: Sequence[Passage]) -> str:
            return self._prompt(said, kept)

        prompt = await fit(self.tools.engine, self.question, (), passages, self.sampling.max_tokens, layout)
        sampling = replace(self.sampling, stop=stop, logprobs=5, special_tokens=True)
        return await write(prompt.messages, sampling, self.tools)

    def _prompt(self, said: str, passages: Sequence[Passage]) -> str:
        texts = (defused(f"{p.title}\n{p.text}", MARKS) for p in passages)
        read = "".join(f"[Retrieval]<paragraph>{text}</paragraph>" for text in texts)
        return f"### Instruction:\n{defused(self.question, MARKS)}\n\n### Response:\n{said}{read}"


@dataclass(frozen=True, slots=True)
class Prompted:
    """A question in words for each judgement, answered by the probabilities of the next word."""

    question: str
    sampling: Sampling
    tools: Tools
    grounding: bool
    utility: bool

    async def wants_search(self) -> float:
        chances = await self._judge((), f"Question: {inert(self.question)}", NEEDED, _YES_NO)
        return chances["yes"] if any(chances.values()) else 0.5

    async def segment(self, said: str, passage: Passage, piecewise: bool) -> Segment:
        asked = f"Question: {inert(self.question)}"
        written = await self._write(said, passage, piecewise)
        raw = written.text + (written.stopped_by or "").rstrip() if piecewise else written.text
        claim = f"{asked}\nAnswer: {inert(raw.strip())}"
        helps, support, use = await together(
            self._judge((passage,), asked, HELPS, _YES_NO),
            self._judge((passage,), claim, BACKED, _DEGREES, wanted=self.grounding),
            self._judge((passage,), claim, USEFUL, _GRADES, wanted=self.utility),
        )
        return Segment(
            raw=raw,
            text=raw.strip(),
            likely=_likelihood(written),
            relevant=helps["yes"] if any(helps.values()) else 0.5,
            supported=_degree(support, _DEGREES),
            useful=_usefulness(use, _GRADES),
            unfounded=support.get("no", 0.0) > 0.5,
            more=piecewise and written.stopped_by in _SENTENCE_ENDS,
        )

    async def _write(self, said: str, passage: Passage, piecewise: bool) -> Written:
        def layout(question: str, history: Sequence[Exchange], kept: Sequence[Passage]) -> tuple[Message, ...]:
            asked = answer_prompt(question, history, kept)
            return (*asked, Message("assistant", said)) if said else asked

        prompt = await fit(self.tools.engine, self.question, (), (passage,), self.sampling.max_tokens, layout)
        stop = (ECHO, *_SENTENCE_ENDS) if piecewise else (ECHO,)
        return await write(prompt.messages, replace(self.sampling, stop=stop, logprobs=1), self.tools)

    async def _judge(
        self, passages: Sequence[Passage], claim: str, ask: str, options: Sequence[str], *, wanted: bool = True
    ) -> Mapping[str, float]:
        def layout(_: str, __: Sequence[Exchange], kept: Sequence[Passage]) -> tuple[Message, ...]:
            read = f"Passage: {block(kept)}\n\n" if kept else ""
            return (Message("system", JUDGE), Message("user", f"{read}{claim}\n\n{ask}"))

        if not wanted:
            return {}
        prompt = await fit(self.tools.engine, claim, (), passages, 1, layout)
        return await choose(prompt.messages, options, self.tools)


def plain(text: str) -> str:
    """What the authors' model wrote, without its reflection tokens."""
    for mark in MARKS:
        text = text.replace(mark, " ")
    return " ".join(text.split()).lstrip("#: ")


def _likelihood(written: Written) -> float:
    """The geometric mean of the probabilities of the tokens."""
    if not written.tokens:
        return 0.0
    return math.exp(sum(token.logprob for token in written.tokens) / len(written.tokens))


def _first(tokens: Sequence[Scored], marks: Sequence[str]) -> Scored | None:
    return next((token for token in tokens if token.text.strip() in marks), None)


def _shares(token: Scored | None, marks: Sequence[str]) -> Mapping[str, float]:
    """How probable each mark was at the place of `token`; together 1, or nothing when none was thought of."""
    told = {text.strip(): math.exp(logprob) for text, logprob in token.top} if token else {}
    total = sum(told.get(mark, 0.0) for mark in marks)
    return {mark: told.get(mark, 0.0) / total for mark in marks} if total else {}


def _degree(shares: Mapping[str, float], degrees: Sequence[str]) -> float:
    """Full support counts 1, partial support half."""
    full, partial, _ = degrees
    return shares.get(full, 0.0) + 0.5 * shares.get(partial, 0.0)


def _usefulness(shares: Mapping[str, float], grades: Sequence[str]) -> float:
    return sum(weight * shares.get(grade, 0.0) for weight, grade in zip((-1, -0.5, 0, 0.5, 1), grades, strict=True))
